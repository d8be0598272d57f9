//! Video to metadata to instructions.
//!
//! Stages write records about a video (entities, masklets, clips, transcript); [`facts::Facts`] reads them, and
//! [`instruct::generate`] asks about what they say. The first source of such records is [`truth`]: a world whose facts
//! are known. Perception stages replace it without the generator noticing.
//!
//! ```no_run
//! use strefer_engine::{EngineConfig, run::run, truth::TruthVideo};
//!
//! # fn worlds() -> Vec<TruthVideo> { Vec::new() }
//! # fn main() -> strefer_engine::Result<()> {
//! let inputs = worlds().into_iter().map(|world| Ok(world.stages()));
//! let summary = run(inputs, "data/world".as_ref(), &EngineConfig::default(), |video| eprintln!("{video}"))?;
//! assert!(summary.turns >= summary.samples);
//! # Ok(())
//! # }
//! ```

pub mod config;
pub mod counterpart;
pub mod error;
pub mod export;
pub mod facts;
pub mod instruct;
pub mod language;
pub mod masklets;
pub mod run;
pub mod stages;
pub mod stkit;
pub mod truth;

pub use config::{EngineConfig, InstructConfig};
pub use error::{Error, Result};
