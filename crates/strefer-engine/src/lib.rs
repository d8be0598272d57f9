//! Video to metadata to instructions.
//!
//! Stages write records about a video (entities, masklets, clips, transcript); [`facts::Facts`] reads them, and
//! [`instruct::generate`] asks about what they say. Records come from teachers and models that look at a video ([`pipeline`]), or
//! from a world whose facts are known ([`truth`]), without the generator noticing.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//!
//! use candle_core::Device;
//! use strefer_engine::clips::ColourFeatures;
//! use strefer_engine::pipeline::{Crew, Prompts, Run, RunFolder, Teachers, input};
//! use strefer_engine::queue::FolderQueue;
//! use strefer_engine::EngineConfig;
//!
//! # fn main() -> strefer_engine::Result<()> {
//! let cfg = EngineConfig::load("engine.toml".as_ref(), &[])?;
//! let inputs = input::videos("videos".as_ref())?;
//! let folder = RunFolder::claim("runs/engine".as_ref(), &cfg, false)?;
//! let crew = Crew {
//!     teachers: Teachers::open(&cfg.teachers, &folder.path("teachers"), false, &|| Ok(Device::Cpu))?,
//!     prompts: Prompts::open(&cfg, "".as_ref())?,
//!     masklets: None,
//!     describer: None,
//!     features: Box::new(ColourFeatures),
//! };
//! let stop = AtomicBool::new(false);
//! let run = Run { cfg: &cfg, crew: &crew, folder: &folder, only: None, retry: false, stop: &stop, observer: &|_| {} };
//! let queue = FolderQueue::open(folder.path("leases"), run.work_names(&inputs))?;
//! let summary = run.join(&inputs, run.over(&inputs, &queue)?)?;
//! assert!(summary.turns >= summary.samples);
//! # Ok(())
//! # }
//! ```

pub mod clips;
pub mod config;
pub mod counterpart;
pub mod error;
pub mod export;
pub mod facts;
pub mod filter;
pub mod inspect;
pub mod instruct;
pub mod language;
pub mod masklets;
pub mod pipeline;
pub mod queue;
pub mod stages;
pub mod stkit;
pub mod truth;

pub use config::{EngineConfig, InstructConfig};
pub use error::{Error, Result};
