//! A synthetic world rendered to video files, with exact ground truth.
//!
//! Textured, shaded bodies stand on a ground plane, in metres, seen by a known camera. Each has a name a person would use
//! and does one thing after another; some enter late, leave, come back or pass behind each other. Everything is a pure
//! function of a config, a split, a seed and an index, so a world can be made again anywhere.
//!
//! ```no_run
//! use strefer_synth::{Split, WorldConfig, write_world};
//!
//! # fn main() -> strefer_synth::Result<()> {
//! let world = WorldConfig::default();
//! let out = std::path::Path::new("data/world");
//! write_world(&world, Split::Train, 7, 0..100, out, &|done| eprintln!("{done} clips"))?;
//! # Ok(())
//! # }
//! ```

mod config;
mod error;
mod geometry;
mod render;
mod truth;
mod world;
mod write;

pub use config::{Split, WorldConfig};
pub use error::{Error, Result};
pub use truth::{BodyTruth, CameraTruth, ClipTruth, Event, SegmentTruth, Side};
pub use world::{Action, Attributes, Clip, Colour, Pattern, Shape, Size};
pub use write::{WorldManifest, read_truth, write_world};
