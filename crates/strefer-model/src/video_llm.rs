//! The Video LLM: frames, regions and text become one sequence, which the language model continues.

use std::ops::ControlFlow;
use std::sync::Arc;

use candle_core::{DType, Result, Tensor, bail};
use candle_nn::VarBuilder;
use strefer_llm::decoder::Placement;
use strefer_llm::{
    Decoder, Generated, GenerationConfig, RopeScaling, Tokenizer, generate, generate_text, generate_texts,
};
use strefer_nn::Recompute;
use strefer_nn::ops::AttentionMask;
use strefer_vision::siglip::{FeatureLayer, SiglipVision};

use crate::config::VideoLlmConfig;
use crate::connector::Connector;
use crate::feature_cache::FeatureCache;
use crate::frame_time::FrameTime;
use crate::inputs::Inputs;
use crate::region::{RegionEncoder, RegionRows};
use crate::splice::{Packing, Placed, SplicePlan, SpliceRow};

/// Prefixes of the parts' parameters.
pub mod prefix {
    /// The vision tower.
    pub const VISION: &str = "vision_tower";
    /// The video connector.
    pub const CONNECTOR: &str = "connector";
    /// The region connector.
    pub const REGION: &str = "region_encoder";
    /// The language model.
    pub const LANGUAGE: &str = "language_model";
}

/// A Video LLM.
#[derive(Debug, Clone)]
pub struct VideoLlm {
    vision: SiglipVision,
    feature: FeatureLayer,
    feature_cache: Option<Arc<FeatureCache>>,
    frame_time: Option<FrameTime>,
    connector: Connector,
    region_encoder: Option<RegionEncoder>,
    language_model: Decoder,
}

/// What a batch shows, in the language space and before splicing.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// `(f, n, dv)`, features of all frames of the batch
    pub features: Tensor,
    /// `(tokens of all videos, d)`
    pub videos: Tensor,
    /// Tokens of each row's video.
    pub video_counts: Vec<usize>,
    /// `(tokens of all regions, d)`, where there are regions
    pub regions: Option<Tensor>,
    /// Tokens of each region of each row.
    pub region_counts: Vec<Vec<usize>>,
}

/// A batch in the language space.
#[derive(Debug, Clone)]
pub struct Spliced {
    /// `(b, s, d)`
    pub embeds: Tensor,
    /// `(b, s)`, u32
    pub positions: Tensor,
    /// `(b, s)`, i64, on the processor
    pub labels: Tensor,
    /// Who sees whom.
    pub mask: AttentionMask,
    /// Where each sample of the batch lies.
    pub places: Vec<Placed>,
}

impl VideoLlm {
    /// Parameters below the prefixes of [`prefix`].
    pub fn new(cfg: &VideoLlmConfig, vb: VarBuilder) -> Result<Self> {
        let placement = Placement::from(vb.device());
        Self::placed(cfg, vb, &placement)
    }

    /// As [`VideoLlm::new`], with the language model's layers on several devices, and everything else on the first.
    pub fn placed(cfg: &VideoLlmConfig, vb: VarBuilder, placement: &Placement) -> Result<Self> {
        let vb = vb.set_device(placement.first().clone());
        let vision_dim = cfg.vision.siglip.hidden_size;
        let text_dim = cfg.llm.hidden_size;
        let vision_vb = vb.pp(prefix::VISION).pp("vision_model");
        let vision = SiglipVision::for_feature(&cfg.vision.siglip, cfg.vision.feature, vision_vb)?;
        let connector_vb = vb.pp(prefix::CONNECTOR);
        let frame_time = match cfg.frames.time_embedding {
            true => Some(FrameTime::new(cfg.frames.count, vision_dim, connector_vb.clone())?),
            false => None,
        };
        let connector = Connector::new(&cfg.connector, vision_dim, text_dim, connector_vb)?;
        let region_encoder = match &cfg.region {
            Some(region) => Some(RegionEncoder::new(region, vision_dim, text_dim, vb.pp(prefix::REGION))?),
            None => None,
        };
        let language_model = Decoder::placed(&cfg.llm, vb.pp(prefix::LANGUAGE), placement)?;
        Ok(Self {
            vision,
            feature: cfg.vision.feature,
            feature_cache: None,
            frame_time,
            connector,
            region_encoder,
            language_model,
        })
    }

    /// Layers of vision tower and language model keep only their inputs from now on and run again in the backward;
    /// the gradients of their parameters are then to be fetched from `recompute`.
    pub fn set_recompute(&mut self, recompute: Option<&Recompute>) {
        self.vision.set_recompute(recompute.cloned());
        self.language_model.set_recompute(recompute.cloned());
    }

