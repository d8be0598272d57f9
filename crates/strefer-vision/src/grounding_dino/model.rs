//! The whole network.

use candle_core::{DType, Device, Module, Result as TensorResult, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use strefer_nn::{Embedding, Linear, linear};

use super::bert::Bert;
use super::decoder::{Decoded, Decoder, logit};
use super::encoder::{Encoder, EncoderLayerStates, Masks, Scene};
use super::queries::{QuerySelection, Selected, box_head};
use super::swin::Swin;
use super::{GroundingDinoConfig, Levels, Phrases};
use crate::error::{Error, Result};
use crate::layers::{Conv2d, GroupNorm, Mlp, pointwise};

/// Groups of channels that are normed together.
const GROUPS: usize = 32;

/// Images of several sizes, each in the top left corner of its part of the batch.
#[derive(Debug, Clone)]
pub struct ImageBatch {
    /// `(b, 3, h, w)`, normalised, zeros behind the images
    pub pixels: Tensor,
    /// Height and width of each image.
    pub sizes: Vec<(usize, usize)>,
}

/// Boxes and how well they fit each token.
#[derive(Debug, Clone)]
pub struct Answer {
    /// How well each box fits each token, before the sigmoid: `(b, q, s)`, f32. Padding has values, too.
    pub logits: Tensor,
    /// Boxes by centre and size as shares of the image: `(b, q, 4)`, f32
    pub boxes: Tensor,
}

/// Everything that was computed on the way to an answer.
#[derive(Debug, Clone)]
pub struct Steps {
    /// Maps of the backbone, `(b, h, w, c)`
    pub maps: Vec<Tensor>,
    /// Maps as wide as encoder and decoder, `(b, h*w, d)`
    pub levels: Vec<Tensor>,
    /// The text backbone's states, `(b, s, width)`
    pub bert: Tensor,
    /// The same, `(b, s, d)`
    pub text: Tensor,
    /// Each layer of the encoder.
    pub encoder: Vec<EncoderLayerStates>,
    /// The first boxes.
    pub selected: Selected,
    /// Each layer of the decoder.
    pub decoder: Vec<Decoded>,
    /// The answer.
    pub answer: Answer,
}

/// A map made as wide as encoder and decoder.
#[derive(Debug, Clone)]
enum Projection {
    /// Of the backbone's map.
    Same(Linear, GroupNorm),
    /// Half as high and wide.
    Half(Conv2d, GroupNorm),
}

impl Projection {
    /// `(b, h, w, c)` → `(b, h'*w', d)` and the size of the map
    fn forward(&self, xs: &Tensor) -> TensorResult<(Tensor, (usize, usize))> {
        let (xs, norm) = match self {
            Self::Same(linear, norm) => (xs.apply(linear)?, norm),
            Self::Half(conv, norm) => (xs.apply(conv)?, norm),
        };
        let (_b, h, w, _d) = xs.dims4()?;
        Ok((xs.flatten(1, 2)?.apply(norm)?, (h, w)))
    }
}

/// Grounding DINO.
#[derive(Debug, Clone)]
pub struct GroundingDino {
    cfg: GroundingDinoConfig,
    backbone: Swin,
    text_backbone: Bert,
    text_projection: Linear,
    input_proj_vision: Vec<Projection>,
    level_embed: Tensor,
    query_position_embeddings: Embedding,
    encoder: Encoder,
    queries: QuerySelection,
    decoder: Decoder,
    bbox_embed: Mlp,
    device: Device,
    dtype: DType,
}

impl GroundingDino {
    /// Weights lie directly below `vb`. Of the copies of the box head that checkpoints may hold, `bbox_embed.0` is read.
    pub fn new(cfg: &GroundingDinoConfig, vb: VarBuilder) -> Result<Self> {
        cfg.validate().map_err(|reason| Error::Config { origin: "grounding dino".to_owned(), reason })?;
        let (d, own) = (cfg.d_model, vb.pp("model"));
        let swin = &cfg.backbone_config;
        let widths: Vec<usize> = swin.out_indices.iter().map(|at| swin.width(at - 1)).collect();
        let project = own.pp("input_proj_vision");
        let norm = |at: usize| GroupNorm::new(GROUPS, d, project.pp(at).pp(1));
        let same = |(at, &width): (usize, &usize)| -> TensorResult<Projection> {
            Ok(Projection::Same(pointwise(width, d, project.pp(at).pp(0))?, norm(at)?))
        };
        let mut projections = widths.iter().enumerate().map(same).collect::<TensorResult<Vec<_>>>()?;
        let last = widths.last().copied().unwrap_or_default();
        let at = widths.len();
        let half = Conv2d::new((last, d), (3, 2, 1), project.pp(at).pp(0))?;
        projections.push(Projection::Half(half, norm(at)?));
        let normal = Init::Randn { mean: 0.0, stdev: 1.0 };
        Ok(Self {
            backbone: Swin::new(swin, own.pp("backbone.conv_encoder.model"))?,
            text_backbone: Bert::new(&cfg.text_config, own.pp("text_backbone"))?,
            text_projection: linear(cfg.text_config.hidden_size, d, own.pp("text_projection"))?,
            input_proj_vision: projections,
            level_embed: own.get_with_hints((cfg.num_feature_levels, d), "level_embed", normal)?,
            query_position_embeddings: Embedding::new(
                cfg.num_queries,
                d,
                own.pp("query_position_embeddings"),
            )?,
            encoder: Encoder::new(cfg, own.pp("encoder"))?,
            decoder: Decoder::new(cfg, own.pp("decoder"))?,
            queries: QuerySelection::new(cfg, own)?,
            bbox_embed: box_head(d, vb.pp("bbox_embed.0"))?,
            device: vb.device().clone(),
            dtype: vb.dtype(),
            cfg: cfg.clone(),
        })
    }

    /// The configuration.
    pub fn config(&self) -> &GroundingDinoConfig {
        &self.cfg
    }

    /// Finds what the texts name, one text for each image.
    pub fn forward(&self, images: &ImageBatch, phrases: &Phrases) -> Result<Answer> {
        Ok(self.run(images, phrases, |_| ())?.answer)
    }

    /// As [`GroundingDino::forward`], with everything that was computed on the way.
    pub fn steps(&self, images: &ImageBatch, phrases: &Phrases) -> Result<Steps> {
        let mut encoder = Vec::new();
        let steps = self.run(images, phrases, |states| encoder.push(states))?;
        Ok(Steps { encoder, ..steps })
    }

    fn run(
        &self,
        images: &ImageBatch,
        phrases: &Phrases,
        visit: impl FnMut(EncoderLayerStates),
    ) -> Result<Steps> {
        let (b, _c, h, w) = images.pixels.dims4()?;
        let (texts, s) = phrases.dims();
        if images.sizes.len() != b || texts != b {
            let sizes = images.sizes.len();
            return Err(Error::input(format!("{b} images with {sizes} sizes and {texts} texts")));
        }
        if images.sizes.iter().any(|size| size.0 == 0 || size.1 == 0 || size.0 > h || size.1 > w) {
            return Err(Error::input(format!("images of sizes {:?} in a batch of {h}x{w}", images.sizes)));
        }
        if s > self.cfg.max_text_len {
            return Err(Error::input(format!("{s} tokens, the model takes {}", self.cfg.max_text_len)));
        }
        let vocabulary = self.cfg.text_config.vocab_size;
        if let Some(id) = (0..b).flat_map(|row| phrases.ids(row)).find(|id| **id as usize >= vocabulary) {
            return Err(Error::input(format!("token {id} is outside the vocabulary of {vocabulary}")));
        }
        let pixels = images.pixels.to_device(&self.device)?.to_dtype(self.dtype)?;

        let [ids, types, positions] = phrases.tensors(&self.device)?;
        let sight = phrases.sight(self.cfg.text_mask, &self.device)?;
        let bert = self.text_backbone.forward(&ids, &types, &positions, &sight)?;
        let text = bert.apply(&self.text_projection)?;

        let maps = self.backbone.forward(&pixels)?;
        let mut levels = Vec::new();
        let mut sizes = Vec::new();
        for (at, projection) in self.input_proj_vision.iter().enumerate() {
            // The coarsest level is made from the backbone's last map.
            let (cells, size) = projection.forward(&maps[at.min(maps.len() - 1)])?;
            levels.push(cells);
            sizes.push(size);
        }
        let geometry = Levels::new(sizes, (h, w), &images.sizes);
        let scene = self.scene(&geometry, phrases)?;

        let image = Tensor::cat(&levels, 1)?;
        let (image, words) = self.encoder.forward((&image, &text), phrases, &scene, visit)?;
        let tokens: Vec<bool> = (0..b).flat_map(|row| phrases.valid(row).iter().copied()).collect();
        let selected = self.queries.forward(&image, &words, &tokens, &geometry)?;
        let queries = self.query_position_embeddings.weight();
        let (q, d) = (selected.references.dim(1)?, self.cfg.d_model);
        let queries = queries.narrow(0, 0, q)?.unsqueeze(0)?.broadcast_as((b, q, d))?.contiguous()?;
        let ratios = geometry.ratios(&self.device)?;
        let first = &selected.references;
        let decoder =
            self.decoder.forward(&queries, first, (&image, &words), &ratios, &scene, &self.bbox_embed)?;

        let before = decoder.len().checked_sub(2).map_or(first, |at| &decoder[at].references);
        let Some(last) = decoder.last() else {
            return Err(Error::input("a model without decoder layers".to_owned()));
        };
        let logits = last.normed.matmul(&words.t()?)?.to_dtype(DType::F32)?;
        let moved = (self.bbox_embed.forward(&last.normed)?.to_dtype(DType::F32)? + logit(before)?)?;
        let answer = Answer { logits, boxes: candle_nn::ops::sigmoid(&moved)? };
        Ok(Steps { maps, levels, bert, text, encoder: Vec::new(), selected, decoder, answer })
    }

    fn scene(&self, geometry: &Levels, phrases: &Phrases) -> Result<Scene> {
        let (dev, d) = (&self.device, self.cfg.d_model);
        let shown = geometry.valid();
        let flags = Tensor::from_iter(shown.iter().map(|shown| f32::from(u8::from(*shown))), dev)?;
        let positions = geometry.positions(d, self.cfg.positional_embedding_temperature, dev)?;
        let mut start = 0;
        let mut of_levels = Vec::new();
        for (level, (h, w)) in geometry.sizes().iter().enumerate() {
            let part = positions.narrow(1, start, h * w)?.to_dtype(self.dtype)?;
            of_levels.push(part.broadcast_add(&self.level_embed.get(level)?)?);
            start += h * w;
        }
        Ok(Scene {
            sizes: geometry.sizes().to_vec(),
            shown: flags.reshape((geometry.batch(), geometry.cells(), 1))?.to_dtype(self.dtype)?,
            positions: Tensor::cat(&of_levels, 1)?,
            references: geometry.references(dev)?.to_dtype(self.dtype)?,
            masks: Masks::new(phrases, &shown)?,
        })
    }
}
