//! Benchmarks: prompts, runs, metrics, reports.
//!
//! [`quiz`] asks questions whose answers are known and says whether the model looked; [`report`] makes a page of it.

mod error;
pub mod quiz;
pub mod report;

pub use error::{Error, Result};
