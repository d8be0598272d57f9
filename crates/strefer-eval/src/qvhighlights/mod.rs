//! [QVHighlights](https://arxiv.org/abs/2107.09609): when in the video does it happen, and what is worth watching.
//!
//! Numbers are those of the benchmark's own evaluator (`standalone_eval` of github.com/jayleicn/moment_detr), to the last
//! printed digit.
//!
//! ```
//! use strefer_eval::Unmatched;
//! use strefer_eval::qvhighlights::{Annotation, Prediction, score};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let annotation: Annotation = serde_json::from_str(
//!     r#"{"qid": 1, "query": "a potter lifts a bowl", "duration": 150, "vid": "a_0.0_150.0",
//!         "relevant_windows": [[12, 16]], "relevant_clip_ids": [6, 7], "saliency_scores": [[3, 4, 2], [4, 4, 4]]}"#,
//! )?;
//! let prediction: Prediction =
//!     serde_json::from_str(r#"{"qid": 1, "vid": "a_0.0_150.0", "pred_relevant_windows": [[12, 17, 0.9]]}"#)?;
//! let scores = score(&[annotation], &[prediction], Unmatched::REFUSE)?;
//! let moments = scores.moments.ok_or("no windows")?;
//! assert_eq!(moments.full.recall_at_1[0], 1.0);
//! # Ok(())
//! # }
//! ```

mod average_precision;
mod highlights;
mod moments;
mod record;
mod score;
mod sheet;

pub use highlights::{HighlightScores, Level, LevelScores, QueryHighlights};
pub use moments::{LengthClass, MomentScores, QueryScores, SubsetScores, THRESHOLDS};
pub use record::{Annotation, CLIP_S, Prediction};
pub use score::{Scores, score};
