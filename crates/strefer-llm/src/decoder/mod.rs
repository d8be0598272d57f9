//! A decoder-only transformer that is Qwen2 (arXiv 2407.10671), Qwen2.5 or Phi-3 (arXiv 2404.14219), depending on its
//! configuration: grouped attention with rotary positions, SwiGLU, RMS norms before each block.

mod attention;
mod cache;
mod config;
mod embedding;
mod head;
mod layer;
mod mlp;
mod model;
mod placement;
mod rope_scaling;
mod rotary;
mod steps;

use cache::Caches;
pub use cache::KvCache;
pub use config::{DecoderConfig, ExtraRows, Layout, LoraSettings};
pub use head::{Loss, logits_at_a_time};
pub use model::{Decoder, positions_of};
pub use placement::Placement;
pub use rope_scaling::RopeScaling;
pub use steps::Steps;
