//! The one place that turns a [`Sample`] into model inputs: frames, masks, ids and labels.

mod augment;
mod clip;
mod drawing;
mod frame_cache;
mod labels;
mod order;
mod paint;
mod pixels;
mod prompt;
mod regions;
mod showing;
mod texture;

use std::path::PathBuf;
use std::sync::Arc;

use candle_core::{Device, Tensor};
use strefer_core::mixture::{Augment, Turns};
use strefer_core::sample::{Media, RegionMode};
use strefer_core::validate::MediaFacts;
use strefer_core::{Rng, Sample};
use strefer_llm::Tokenizer;
use strefer_video::Limits;

use crate::config::VideoLlmConfig;
use crate::error::{Error, Result};
use crate::inputs::Inputs;
use augment::Look;
use clip::Clip;
use drawing::Drawing;
pub use drawing::VisualPrompt;
pub use frame_cache::FrameCache;
pub use labels::LabelRule;
pub use order::FrameOrder;
use paint::Paint;
use prompt::{Learn, PromptBuilder, Wording};
pub use prompt::{REGION_TOKEN, VIDEO_TOKEN};
pub use showing::{Showing, show};
use texture::Textures;

/// What inputs are for.
#[derive(Debug, Clone)]
pub enum Purpose {
    /// Learning: all turns, with labels; random choices are drawn from the stream.
    Train(Rng),
    /// Answering: the turns before the first answer, then the start of an answer.
    Infer,
}

impl Purpose {
    /// Where random choices come from, in learning.
    fn rng(&self) -> Option<&Rng> {
        match self {
            Self::Train(rng) => Some(rng),
            Self::Infer => None,
        }
    }
}

/// How a processor reads media.
#[derive(Debug, Clone)]
pub struct ProcessorOptions {
    /// What media paths are relative to.
    pub media_root: PathBuf,
    /// Limits of decoding.
    pub limits: Limits,
    /// Decoded frames that are kept for the next sample about the same video; processors may share them.
    pub cache: Arc<FrameCache>,
    /// Replaces every frame by grey and every mask by nothing: what is answered without looking.
    pub blind: bool,
    /// The order in which frames are shown, whenever they are: whether an answer depends on time.
    pub order: FrameOrder,
    /// What is drawn into frames to point at objects and moments.
    pub draw: VisualPrompt,
    /// What an answer sees of its conversation while it is learnt.
    pub turns: Turns,
    /// Which tokens are learnt.
    pub labels: LabelRule,
    /// What chance does to samples while learning.
    pub augment: Augment,
}

impl Default for ProcessorOptions {
    fn default() -> Self {
        let cache = Arc::new(FrameCache::new(0));
        Self {
            media_root: PathBuf::new(),
            limits: Limits::default(),
            cache,
            blind: false,
            order: FrameOrder::Straight,
            draw: VisualPrompt::None,
            turns: Turns::default(),
            labels: LabelRule::default(),
            augment: Augment::default(),
        }
    }
}

/// Turns samples into inputs of one model. Shared between threads.
#[derive(Debug)]
pub struct Processor {
    cfg: VideoLlmConfig,
    prompt: PromptBuilder,
    options: ProcessorOptions,
}

impl Processor {
    /// A processor for the model of `cfg`.
    pub fn new(cfg: &VideoLlmConfig, tokenizer: Tokenizer, options: ProcessorOptions) -> Self {
        Self { cfg: cfg.clone(), prompt: PromptBuilder::new(cfg, tokenizer), options }
    }

