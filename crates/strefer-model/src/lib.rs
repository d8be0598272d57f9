//! The Video LLM: vision tower, video connector, region-language connector with mask pooling, timestamp tokens,
//! splicing and generation.
//!
//! A model is a [`VideoLlmConfig`] that names one of each part. [`Processor`] turns a
//! [`Sample`](strefer_core::Sample) into [`Inputs`]; [`VideoLlm`] turns inputs into a loss or an answer.
//!
//! ```no_run
//! use candle_core::{DType, Device};
//! use strefer_core::Sample;
//! use strefer_llm::GenerationConfig;
//! use strefer_model::{Checkpoint, ProcessorOptions, Purpose};
//!
//! # fn answer(sample: &Sample) -> strefer_model::Result<String> {
//! let checkpoint = Checkpoint::open("checkpoints/strefer-tiny")?;
//! let loaded = checkpoint.load(&Device::Cpu, DType::F32, ProcessorOptions::default())?;
//! let inputs = loaded.processor.process(sample, &Purpose::Infer)?;
//! let ids = loaded.model.generate(&inputs, &GenerationConfig::default(), |_| std::ops::ControlFlow::Continue(()))?;
//! loaded.processor.decode(&ids)
//! # }
//! ```

pub mod checkpoint;
pub mod config;
pub mod connector;
pub mod convert;
mod error;
pub mod family;
mod feature_cache;
mod frame_time;
mod generation;
mod inputs;
mod origin;
pub mod preset;
mod processor;
pub mod question;
pub mod recording;
pub mod region;
pub mod rexseek;
mod splice;
mod start;
pub mod tiles;
pub mod time;
pub mod tracking;
mod video_llm;

pub use checkpoint::{Checkpoint, Loaded, Loading};
pub use config::VideoLlmConfig;
pub use error::{Error, Result};
pub use family::Family;
pub use feature_cache::FeatureCache;
pub use inputs::{IGNORE, Inputs, PromptToken};
pub use origin::Origin;
pub use processor::{
    FrameCache, FrameOrder, LabelRule, Processor, ProcessorOptions, Purpose, REGION_TOKEN, Showing,
    VIDEO_TOKEN, VisualPrompt, show,
};
pub use splice::{Packing, Placed, SplicePlan, SpliceRow};
pub use video_llm::{Encoded, Spliced, VideoLlm, prefix};
