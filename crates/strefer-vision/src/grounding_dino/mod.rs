//! Grounding DINO (arXiv 2303.05499): boxes of everything that a list of phrases names, with the published names of its
//! weights as transformers has them.
//!
//! - [`GroundingDino`] is the network: pixels and token ids in, boxes and scores per token out.
//! - [`Detector`] is the network with its tokenizer: an image and phrases in, boxes with their phrases out.
//!
//! Reading order: [`Swin`] and [`Levels`] (the image), [`Bert`] and [`Phrases`] (the text), encoder, queries, decoder.

mod bert;
mod config;
mod decoder;
mod deformable;
mod detections;
mod detector;
mod encoder;
mod levels;
mod model;
mod phrases;
mod preprocess;
mod queries;
mod swin;

pub use bert::{Bert, Sight};
pub use config::{BertConfig, GroundingDinoConfig, SwinConfig, TextMask};
pub use decoder::Decoded;
pub use detections::{Detection, Thresholds, detections};
pub use detector::{Detector, Found};
pub use encoder::EncoderLayerStates;
pub use levels::Levels;
pub use model::{Answer, GroundingDino, ImageBatch, Steps};
pub use phrases::Phrases;
pub use preprocess::{batch, image_size};
pub use queries::Selected;
pub use swin::Swin;
