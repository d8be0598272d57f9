//! Questions with known short answers, and whether the model looked: the same questions without the video, and with
//! the mask of another object.

mod answer;
mod table;

pub use answer::{Answer, Look, accuracy_by_kind, answer_all, normalise};
pub use table::{Interval, QuizTable, Row, Share};
