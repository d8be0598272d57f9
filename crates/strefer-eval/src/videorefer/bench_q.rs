//! VideoRefer-Bench-Q: one of four answers, scored by type of question.
//!
//! Letters are read as the benchmark's own script reads them (`eval_videorefer_bench_q.py`): an answer that starts with
//! the word "Answer" is taken as A.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::coverage::{Coverage, Paired, Unmatched};
use crate::error::Result;
use crate::records::BenchRecord;
use crate::sheet::{Line, Note, Sheet};
use crate::statistics::Statistic;

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

impl Question {
    /// A line of predictions that answers it with `text`.
    pub fn predict(&self, text: &str) -> Prediction {
        Prediction {
            video: self.video.clone(),
            answer: self.answer.clone(),
            pred: text.to_owned(),
            kind: self.kind,
        }
    }
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
pub(crate) fn bracketed(text: &str) -> Option<char> {
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

impl Scores {
    /// Numbers by type of question and over all.
    pub fn to_json(&self) -> Value {
        let entry = |tally: &Tally| json!({"n": tally.n, "right": tally.right});
        let mut types: Map<String, Value> =
            self.by_kind.iter().map(|(kind, tally)| (kind.name().to_owned(), entry(tally))).collect();
        types.insert("average".to_owned(), entry(&self.all));
        json!({"per_type": types, "average_accuracy": self.all.accuracy()})
    }
}

/// Scores a file of predictions alone, as the benchmark's script does; [`matched`] checks that it is complete.
pub fn tally<'a>(predictions: impl IntoIterator<Item = &'a Prediction>) -> Scores {
    let predictions: Vec<&Prediction> = predictions.into_iter().collect();
    let of_kind = |kind: Kind| {
        let own = predictions.iter().copied().filter(|prediction| prediction.kind == kind);
        let tally = Tally::of(own);
        (tally.n > 0).then_some((kind, tally))
    };
    Scores {
        by_kind: Kind::ALL.into_iter().filter_map(of_kind).collect(),
        all: Tally::of(predictions.iter().copied()),
    }
}

/// Puts predictions beside the questions, matched by video, type and answer; of several alike the first goes first.
///
/// # Errors
/// When questions have no prediction or predictions no question, see [`Unmatched`].
pub fn matched<'a>(
    questions: &'a [Question],
    predictions: &'a [Prediction],
    unmatched: Unmatched,
) -> Result<Paired<'a, Question, Prediction>> {
    let mut open: HashMap<String, VecDeque<&Prediction>> = HashMap::new();
    for prediction in predictions {
        open.entry(prediction.key()).or_default().push_back(prediction);
    }
    let (mut coverage, mut pairs) = (Coverage::default(), Vec::new());
    for question in questions {
        let alike = open.get_mut(&key(&question.video, question.kind, &question.answer));
        match alike.and_then(VecDeque::pop_front) {
            Some(prediction) => pairs.push((question, prediction)),
            None => coverage.missing.push(question.key()),
        }
    }
    coverage.matched = pairs.len();
    // Of several alike, those that come last are too many.
    for prediction in predictions.iter().rev() {
        if open.get_mut(&prediction.key()).and_then(VecDeque::pop_back).is_some() {
            coverage.extra.push(prediction.key());
        }
    }
    coverage.extra.reverse();
    Ok(Paired { pairs, coverage: unmatched.admit(coverage)? })
}

/// For people and for programs; accuracies in percent.
pub fn sheet(paired: &Paired<'_, Question, Prediction>) -> Sheet {
    let scores = tally(paired.pairs.iter().map(|(_, prediction)| *prediction));
    let line = |name: &str, counts: &dyn Fn(Kind) -> bool| {
        let share = |(_, prediction): &(_, &Prediction)| {
            counts(prediction.kind).then_some(if prediction.correct() { 100.0 } else { 0.0 })
        };
        Line::of(name, "%", 1, Statistic::mean(paired.pairs.iter().map(share).collect()))
    };
    let mut lines: Vec<Line> =
        scores.by_kind.keys().map(|&kind| line(kind.name(), &|other| other == kind)).collect();
    lines.push(line("average", &|_| true));
    let unread = paired.pairs.iter().filter(|(_, prediction)| prediction.letter().is_none());
    let unread = unread.map(|(question, _)| question.key()).collect();
    Sheet {
        benchmark: "VideoRefer-Bench-Q",
        coverage: paired.coverage.clone(),
        lines,
        notes: Note::about("answered without a letter, counted as wrong", unread).into_iter().collect(),
        metrics: scores.to_json(),
    }
}
