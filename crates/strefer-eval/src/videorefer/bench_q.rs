//! VideoRefer-Bench-Q: one of four answers, scored by type of question.
//!
//! Letters are read as the benchmark's own script reads them (`eval_videorefer_bench_q.py`): an answer that starts with
//! the word "Answer" is taken as A.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::coverage::{Coverage, Unmatched};
use crate::error::{Error, Result};
use crate::records::BenchRecord;

/// What a question asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Kind {
    /// What is seen.
    #[serde(rename = "Basic Questions")]
    Basic,
    /// What comes after what.
    #[serde(rename = "Sequential Questions")]
    Sequential,
    /// How objects stand to each other.
    #[serde(rename = "Relationship Questions")]
    Relationship,
    /// Why.
    #[serde(rename = "Reasoning Questions")]
    Reasoning,
    /// What comes next.
    #[serde(rename = "Future Predictions")]
    Future,
}

impl Kind {
    /// All of them, in the order of the paper.
    pub const ALL: [Self; 5] =
        [Self::Basic, Self::Sequential, Self::Relationship, Self::Reasoning, Self::Future];

    /// As it is called in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Basic => "Basic Questions",
            Self::Sequential => "Sequential Questions",
            Self::Relationship => "Relationship Questions",
            Self::Reasoning => "Reasoning Questions",
            Self::Future => "Future Predictions",
        }
    }
}

/// A question of `VideoRefer-Bench-Q.json`, as far as scores need it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Question {
    /// Its id.
    pub id: u64,
    /// Folder of frames.
    pub video: String,
    /// What it asks for.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// `(A) …` to `(D) …`.
    pub options: Vec<String>,
    /// The right option, whole.
    #[serde(rename = "Answer")]
    pub answer: String,
}

impl BenchRecord for Question {
    fn key(&self) -> String {
        self.id.to_string()
    }

    fn fault(&self) -> Option<String> {
        if bracketed(&self.answer).is_none() {
            return Some(format!("answer {:?} names no option", self.answer));
        }
        let none = !self.options.contains(&self.answer);
        none.then(|| format!("answer {:?} is none of its options", self.answer))
    }
}

/// A line of a file of predictions: it repeats its question's video, type and answer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Folder of frames.
    pub video: String,
    /// The right option, whole.
    #[serde(rename = "Answer")]
    pub answer: String,
    /// What the model says.
    pub pred: String,
    /// What the question asks for.
    #[serde(rename = "type")]
    pub kind: Kind,
}

impl BenchRecord for Prediction {
    const UNIQUE: bool = false;

    fn key(&self) -> String {
        key(&self.video, self.kind, &self.answer)
    }

    fn fault(&self) -> Option<String> {
        bracketed(&self.answer).is_none().then(|| format!("answer {:?} names no option", self.answer))
    }
}

impl Prediction {
    /// The letter that the model chooses; `None` when it says none.
    pub fn letter(&self) -> Option<char> {
        letter(&self.pred)
    }

    /// Whether it chooses the right option.
    pub fn correct(&self) -> bool {
        self.letter().is_some_and(|said| bracketed(&self.answer) == Some(said))
    }
}

fn key(video: &str, kind: Kind, answer: &str) -> String {
    format!("{video}: {}, {answer}", kind.name())
}

/// The first capital in round brackets.
fn bracketed(text: &str) -> Option<char> {
    let chars: Vec<char> = text.chars().collect();
    chars.windows(3).find(|it| it[0] == '(' && it[1].is_ascii_uppercase() && it[2] == ')').map(|it| it[1])
}

/// A capital in brackets, else before a closing bracket, else the first character that is no full stop, as a capital.
fn letter(text: &str) -> Option<char> {
    let chars: Vec<char> = text.chars().collect();
    let closed = || chars.windows(2).find(|it| it[0].is_ascii_uppercase() && it[1] == ')').map(|it| it[0]);
    let first = || chars.iter().copied().find(|c| *c != '.').filter(char::is_ascii_alphabetic);
    bracketed(text).or_else(closed).or_else(first).map(|c| c.to_ascii_uppercase())
}

/// How many answers are right.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tally {
    /// Questions.
    pub n: usize,
    /// Right answers.
    pub right: usize,
    /// Answers without a letter; they count as wrong.
    pub unparsed: usize,
}

impl Tally {
    /// Share of right answers, 0 to 1; 0 without questions.
    pub fn accuracy(&self) -> f64 {
        if self.n == 0 { 0.0 } else { self.right as f64 / self.n as f64 }
    }

    fn of<'a>(predictions: impl Iterator<Item = &'a Prediction>) -> Self {
        predictions.fold(Self::default(), |tally, prediction| Self {
            n: tally.n + 1,
            right: tally.right + usize::from(prediction.correct()),
            unparsed: tally.unparsed + usize::from(prediction.letter().is_none()),
        })
    }
}

/// Scores by type and over all questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Scores {
    /// Types that are asked, in the order of [`Kind::ALL`].
    pub by_kind: BTreeMap<Kind, Tally>,
    /// Over all questions, not the mean of the types.
    pub all: Tally,
}

/// Scores a file of predictions alone, as the benchmark's script does; [`score`] checks that it is complete.
pub fn tally(predictions: &[Prediction]) -> Scores {
    let of_kind = |kind: Kind| {
        let tally = Tally::of(predictions.iter().filter(|prediction| prediction.kind == kind));
        (tally.n > 0).then_some((kind, tally))
    };
    Scores {
        by_kind: Kind::ALL.into_iter().filter_map(of_kind).collect(),
        all: Tally::of(predictions.iter()),
    }
}

/// Scores predictions against the questions; they are matched by video, type and answer.
///
/// # Errors
/// When questions have no prediction or predictions no question, see [`Unmatched`].
pub fn score(
    questions: &[Question],
    predictions: &[Prediction],
    unmatched: Unmatched,
) -> Result<(Scores, Coverage)> {
    let mut open: BTreeMap<String, Vec<&Question>> = BTreeMap::new();
    for question in questions.iter().rev() {
        open.entry(key(&question.video, question.kind, &question.answer)).or_default().push(question);
    }
    let (mut coverage, mut matched) = (Coverage::default(), Vec::new());
    for prediction in predictions {
        match open.get_mut(&prediction.key()).and_then(Vec::pop) {
            Some(_) => matched.push(prediction.clone()),
            None => coverage.extra.push(prediction.key()),
        }
    }
    coverage.matched = matched.len();
    coverage.missing = open.values().flatten().map(|question| question.key()).collect();
    let refused = unmatched == Unmatched::Refuse && !coverage.is_complete();
    if refused || matched.is_empty() {
        return Err(Error::Unmatched { coverage });
    }
    Ok((tally(&matched), coverage))
}
