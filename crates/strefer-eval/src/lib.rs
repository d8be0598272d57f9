//! Benchmarks: prompts, runs, metrics, reports.
//!
//! [`mod@bench`] reads benchmarks, [`answer`] is who answers, [`run`] puts the one to the other in a folder that processes may
//! share and that probes whether the model looked; [`leaderboard`] puts runs beside published numbers.
//!
//! [`quiz`] asks questions whose answers are known and says whether the model looked; [`report`] makes a page of it.
//!
//! What a model said is scored without the model: moments and highlights ([`qvhighlights`]), motion ([`stkit`]), captions
//! ([`captioning`]), masked objects ([`videorefer`]), given answers ([`choice`]), when a sentence happens ([`grounding`]), masks through videos ([`masklets`]), short answers ([`wups`]). [`records`] reads the files,
//! predictions that are missing or too much are refused unless [`Unmatched`] says otherwise, [`Bootstrap`] says how
//! sure a number is, and every benchmark's scores become a [`Sheet`], which people and programs can read ([`Summary`]).

pub mod answer;
pub mod bench;
pub mod captioning;
pub mod choice;
mod coverage;
mod error;
pub mod grounding;
mod interval;
pub mod judge;
pub mod leaderboard;
pub mod masklets;
mod overlap;
pub mod quiz;
pub mod qvhighlights;
pub mod records;
pub mod report;
pub mod run;
mod sheet;
mod statistics;
pub mod stkit;
mod token;
pub mod videorefer;
pub mod wups;

pub use coverage::{Coverage, Paired, Unmatched, pair};
pub use error::{Error, Result};
pub use interval::intervals;
pub use sheet::{Line, Note, Sheet, Summary};
pub use statistics::{Bootstrap, Difference, Statistic};
