//! The network with its tokenizer: phrases in, boxes with their phrases out.

use std::path::Path;

use candle_core::{DType, Device};
use strefer_nn::{ParamStore, Weights};
use tokenizers::Tokenizer;

use super::{Detection, GroundingDino, GroundingDinoConfig, ImageBatch, Phrases, Thresholds, detections};
use crate::error::{Error, Result};

/// A box and what it shows.
#[derive(Debug, Clone, PartialEq)]
pub struct Found {
    /// Which of the phrases asked for it is, counted from 0.
    pub phrase: usize,
    /// How well that phrase fits.
    pub score: f32,
    /// Left, top, right, bottom in pixels of the image, within it.
    pub area: [f32; 4],
    /// Those of the phrase's words that fit well.
    pub words: String,
    /// How well the best token fits, of whatever phrase.
    pub best: f32,
    /// All words that fit well, of whatever phrases, as the original names a box.
    pub label: String,
}

/// Grounding DINO with its tokenizer.
///
/// ```no_run
/// use std::path::Path;
///
/// use candle_core::{DType, Device};
/// use strefer_vision::grounding_dino::{Detector, Thresholds, batch};
///
/// let detector = Detector::open(Path::new("grounding-dino-tiny"), &Device::Cpu, DType::F32)?;
/// let rgb = vec![0u8; 480 * 640 * 3];
/// let asked = ["a red car", "a dog"];
/// let found = detector.detect(&batch(&[(&rgb, 480, 640)])?, &[(480, 640)], &asked, Thresholds::default())?;
/// let names: Vec<&str> = found[0].iter().map(|found| asked[found.phrase]).collect();
/// # Ok::<(), strefer_vision::Error>(())
/// ```
#[derive(Debug)]
pub struct Detector {
    model: GroundingDino,
    tokenizer: Tokenizer,
}

/// What no computation reads.
fn unread(name: &str) -> bool {
    let trunk = "model.backbone.conv_encoder.model.";
    name.ends_with("relative_position_index")
        || name.ends_with("position_ids")
        || name.starts_with("model.text_backbone.pooler.")
        || name
            .strip_prefix(trunk)
            .is_some_and(|rest| rest.trim_start_matches("swin.").starts_with("layernorm."))
}

/// The copy of the box head that a tensor belongs to, and the rest of its name. All copies are equal.
fn box_head(name: &str) -> Option<(&str, &str)> {
    let inside = name.strip_prefix("model.decoder.").unwrap_or(name);
    let (_, rest) = inside.strip_prefix("bbox_embed.")?.split_once('.')?;
    Some((&name[..name.len() - rest.len()], rest))
}

/// Weights of a published folder, without what no computation reads, and with one copy of the box head.
pub(super) fn readable(weights: Weights) -> Result<Weights> {
    let first = weights.names().find_map(|name| box_head(name).map(|(copy, _)| copy.to_owned()));
    Ok(weights.renamed(|name| match box_head(name) {
        Some((copy, rest)) if Some(copy) == first.as_deref() => Some(format!("bbox_embed.0.{rest}")),
        Some(_) => None,
        None => (!unread(name)).then(|| name.to_owned()),
    })?)
}

impl GroundingDino {
    /// The network with given weights, in the published layout.
    ///
    /// # Errors
    /// Tensors that are missing, left over or of another shape.
    pub fn load(cfg: &GroundingDinoConfig, weights: Weights, device: &Device, dtype: DType) -> Result<Self> {
        let store = ParamStore::new(0, device, dtype).with_weights(readable(weights)?);
        let model = Self::new(cfg, store.var_builder())?;
        store.check_complete()?;
        Ok(model)
    }
}

impl Detector {
    /// A detector of its parts.
    pub fn new(model: GroundingDino, tokenizer: Tokenizer) -> Self {
        Self { model, tokenizer }
    }

