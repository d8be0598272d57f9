//! Referring masklets: expressions become masks in all frames of a video.
//!
//! The models that look at the video stand behind the traits of [`seam`]: a detector, a tracker, a referee that tells which
//! box an expression means, and descriptions of looks. [`eyes`] and [`referees`] are real ones, [`simulate`] makes some from what is known
//! about a video. Two sets of rules use them:
//!
//! - [`published`]: the algorithm of Strefer as it was released, with all that it gets wrong.
//! - [`corrected`]: the default. Objects that come late get masklets, those that return keep theirs, a conflict costs only
//!   the expressions in it, several frames are asked about, and every masklet says how sure it is.
//!
//! Both give one [`Masklets`](strefer_core::records::Masklets) record a video. What goes wrong stands in it.

pub mod boxes;
pub mod corrected;
pub mod eyes;
pub mod hungarian;
pub mod published;
mod record;
pub mod referees;
pub mod request;
pub mod seam;
pub mod simulate;

pub use corrected::CorrectedConfig;
pub use published::PublishedConfig;
pub use request::{Sought, Timeline};
pub use seam::{
    Answer, Area, Detection, Detector, Looks, Nobody, Perception, Referee, Seen, Tracker, Tracking, Way,
};
