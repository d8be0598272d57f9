//! Questions with given answers: MVBench, Video-MME, Perception Test, NExT-QA, TempCompass and others like them.
//!
//! [`Reading`] finds the chosen option in what a model says, as each benchmark's own script does, except that nothing is
//! guessed: an answer without a choice is counted. [`score`] gives accuracies, over all questions and by group.
//!
//! ```
//! use strefer_eval::choice::Reading;
//!
//! let options = ["a red kite", "a blue car"].map(str::to_owned);
//! assert_eq!(Reading::MvBench.choice("(B) a blue car", &options), Some(1));
//! assert_eq!(Reading::NextQa.choice("I cannot say", &options), None);
//! ```

mod files;
mod letter;
mod next_qa;
mod reading;
mod record;
mod score;
mod sheet;
mod temp_compass;
mod video_mme;
mod video_refer;

pub use files::{Asked, QuestionFile};
pub(crate) use files::{next_qa_groups, read_captions};
pub use reading::Reading;
pub use record::Question;
pub use score::{GroupScores, Scores, Verdict, score};
