//! From gradients to new weights.

mod adamw;
#[cfg(feature = "cuda")]
mod card;
mod gradients;
mod moments;
mod update;

pub use adamw::{AdamW, AdamWConfig, Group};
pub use gradients::Gradients;
#[cfg(feature = "cuda")]
pub(crate) use moments::Kept;
pub use moments::{MomentType, code_values};
