//! The language model as a GGUF file: written with quantised weights for llama.cpp, and read to run with them here.

mod metadata;
mod names;
mod read;
mod recipe;
mod write;

pub use read::Gguf;
pub use recipe::Quantisation;
pub use write::{Export, export};
