//! Whole datasets become samples, in a folder that a run can be stopped in and goes on in.
//!
//! Each recording's clip is kept by a digest of what it is made from, as the stages of [`crate::pipeline`] are; several processes may
//! share the work. Then all clips are asked about at once, since answers are balanced over them, and boxes are drawn into copies
//! of their frames.

mod collect;
mod config;
mod join;
mod pictures;
mod report;
mod source;

pub use collect::{Event, StkitRun, Summary};
pub use config::{Origin, PictureConfig, PictureKind, SourceConfig, StkitRunConfig, VERSION, WorkConfig};
pub use report::{Report, SourceReport, TrackError};
pub use source::Source;
