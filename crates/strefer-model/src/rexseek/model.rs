//! The whole model.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use candle_nn::VarBuilder;
use image::RgbImage;
use serde_json::Value;
use strefer_llm::{Decoder, GenerationConfig, Tokenizer};
use strefer_nn::{Declared, ParamStore};

use super::prompt::{Chunk, MARKUP, object_token};
use super::{Prompt, RexSeekConfig, RexSeekOptions, Scene, Vision, prepare, to_canvas, weights};
use crate::checkpoint::read_json;
use crate::error::{Error, Result};
use crate::generation;

/// Tags of an answer beside those of objects.
const TAGS: [&str; 4] = ["<ground>", "</ground>", "<objects>", "</objects>"];

/// What ends an answer.
const ENDS: [&str; 2] = ["<|im_end|>", "<|endoftext|>"];

/// RexSeek with its tokenizer.
#[derive(Debug)]
pub struct RexSeek {
    vision: Vision,
    decoder: Decoder,
    tokenizer: Tokenizer,
    /// Indices by the ids of their tokens.
    objects: BTreeMap<u32, usize>,
    generation: GenerationConfig,
    cfg: RexSeekConfig,
    options: RexSeekOptions,
}

impl RexSeek {
    /// Opens a folder with `config.json`, `tokenizer.json` and weights under the published names.
    ///
    /// # Errors
    /// A file that is missing or cannot be meant; one report of all tensors that are missing, left over or of another shape.
    pub fn load(
        dir: impl AsRef<Path>,
        device: &Device,
        dtype: DType,
        options: RexSeekOptions,
    ) -> Result<Self> {
        let dir = dir.as_ref();
        let path = dir.join("config.json");
        let json = read_json(&path)?;
        let weights = weights::open(dir)?;
        let cfg = RexSeekConfig::from_json(&path, &json, weights::rows(&weights))?;
        let weights = weights::used(weights, &cfg)?;
        let declared = Declared::default();
        Vision::new(&cfg, declared.var_builder())?;
        Decoder::new(&cfg.llm, declared.var_builder())?;
        declared.check(&weights)?;
        let tokenizer = Tokenizer::load(dir)?;
        let mut settings = generation::read(&[dir], end_ids(&json, &tokenizer))?;
        // Greedy, whatever the file wants: the best answer is asked for.
        settings.temperature = 0.0;
        let store = ParamStore::new(0, device, dtype).with_weights(weights);
        let model =
            Self::build(&dir.join("tokenizer.json"), cfg, tokenizer, settings, options, store.var_builder())?;
        store.check_complete()?;
        Ok(model)
    }

    /// Builds the model from parts, weights below `vb`.
    ///
    /// # Errors
    /// A tokenizer without a token that ends answers, or with tokens that the embedding has no row for.
    pub fn new(
        cfg: RexSeekConfig,
        tokenizer: Tokenizer,
        options: RexSeekOptions,
        vb: VarBuilder,
    ) -> Result<Self> {
        let eos_ids = end_ids(&Value::Null, &tokenizer);
        let settings = GenerationConfig { eos_ids, ..GenerationConfig::default() };
        Self::build(Path::new("tokenizer.json"), cfg, tokenizer, settings, options, vb)
    }

    fn build(
        path: &Path,
        cfg: RexSeekConfig,
        mut tokenizer: Tokenizer,
        settings: GenerationConfig,
        options: RexSeekOptions,
        vb: VarBuilder,
    ) -> Result<Self> {
        options.validate()?;
        if settings.eos_ids.is_empty() {
            let reason = format!("it has none of the tokens that end an answer, {ENDS:?}");
            return Err(Error::Token { path: path.to_owned(), reason });
        }
        // Tokens that the file does not list come behind it, in this order, as upstream adds them.
        let names: Vec<String> =
            (0..cfg.max_boxes).map(object_token).chain(TAGS.map(str::to_owned)).collect();
        let ids = tokenizer.add_special_tokens(&names.iter().map(String::as_str).collect::<Vec<_>>())?;
        let rows = cfg.llm.logit_count();
        if let Some((token, &id)) = names.iter().zip(&ids).find(|(_, id)| **id as usize >= rows) {
            return Err(Error::Vocabulary { path: path.to_owned(), token: token.clone(), id, rows });
        }
        Ok(Self {
            vision: Vision::new(&cfg, vb.clone())?,
            decoder: Decoder::new(&cfg.llm, vb)?,
            tokenizer,
            objects: ids.into_iter().zip(0..cfg.max_boxes).collect(),
            generation: GenerationConfig { max_new_tokens: options.max_new_tokens, ..settings },
            cfg,
            options,
        })
    }

