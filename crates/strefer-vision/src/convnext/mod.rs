//! ConvNeXt (arXiv 2201.03545), the tower of high-resolution features of RexSeek: maps of four stages. Weights have the names
//! of transformers; those of timm and of RexSeek are renamed while they are read.

mod boxes;
mod model;
mod names;

pub use boxes::{box_features, box_positions};
pub use model::{ConvNext, ConvNextConfig};
pub use names::canonical;