    /// Opens a folder with `config.json`, `tokenizer.json` and weights.
    pub fn open(dir: &Path, device: &Device, dtype: DType) -> Result<Self> {
        let cfg = GroundingDinoConfig::open(&dir.join("config.json"))?;
        let file = dir.join("tokenizer.json");
        let bad = |reason: String| Error::Tokenizer { origin: file.display().to_string(), reason };
        let tokenizer = Tokenizer::from_file(&file).map_err(|error| bad(error.to_string()))?;
        for (token, id) in [("[CLS]", 101), ("[SEP]", 102), (".", 1012), ("?", 1029)] {
            if tokenizer.token_to_id(token) != Some(id) {
                return Err(bad(format!("{token} is {:?}, not {id}", tokenizer.token_to_id(token))));
            }
        }
        Ok(Self { model: GroundingDino::load(&cfg, Weights::open(dir)?, device, dtype)?, tokenizer })
    }

    /// The network.
    pub fn model(&self) -> &GroundingDino {
        &self.model
    }

    /// Tokens of phrases as one text, and the phrase asked for that each phrase of the text is.
    fn tokens(&self, asked: &[&str]) -> Result<(Vec<u32>, Vec<usize>)> {
        let (mut ids, mut owners) = (vec![101], Vec::new());
        for (at, phrase) in asked.iter().enumerate() {
            let text = phrase.trim().trim_end_matches('.').trim().to_lowercase();
            let encoded = self.tokenizer.encode(format!("{text}."), false);
            let encoded = encoded.map_err(|error| Error::input(format!("{phrase:?}: {error}")))?;
            let first = Phrases::new(&[[&[101], encoded.get_ids(), &[102]].concat()])?.spans(0).len();
            if first == 0 {
                return Err(Error::input(format!("phrase {at}, {phrase:?}, has no words")));
            }
            owners.extend(std::iter::repeat_n(at, first));
            ids.extend(encoded.get_ids());
        }
        ids.push(102);
        let most = self.model.config().max_text_len;
        if ids.len() > most {
            let reason = format!("{} phrases are {} tokens, the model takes {most}", asked.len(), ids.len());
            return Err(Error::input(reason));
        }
        Ok((ids, owners))
    }

    /// Boxes of what the phrases name, in each image; all images are asked about the same phrases.
    ///
    /// `sizes` are height and width of the images before they were made a batch.
    pub fn detect(
        &self,
        images: &ImageBatch,
        sizes: &[(usize, usize)],
        asked: &[&str],
        thresholds: Thresholds,
    ) -> Result<Vec<Vec<Found>>> {
        if sizes.len() != images.sizes.len() || asked.is_empty() {
            let (count, phrases) = (images.sizes.len(), asked.len());
            return Err(Error::input(format!("{count} images, {} sizes, {phrases} phrases", sizes.len())));
        }
        let (ids, owners) = self.tokens(asked)?;
        let phrases = Phrases::new(&vec![ids; sizes.len()])?;
        let answer = self.model.forward(images, &phrases)?;
        let columns = self.model.config().max_text_len;
        let all = detections(&answer, &phrases, sizes, thresholds, columns)?;
        let image = |(row, kept): (usize, Vec<Detection>)| -> Result<Vec<Found>> {
            let spans = phrases.spans(row);
            kept.into_iter()
                .filter_map(|detection| {
                    let (phrase, score) = detection.phrase?;
                    let [left, top, right, bottom] = detection.area;
                    let (h, w) = (sizes[row].0 as f32, sizes[row].1 as f32);
                    let area = [left.clamp(0., w), top.clamp(0., h), right.clamp(0., w), bottom.clamp(0., h)];
                    let own = &spans[phrase];
                    let label = self.words(phrases.ids(row), &detection.columns);
                    let best = detection.score;
                    let columns: Vec<usize> =
                        detection.columns.into_iter().filter(|at| own.contains(at)).collect();
                    let words = self.words(phrases.ids(row), &columns);
                    let phrase = *owners.get(phrase)?;
                    Some(
                        words.and_then(|words| Ok(Found { phrase, score, area, words, best, label: label? })),
                    )
                })
                .collect()
        };
        all.into_iter().enumerate().map(image).collect()
    }

    /// The words of some columns, without full stops.
    fn words(&self, ids: &[u32], columns: &[usize]) -> Result<String> {
        let ids: Vec<u32> = columns.iter().map(|at| ids[*at]).collect();
        let words = self.tokenizer.decode(&ids, true);
        let words = words.map_err(|error| Error::input(format!("tokens {ids:?}: {error}")))?;
        Ok(words.replace('.', "").trim().to_owned())
    }
}