    /// Frames that were seen before take their features from here from now on, without gradients: for answering.
    pub fn set_feature_cache(&mut self, cache: Option<Arc<FeatureCache>>) {
        self.feature_cache = cache;
    }

    /// The language model, to be given quantised weights.
    pub fn language_model_mut(&mut self) -> &mut Decoder {
        &mut self.language_model
    }

    /// The language model.
    pub fn language_model(&self) -> &Decoder {
        &self.language_model
    }

    /// Features of frames, `(f, 3, h, w)` → `(f, n, dv)`.
    pub fn vision_features(&self, frames: &Tensor) -> Result<Tensor> {
        self.vision.forward(frames, self.feature)
    }

    /// Runs vision tower and connectors over what the rows show; rows of text alone show nothing.
    pub fn encode(&self, batch: &[Inputs]) -> Result<Encoded> {
        if batch.is_empty() {
            bail!("a batch needs rows");
        }
        let shows = |inputs: &&Inputs| !inputs.shown.is_empty();
        let frames: Vec<&Tensor> = batch.iter().filter(shows).map(|inputs| &inputs.frames).collect();
        if frames.is_empty() {
            return self.encode_nothing(batch.len());
        }
        let frames = Tensor::cat(&frames, 0)?;
        let mut features = match &self.feature_cache {
            Some(cache) => cache.features(&frames, |frames| self.vision_features(frames))?,
            None => self.vision_features(&frames)?,
        }; // (all frames, n, dv)
        if let Some(frame_time) = &self.frame_time {
            features = frame_time.forward(&features, batch)?;
        }
        let (videos, video_counts) = self.video_tokens(&features, batch)?; // (tokens of all videos, d)
        let (regions, region_counts) = self.region_tokens(&features, batch)?;
        Ok(Encoded { features, videos, video_counts, regions, region_counts })
    }

    /// What rows of text alone show.
    fn encode_nothing(&self, rows: usize) -> Result<Encoded> {
        let device = self.language_model.device();
        let like = self.language_model.embed(&Tensor::zeros((1, 1), DType::U32, device)?)?;
        // Views of no rows: a card has no memory for tensors without values.
        Ok(Encoded {
            features: like.narrow(0, 0, 0)?.detach(),
            videos: like.squeeze(0)?.narrow(0, 0, 0)?.detach(),
            video_counts: vec![0; rows],
            regions: None,
            region_counts: vec![Vec::new(); rows],
        })
    }

    /// Puts visual tokens into the prompts of a batch, a row each.
    pub fn splice(&self, batch: &[Inputs]) -> Result<Spliced> {
        self.splice_encoded(batch, &self.encode(batch)?, 0)
    }

    /// As [`VideoLlm::splice`], with what [`VideoLlm::encode`] made of the batch, and where `packed` is not 0, samples
    /// end to end in rows of at most so many positions.
    pub fn splice_encoded(&self, batch: &[Inputs], encoded: &Encoded, packed: usize) -> Result<Spliced> {
        let rows: Vec<SpliceRow<'_>> = batch
            .iter()
            .zip(&encoded.region_counts)
            .zip(&encoded.video_counts)
            .map(|((inputs, region_tokens), &video_tokens)| SpliceRow {
                tokens: &inputs.tokens,
                labels: &inputs.labels,
                turns: &inputs.turns,
                video_tokens,
                region_tokens,
            })
            .collect();
        let plan = SplicePlan::new(&rows, self.packing(packed))?;
        let device = encoded.videos.device();
        let ids = Tensor::from_slice(&plan.text_ids, (1, plan.text_ids.len()), device)?;
        let text = self.language_model.embed(&ids)?.squeeze(0)?;
        let embeds = plan.splice(&text, Some(&encoded.videos), encoded.regions.as_ref())?;
        let (positions, labels, mask) = (plan.positions(device)?, plan.labels()?, plan.mask()?);
        Ok(Spliced { embeds, positions, labels, mask, places: plan.places })
    }

    /// How samples share rows of at most so many positions.
    fn packing(&self, positions: usize) -> Packing {
        // Long and short samples are turned by frequencies of their own, row by row.
        let scaling = self.language_model.config().rope_scaling.as_ref();
        Packing { positions, longest: scaling.and_then(RopeScaling::switches_after) }
    }

