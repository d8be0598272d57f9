//! The vision tower of SigLIP (arXiv 2303.15343), with the published names of its weights: patches become vectors, a
//! transformer without a class token mixes them, and an attention head can pool them.

mod config;
mod embeddings;
mod encoder;
mod head;
mod model;

pub use config::{Activation, FeatureLayer, SiglipConfig};
pub(crate) use encoder::EncoderLayer;
pub use model::SiglipVision;
