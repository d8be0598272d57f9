//! When does it happen: one sentence, one stretch of a video (Charades-STA, ActivityNet Captions).
//!
//! The overlap is that of the benchmarks' usual scripts: the shared time over the stretch from the earlier start to the
//! later end. An answer without a stretch overlaps with nothing and stays in every mean.
//!
//! ```
//! use strefer_eval::Unmatched;
//! use strefer_eval::grounding::{Query, score};
//! use strefer_eval::records::Reply;
//!
//! let query = Query { id: "a".to_owned(), window_s: [2.0, 6.0] };
//! let reply = Reply { id: "a".to_owned(), text: "It happens from 2 to 4 seconds.".to_owned() };
//! let scores = score(&[query], &[reply], Unmatched::REFUSE)?;
//! assert_eq!((scores.mean_iou, scores.recall_at_1), (0.5, [1.0, 1.0, 0.0]));
//! # Ok::<(), strefer_eval::Error>(())
//! ```

mod score;
mod sheet;

pub use score::{Found, Query, Scores, THRESHOLDS, score};
