//! Models that really look: Grounding DINO, SAM 2, colours; and boxes that a person drew.
//!
//! All of them take their pixels from one [`FrameStore`], which holds a few frames at a time.

mod boxes;
mod colours;
mod frames;
mod given;
mod tracks;

pub use boxes::{BoxEyes, Thresholds};
pub use colours::ColourLooks;
pub use frames::FrameStore;
pub use given::{DrawnBox, GivenBoxes};
pub use tracks::TrackEyes;
