//! Synthetic counterparts of benchmarks: worlds whose truth is known, asked about in the official files of
//! VideoRefer-Bench-Q and -D and of QVHighlights, so that the whole way from a file to a score runs without a download.
//!
//! Beside what the benchmarks publish stands what they cannot know: the right answer for another object of the same video
//! (`*.others.jsonl`), for probes.

mod highlights;
mod questions;
mod regions;

pub use highlights::{Highlights, highlights};
pub use questions::{DescriptionRecord, QuestionRecord, Questions, descriptions, questions};
