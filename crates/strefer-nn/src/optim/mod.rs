//! From gradients to new weights.

mod adamw;
mod gradients;
mod moments;

pub use adamw::{AdamW, AdamWConfig, Group};
pub use gradients::Gradients;
pub use moments::MomentType;
