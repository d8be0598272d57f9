//! Weights on disk: opening what others published, comparing it with what a model wants, saving what we trained.

mod declared;
mod open;
mod save;

pub use declared::{Declared, Mismatch, Misshapen};
pub use open::Weights;
pub use save::{SyncWrite, save_safetensors, save_safetensors_with};
