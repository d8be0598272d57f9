//! The vision tower of CLIP (arXiv 2103.00020), with the published names of its weights: a class token and patches pass a
//! norm and a transformer, whose layers are those of [`crate::siglip`].

mod config;
mod model;

pub use config::ClipVisionConfig;
pub use model::ClipVision;
