//! Referring masklets: expressions become masks in all frames of a video.
//!
//! The models that look at the video stand behind the traits of [`seam`]: a detector, a tracker, a referee that tells which
//! box an expression means, and descriptions of looks. [`published`] is the algorithm of Strefer as it was released, with
//! all that it gets wrong.
//!
//! Rules give one [`Masklets`](strefer_core::records::Masklets) record a video. What goes wrong stands in it.

pub mod answer;
pub mod boxes;
pub mod hungarian;
pub mod published;
mod record;
pub mod request;
pub mod seam;

pub use published::PublishedConfig;
pub use request::{Sought, Timeline};
pub use seam::{
    Answer, Area, Detection, Detector, Looks, Nobody, Perception, Referee, Tracker, Tracking, Way,
};
