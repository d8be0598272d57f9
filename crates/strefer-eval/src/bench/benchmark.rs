//! What all benchmarks are to whoever runs models on them.

use std::collections::{BTreeMap, HashMap};

use serde_json::{Value, json};

use super::item::Item;
use super::view::View;
use crate::coverage::{Coverage, Unmatched};
use crate::error::Result;
use crate::records::Reply;
use crate::sheet::{Note, Sheet};

/// What became of one answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Reading {
    /// What was understood; null when nothing was.
    pub parsed: Value,
    /// What it counts, 0 to 1; absent where an answer alone has no score.
    pub score: Option<f64>,
    /// The position of the offered answer that was chosen, where answers are offered.
    pub chosen: Option<usize>,
}

impl Reading {
    /// An answer that chose one of several.
    pub(super) fn choice(chosen: Option<usize>, answer: usize) -> Self {
        let score = if chosen == Some(answer) { 1.0 } else { 0.0 };
        Self { parsed: chosen.into(), score: Some(score), chosen }
    }

    /// An answer in words, which alone has no score.
    pub(super) fn words(text: &str) -> Self {
        Self { parsed: json!(text.trim()), ..Self::default() }
    }
}

/// What a judge's reply makes of one answer.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Rating {
    /// What the answer counts; absent when the reply does not say it.
    pub score: Option<f64>,
    /// The points that were rated, by name.
    pub points: BTreeMap<String, f64>,
}

/// What a judge said of answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdicts {
    /// Who judged, and how it was asked.
    pub judge: Value,
    /// Its replies by the ids of the items; answers that it gave none to are absent.
    pub replies: HashMap<String, String>,
}

/// The sheet of answers that nobody judged.
pub(super) fn unjudged(benchmark: &'static str, coverage: Coverage, what: &str) -> Sheet {
    let notes = vec![Note { what: what.to_owned(), ids: Vec::new() }];
    Sheet { benchmark, coverage, lines: Vec::new(), notes, metrics: json!({}) }
}

/// What is said of a benchmark without answers.
#[derive(Debug, Clone)]
pub struct About {
    /// As people know it.
    pub title: &'static str,
    /// The line of the sheet that stands for all.
    pub headline: &'static str,
    /// All items, each with an id of its own.
    pub items: Vec<Item>,
    /// What can be asked to find out whether a model looked.
    pub probes: Vec<View>,
    /// What else a run has to say about how questions were put.
    pub facts: Value,
}

/// A benchmark: its items, how an answer is read, how all answers are scored. The files it is read from are checked when
/// it is opened, nothing is decoded.
pub trait Benchmark: Send + Sync {
    /// What is said of it without answers.
    fn about(&self) -> &About;

    /// As people know it.
    fn title(&self) -> &'static str {
        self.about().title
    }

    /// All items, each with an id of its own.
    fn items(&self) -> &[Item] {
        &self.about().items
    }

    /// The line of the sheet that stands for all.
    fn headline(&self) -> &'static str {
        self.about().headline
    }

    /// What can be asked of it to find out whether a model looked.
    fn probes(&self) -> Vec<View> {
        self.about().probes.clone()
    }

    /// What else a run has to say about how questions were put: words, splits, choices.
    fn facts(&self) -> Value {
        self.about().facts.clone()
    }

    /// Reads an answer to the item at a position.
    fn read(&self, item: usize, text: &str) -> Reading;

    /// What a judge has to be asked about an answer to the item at a position, where answers alone have no score.
    fn judged(&self, _item: usize, _text: &str) -> Option<String> {
        None
    }

    /// Reads a judge's reply about the answer to the item at a position.
    fn rating(&self, _item: usize, _reply: &str) -> Rating {
        Rating::default()
    }

    /// Scores answers, found by the ids of their items; `verdicts` where a judge was asked about them.
    ///
    /// # Errors
    /// Answers that are missing or too much, where `unmatched` refuses them.
    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, verdicts: Option<&Verdicts>) -> Result<Sheet>;
}