    /// The model's configuration.
    pub fn config(&self) -> &VideoLlmConfig {
        &self.cfg
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &Tokenizer {
        self.prompt.tokenizer()
    }

    /// How media are read.
    pub fn options(&self) -> &ProcessorOptions {
        &self.options
    }

    /// The same processor with other options.
    pub fn with_options(&self, options: ProcessorOptions) -> Self {
        Self::new(&self.cfg, self.tokenizer().clone(), options)
    }

    /// The source frames of a medium that the model is shown. Nothing is decoded.
    ///
    /// # Errors
    /// A medium that cannot be read.
    pub fn shown_frames(&self, media: &Media) -> Result<Vec<usize>> {
        Ok(Clip::open(&self.cfg, &self.options, media)?.shown().to_vec())
    }

    /// Model inputs of a sample, on the CPU in f32.
    ///
    /// # Errors
    /// Media that cannot be read, a sample that contradicts itself or its video, a prompt that is too long.
    pub fn process(&self, sample: &Sample, purpose: &Purpose) -> Result<Inputs> {
        match sample.media.as_slice() {
            [] => self.text_alone(sample, purpose),
            [media] => self.with_media(sample, media, purpose),
            more => {
                let reason = format!("it shows {} media, this model takes one", more.len());
                Err(Error::Unsupported { id: sample.id.clone(), reason })
            }
        }
    }

    fn with_media(&self, sample: &Sample, media: &Media, purpose: &Purpose) -> Result<Inputs> {
        let draw = self.options.draw;
        if !sample.regions.is_empty() && self.cfg.region.is_none() && !draw.names_objects() {
            let reason = "it refers to regions, this model has no region connector".to_owned();
            return Err(Error::Unsupported { id: sample.id.clone(), reason });
        }
        let mut clip = Clip::open(&self.cfg, &self.options, media)?;
        sample.validate(MediaFacts { duration_s: Some(clip.end_s()), frame_size: None })?;
        let rng = purpose.rng();
        let region_frames = rng.map(|rng| rng.named("region frames"));
        let mut chosen = regions::choose(sample, &clip, region_frames.as_ref())?;
        let drawing = Drawing::new(draw, sample, &chosen, &mut clip)?;
        if draw.names_objects() {
            chosen.clear();
        }
        let wording = drawing.wording(sample, &clip);
        let prompt = self.prompt.build(sample, clip.duration_s(), &wording, self.learn(purpose))?;
        let look =
            rng.map_or_else(Look::default, |rng| Look::draw(&self.options.augment, rng.named("augment")));
        let textures = match rng {
            Some(rng) if look.texture => Textures::draw(sample, &chosen, &clip, &rng.named("texture"))?,
            _ => Textures::default(),
        };
        let stack = clip.load(&chosen, &Paint { drawing, textures }, look)?;
        let mut regions = regions::rows(sample, &chosen, &stack, &clip, &self.cfg, self.options.blind)?;
        look.hide_outlines(&mut regions);
        let shown = self.options.order.of(stack.shown.clone(), clip.tiling().is_some());
        if shown != stack.shown {
            let shares: Vec<f32> = stack.sources.iter().map(|&frame| clip.share_of(frame)).collect();
            order::retime(&mut regions, &shares, &stack.shown, &shown);
        }
        Ok(Inputs {
            id: sample.id.clone(),
            frames: self.frames(stack.pixels)?,
            shown,
            tiling: clip.tiling(),
            regions,
            tokens: prompt.tokens,
            labels: prompt.labels,
            turns: prompt.turns,
            frame_indices: stack.sources,
            duration_s: clip.duration_s(),
        })
    }

    /// Inputs of a sample that shows nothing.
    fn text_alone(&self, sample: &Sample, purpose: &Purpose) -> Result<Inputs> {
        sample.validate(MediaFacts::default())?;
        if !sample.regions.is_empty() || !sample.times.is_empty() {
            let reason = "it refers to objects or moments, and shows nothing".to_owned();
            return Err(Error::Unsupported { id: sample.id.clone(), reason });
        }
        let prompt = self.prompt.build(sample, 0.0, &Wording::default(), self.learn(purpose))?;
        Ok(Inputs {
            id: sample.id.clone(),
            frames: self.frames(Vec::new())?,
            shown: Vec::new(),
            tiling: None,
            regions: Vec::new(),
            tokens: prompt.tokens,
            labels: prompt.labels,
            turns: prompt.turns,
            frame_indices: Vec::new(),
            duration_s: 0.0,
        })
    }

    /// What is learnt of a conversation, if it is.
    fn learn(&self, purpose: &Purpose) -> Option<Learn> {
        purpose.rng().map(|_| Learn { turns: self.options.turns, labels: self.options.labels })
    }

    /// `(rows, 3, h, w)`
    fn frames(&self, pixels: Vec<f32>) -> Result<Tensor> {
        let size = self.cfg.image_size();
        let rows = pixels.len() / (3 * size * size);
        let frames = Tensor::from_vec(pixels, (rows, 3, size, size), &Device::Cpu)?;
        Ok(if self.options.blind { frames.zeros_like()? } else { frames })
    }

    /// The text of an answer, without special tokens, trimmed.
    pub fn decode(&self, ids: &[u32]) -> Result<String> {
        Ok(self.tokenizer().decode(ids, true)?.trim().to_owned())
    }
}

/// Which masks of a region the model gets.
fn mode_of(sample: &Sample, region: usize) -> RegionMode {
    sample.regions[region].mode
}
