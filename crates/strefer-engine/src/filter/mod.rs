//! Which questions and answers can be believed: checks of words, of records, and of what a model sees.
//!
//! | check | asks | score |
//! |---|---|---|
//! | words | is it a sentence that does not give the object away? | a reason, or none |
//! | masks | does a mask show anything? | a reason, or none |
//! | repeated | does no earlier question say the same? | yes or no |
//! | records | do masks and transcript say the same? | a reason, or none |
//! | cycle | does the answer lead back to the object that is asked about, not to another of the video? | log-probability of the answer for its object, less that for the best other one |
//! | likely | would a model give this answer? | log-probability of a token of the answer, on average |
//!
//! [`spoil`] makes wrong samples of right ones at set rates, and [`measure`] says how well each check tells them apart.

mod evidence;
mod likelihood;
pub mod measure;
mod pairs;
mod records;
mod run;
pub mod scores;
pub mod spoil;
mod words;

pub use evidence::Evidence;
pub use likelihood::Likelihood;
pub use pairs::{only, pairs};
pub use run::{FilterSettings, Filtered, run};
pub use scores::{Against, Limits, Scores};
