//! SAM 2.1 (arXiv 2408.00714): masks of whatever clicks, boxes or masks point at, in images and through videos. Weights
//! have the names of transformers' `Sam2VideoModel`; checkpoints with the original names are renamed while they are read.
//!
//! - [`Sam2`] encodes an image once and answers any number of prompts about it.
//! - [`Sam2Video`] follows objects through a video. What it remembers is a [`Session`].

mod bank;
mod config;
mod hiera;
mod holes;
mod image;
mod mask_decoder;
mod memory_attention;
mod memory_encoder;
mod names;
mod neck;
mod pixels;
mod prompt;
mod prompt_encoder;
mod propagate;
mod recall;
mod session;
mod two_way;
mod video;

pub use bank::{BankEntry, Direction};
pub use config::{BackboneConfig, MaskDecoderConfig, PromptEncoderConfig, Sam2Config, VisionConfig};
pub use hiera::Hiera;
pub use holes::fill_holes;
pub use image::{ImageFeatures, Prediction, Sam2};
pub use mask_decoder::{Chosen, Decoded};
pub use memory_attention::Memory;
pub use names::canonical;
pub use pixels::pixels;
pub use prompt::{Click, Label, Prompt, PromptPoint, VideoPrompt};
pub use propagate::{Pass, Propagation};
pub use session::{Follow, FrameMasks, Keep, ObjectMask, Session, SessionOptions};
pub use video::Sam2Video;
