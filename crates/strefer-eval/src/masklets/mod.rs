//! Masks through a video, scored beside the true ones.
//!
//! [`score()`] takes [`Masklets`](strefer_core::records::Masklets) records: overlap (J) and boundaries (F), whether an entity
//! has a masklet at all, whether it shows that entity, how often it goes over to another one, and how long it takes until
//! it is found. Entities that come late or return have lines of their own. [`davis`] scores folders in the layout of DAVIS.

mod boundary;
pub mod davis;
mod identity;
mod overlap;
mod record;
mod score;
mod sheet;

pub use boundary::{boundary, f_measure};
pub use overlap::jaccard;
pub use record::VideoMasklets;
pub use score::{ObjectScore, Presence, Scores, VideoScore, score};
