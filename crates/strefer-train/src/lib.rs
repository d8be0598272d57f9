//! Mixture to batches to fine-tuned checkpoint.
//!
//! A run is a [`TrainConfig`]; a [`Trainer`] does it. Everything that a step computes is a pure function of the
//! configuration, the step and the checkpoint before it, so a run that was killed and resumed ends with the same
//! weights, bit for bit.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use strefer_train::{LogLine, Observer, TrainConfig, Trainer};
//!
//! struct Print;
//! impl Observer for Print {
//!     fn line(&mut self, line: &LogLine, total: usize) {
//!         eprintln!("{line:?} of {total}");
//!     }
//! }
//!
//! # fn main() -> strefer_train::Result<()> {
//! let config = TrainConfig::load("configs/train/tiny-sft.toml".as_ref(), &[])?;
//! let mut trainer = Trainer::new(config, false, &candle_core::Device::Cpu)?;
//! trainer.run(&mut Print, &AtomicBool::new(false))?;
//! # Ok(())
//! # }
//! ```

mod checkpoints;
pub mod config;
mod error;
mod history;
mod layers;
mod log;
mod plan;
mod portions;
mod ranks;
mod reader;
mod saver;
mod show;
mod state;
mod tensorboard;
mod trainer;

pub use config::TrainConfig;
pub use error::{Error, Result};
pub use history::History;
pub use log::{EvalReport, LogLine, Share, StepReport, read_log};
pub use plan::{Place, Plan, RankMemory, SampleStatistics};
pub use reader::{Batch, Reader, Seen, Source};
pub use show::{SeenSample, SeenStep};
pub use state::{Best, Progress};
pub use trainer::{Observer, Outcome, Trainer};
