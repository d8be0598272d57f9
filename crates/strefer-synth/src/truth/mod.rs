//! What is true of a clip.

mod events;
mod film;
mod record;

pub use record::{BodyTruth, CameraTruth, ClipTruth, Event, SegmentTruth, Side};
