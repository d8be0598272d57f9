//! From gradients to new weights.

mod adamw;
mod gradients;

pub use adamw::{AdamW, AdamWConfig, Group};
pub use gradients::Gradients;