    /// Tokens of all videos and images of a batch, one after the other, `(tokens, d)`, and the number of each. Neighbours that
    /// show equally many frames go through the connector together.
    fn video_tokens(&self, feats: &Tensor, batch: &[Inputs]) -> Result<(Tensor, Vec<usize>)> {
        let (_, n, dv) = feats.dims3()?;
        let (mut first, mut tokens, mut counts) = (0u32, Vec::new(), Vec::new());
        for alike in batch.chunk_by(Inputs::is_shown_like) {
            let mut rows = Vec::new();
            for inputs in alike {
                rows.extend(inputs.shown.iter().map(|row| first + row));
                first += inputs.frames.dim(0)? as u32;
            }
            if rows.is_empty() {
                counts.extend(std::iter::repeat_n(0, alike.len()));
                continue;
            }
            let (b, t) = (alike.len(), rows.len() / alike.len());
            let shown = feats.index_select(&Tensor::from_vec(rows, b * t, feats.device())?, 0)?;
            let videos = match &alike[0].tiling {
                Some(tiling) => self.connector.forward_tiles(&shown, tiling)?.unsqueeze(0)?,
                None => self.connector.forward(&shown.reshape((b, t, n, dv))?)?,
            }; // (b, tokens, d)
            let (b, per_video, d) = videos.dims3()?;
            tokens.push(videos.reshape((b * per_video, d))?);
            counts.extend(std::iter::repeat_n(per_video, b));
        }
        Ok((Tensor::cat(&tokens, 0)?, counts))
    }

    /// Tokens of all regions of a batch, and the number of each, row by row.
    fn region_tokens(&self, feats: &Tensor, batch: &[Inputs]) -> Result<(Option<Tensor>, Vec<Vec<usize>>)> {
        let mut first = 0u32;
        let mut regions: Vec<RegionRows> = Vec::new();
        for inputs in batch {
            regions.extend(inputs.regions.iter().map(|region| RegionRows {
                rows: region.rows.iter().map(|row| row + first).collect(),
                grid_masks: region.grid_masks.clone(),
                places: region.places.clone(),
            }));
            first += inputs.frames.dim(0)? as u32;
        }
        if regions.is_empty() {
            return Ok((None, vec![Vec::new(); batch.len()]));
        }
        let Some(encoder) = &self.region_encoder else {
            bail!("this model has no region connector");
        };
        let encoded = encoder.forward(feats, &regions)?;
        let mut counts = encoded.counts.into_iter();
        let per_row =
            batch.iter().map(|inputs| counts.by_ref().take(inputs.regions.len()).collect()).collect();
        Ok((Some(encoded.tokens), per_row))
    }

    /// Hidden states of a spliced batch, `(b, s, d)`, after the final norm.
    pub fn forward(&self, spliced: &Spliced) -> Result<Tensor> {
        self.language_model.forward(&spliced.embeds, &spliced.positions, &spliced.mask, None)
    }

    /// Summed cross-entropy of a batch and the number of positions that counted.
    pub fn loss(&self, batch: &[Inputs]) -> Result<(Tensor, usize)> {
        let spliced = self.splice(batch)?;
        let hidden = self.forward(&spliced)?;
        self.language_model.loss(&hidden, &spliced.labels)
    }

    /// Continues one prompt; `on_token` sees every new token and may stop.
    pub fn generate(
        &self,
        inputs: &Inputs,
        cfg: &GenerationConfig,
        on_token: impl FnMut(u32) -> ControlFlow<()>,
    ) -> strefer_llm::Result<Vec<u32>> {
        let spliced = self.splice(std::slice::from_ref(inputs))?;
        generate(&self.language_model, &spliced.embeds, cfg, on_token)
    }

    /// Continues several prompts as text, each in a row of its own. What goes wrong with one answer ends that one alone.
    ///
    /// # Errors
    /// The batch cannot be encoded.
    pub fn generate_texts(
        &self,
        batch: &[Inputs],
        tokenizer: &Tokenizer,
        cfg: &GenerationConfig,
    ) -> Result<Vec<strefer_llm::Result<Generated>>> {
        let spliced = self.splice(batch)?;
        let prompts = spliced
            .places
            .iter()
            .map(|place| spliced.embeds.narrow(0, place.row, 1)?.narrow(1, 0, place.len));
        let prompts = prompts.collect::<Result<Vec<Tensor>>>()?;
        Ok(generate_texts(&self.language_model, tokenizer, &prompts, cfg))
    }

    /// Continues one prompt as text; `on_text` gets it in pieces and may stop.
    pub fn generate_text(
        &self,
        inputs: &Inputs,
        tokenizer: &Tokenizer,
        cfg: &GenerationConfig,
        on_text: impl FnMut(&str) -> ControlFlow<()>,
    ) -> strefer_llm::Result<Generated> {
        let spliced = self.splice(std::slice::from_ref(inputs))?;
        generate_text(&self.language_model, tokenizer, &spliced.embeds, cfg, on_text)
    }
}
