//! Depth Anything V2 (arXiv 2406.09414) in its metric form: one picture becomes depth in metres. Weights have the names of
//! transformers.
//!
//! The form for depth up to an unknown scale and shift ends in a ReLU and gives inverse depth; it is refused here, since its
//! numbers would look like metres.

mod config;
mod dinov2;
mod model;
mod neck;

pub use config::{DepthAnythingConfig, Dinov2Config};
pub use model::DepthAnything;
