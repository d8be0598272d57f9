//! The region-language connector: features under an object's masks become one to four tokens
//! (VideoRefer, arXiv 2501.00599; `MaskExtractor` of the reference).

mod encoder;
mod grid;
mod merge;
mod place;

pub use encoder::{RegionConfig, RegionEncoder, RegionRows};
pub use grid::grid_mask;
pub use merge::{adjacent_similarities, merge_groups};
pub use place::MaskPlace;
pub(crate) use place::{WAVES, waves_of};
