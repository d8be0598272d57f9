//! SigLIP (arXiv 2303.15343), with the published names of its weights. In the vision tower patches become vectors, a
//! transformer without a class token mixes them, and an attention head can pool them; the text tower makes a vector of a
//! short text; [`Siglip`] says how well the two fit.

mod config;
mod embeddings;
mod encoder;
mod head;
mod model;
mod pair;
mod text;

pub use config::{Activation, FeatureLayer, SiglipConfig};
pub(crate) use encoder::EncoderLayer;
pub use model::SiglipVision;
pub use pair::{Siglip, SiglipPair, SiglipPairConfig};
pub use text::{SiglipText, SiglipTextConfig};
