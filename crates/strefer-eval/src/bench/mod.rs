//! Benchmarks as one trait: each reads its official files from one layout below a root, yields items (what is shown, asked
//! and true), reads answers and scores them with the scorers of this crate.
//!
//! ```no_run
//! use strefer_eval::Unmatched;
//! use strefer_eval::bench::{BenchId, BenchOptions};
//! use strefer_eval::records::Reply;
//!
//! # fn main() -> strefer_eval::Result<()> {
//! let bench = BenchId::VideoreferQ.open("data/bench".as_ref(), &BenchOptions::default())?;
//! let reply = |item: &strefer_eval::bench::Item| Reply { id: item.id().to_owned(), text: "(A)".to_owned() };
//! let replies: Vec<Reply> = bench.items().iter().map(reply).collect();
//! let sheet = bench.sheet(&replies, Unmatched::REFUSE, None)?;
//! assert_eq!(sheet.coverage.matched, bench.items().len());
//! # Ok(())
//! # }
//! ```

mod benchmark;
mod captions;
mod catalogue;
mod choices;
mod grounded;
mod grounding;
mod hc_stvg;
mod item;
mod layout;
mod lesson;
mod moment_choice;
mod moment_questions;
mod moments;
mod next_qa_open;
mod others;
mod prompt;
mod stkit;
mod tables;
mod video_mme;
mod videorefer_d;
mod videorefer_q;
mod view;

pub use benchmark::{About, Benchmark, Rating, Reading, Verdicts};
pub use catalogue::{BenchId, BenchOptions, Masks, ObjectForm};
pub use item::{Item, LateTurn, Offer, Other};
pub use layout::missing_media;
pub use lesson::{LessonForm, lesson};
pub use others::OtherRecord;
pub use prompt::Words;
pub use view::{Look, Put, View, Views};
