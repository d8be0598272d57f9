//! Video to metadata to instructions.
//!
//! Stages write records about a video (entities, masklets, clips, transcript); [`facts::Facts`] reads them, and
//! [`instruct::generate`] asks about what they say. The first source of such records is [`truth`]: a world whose facts
//! are known. Perception stages replace it without the generator noticing.

pub mod config;
pub mod error;
pub mod facts;
pub mod instruct;
pub mod language;
pub mod stages;
pub mod truth;

pub use config::{EngineConfig, InstructConfig};
pub use error::{Error, Result};