    /// The configuration it was built from.
    pub fn config(&self) -> &RexSeekConfig {
        &self.cfg
    }

    /// How it is asked.
    pub fn options(&self) -> &RexSeekOptions {
        &self.options
    }

    /// Its language model.
    pub fn decoder(&self) -> &Decoder {
        &self.decoder
    }

    /// Its tokenizer, tags of answers included.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    pub(super) fn generation(&self) -> &GenerationConfig {
        &self.generation
    }

    /// The index that a token stands for.
    pub(super) fn object_of(&self, token: u32) -> Option<usize> {
        self.objects.get(&token).copied()
    }

    /// An image and the boxes that expressions are to be found among: left, top, right, bottom in its pixels. Image and boxes
    /// go through the model once for all expressions. More boxes than there are indices for: the first ones are kept,
    /// [`Scene::left_out`] says how many are not.
    ///
    /// # Errors
    /// An image without pixels, a box that is none.
    pub fn scene(&self, image: &RgbImage, boxes: &[[f32; 4]]) -> Result<Scene<'_>> {
        Scene::new(self, image, boxes)
    }

    /// Embeddings of what all questions about a scene begin with.
    ///
    /// # Shapes
    /// - returns: `(1, s, d)`
    pub fn embed_scene(&self, image: &RgbImage, boxes: &[[f32; 4]]) -> Result<Tensor> {
        let device = self.decoder.device();
        let on_canvas = to_canvas(boxes, image.dimensions(), self.cfg.canvas, self.options.fp16_boxes)?;
        let prepared = prepare(image, &self.cfg)?;
        let (small, canvas) = (prepared.small.to_device(device)?, prepared.canvas.to_device(device)?);
        let seen = self.vision.encode_image(&small, &canvas)?;
        let objects = match on_canvas.is_empty() {
            true => None,
            false => Some(self.vision.encode_objects(&seen.maps, &on_canvas)?.unsqueeze(0)?), // (1, k, d)
        };
        self.embed(&Prompt::scene(boxes.len()), Some(&seen.tokens), objects.as_ref())
    }

    /// Embeddings of the question about an expression, which follow those of the scene.
    ///
    /// # Shapes
    /// - returns: `(1, s, d)`
    ///
    /// # Errors
    /// An expression that is empty or holds markup.
    pub fn embed_question(&self, expression: &str) -> Result<Tensor> {
        let bad = |reason: &str| {
            Err(Error::Grounding { subject: format!("expression {expression:?}"), reason: reason.to_owned() })
        };
        if expression.trim().is_empty() {
            return bad("there is nothing to look for");
        }
        if let Some(markup) = MARKUP.iter().find(|markup| expression.contains(**markup)) {
            return bad(&format!("{markup} would be read as markup"));
        }
        self.embed(&Prompt::question(&self.options.question_about(expression)), None, None)
    }

    fn embed(&self, prompt: &Prompt, image: Option<&Tensor>, objects: Option<&Tensor>) -> Result<Tensor> {
        let missing =
            || Error::Grounding { subject: "prompt".into(), reason: "it shows what is not given".into() };
        let mut parts = Vec::with_capacity(prompt.chunks().len());
        for chunk in prompt.chunks() {
            parts.push(match chunk {
                Chunk::Text(text) => {
                    let ids = Tensor::new(self.tokenizer.encode(text)?, self.decoder.device())?;
                    self.decoder.embed(&ids.unsqueeze(0)?)?
                }
                Chunk::Image => image.ok_or_else(missing)?.clone(),
                Chunk::Object(index) => objects.ok_or_else(missing)?.narrow(1, *index, 1)?,
            });
        }
        Ok(Tensor::cat(&parts, 1)?)
    }
}

/// The ids that end an answer: those of the settings, and those of the texts that mean it.
fn end_ids(json: &Value, tokenizer: &Tokenizer) -> Vec<u32> {
    let listed = &json["eos_token_id"];
    let listed = listed.as_array().into_iter().flatten().chain([listed]).filter_map(Value::as_u64);
    let named = ENDS.iter().filter_map(|token| tokenizer.token_id(token));
    let mut ids: Vec<u32> = listed.filter_map(|id| id.try_into().ok()).chain(named).collect();
    ids.sort_unstable();
    ids.dedup();
    ids
}
