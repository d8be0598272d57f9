//! Models that really look: Grounding DINO, SAM 2, colours; and boxes that a person drew.
//!
//! All of them take their pixels from one [`FrameStore`], which holds a few frames at a time. The referee is somebody else's:
//! [`TextReferee`] takes any function that answers in RexSeek's words.

mod boxes;
mod colours;
mod frames;
mod given;
mod text;
mod tracks;

pub use boxes::{BoxEyes, Thresholds};
pub use colours::ColourLooks;
pub use frames::FrameStore;
pub use given::{DrawnBox, GivenBoxes};
pub use text::{AnswerText, TextReferee};
pub use tracks::TrackEyes;
