//! STKit-Bench of [ST-VLM](https://arxiv.org/abs/2503.19355): how far, how fast and which way objects move, said in words.
//!
//! [`parse`] reads an answer out of a sentence, [`judge`] compares it with the truth, [`score`] does both for a file of
//! answers. The paper lets a language model read the answers; the rules here are ours.
//!
//! ```
//! use strefer_core::{StkitAnswer, StkitTask};
//! use strefer_eval::stkit::{judge, parse};
//!
//! let said = parse(StkitTask::TravelingSpeed, "Roughly 10 m/s.", &[]);
//! assert_eq!(said, Some(StkitAnswer::Number(36.0)));
//! assert!(judge(&StkitAnswer::Number(30.0), said.as_ref()).correct);
//! ```

mod parse;
mod score;
mod sheet;

pub use parse::parse;
pub use score::{Answered, Judged, Question, Scores, TaskScores, Verdict, judge, score, summarise};
