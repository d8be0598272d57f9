//! Many sources of samples become one mixture on disk: what is wrong, repeated or part of a benchmark is left out, videos are
//! held out for choosing, and what is left is cut to the composition that is wanted.
//!
//! Sources are read twice: the first pass decides, the second writes. Between them a sample is some twenty bytes, so that
//! millions fit. Which samples are taken depends on the seed and on what they say; of repeats the first is taken.
//!
//! ```no_run
//! use std::sync::atomic::AtomicBool;
//! use strefer_store::mix::{Aids, MixConfig, mix};
//!
//! # fn main() -> strefer_store::Result<()> {
//! let cfg = MixConfig::load("configs/mixture/strefer-final.toml".as_ref(), &[])?;
//! let report = mix(&cfg, "data/final".as_ref(), &Aids::default(), &AtomicBool::new(false), &mut |_| {})?;
//! println!("{} samples", report.train);
//! # Ok(())
//! # }
//! ```

mod choose;
mod config;
mod keys;
mod references;
mod report;
mod run;
mod source;
mod survey;
pub mod weights;
mod write;

pub use config::{Duplicates, MixConfig, MixSource, References, Refers, Unwanted, ValConfig};
pub use keys::video_key;
pub use report::{Dropped, MixReport, SourceReport, Tokens};
pub use run::{Aids, Pass, Progress, mix};
