//! Weights on disk: opening what others published, saving what we trained.

mod open;
mod save;

pub use open::Weights;
pub use save::{SyncWrite, save_safetensors, save_safetensors_with};
