//! What all benchmarks are to whoever runs models on them.

use serde_json::Value;

use super::item::Item;
use super::view::View;
use crate::coverage::Unmatched;
use crate::error::Result;
use crate::records::Reply;
use crate::sheet::Sheet;
use crate::videorefer::judge::Judge;

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
}

/// Whom a benchmark may ask to rate answers.
pub type Rater<'a> = Option<(&'a Judge<'a>, &'a (dyn Fn() + Sync))>;

/// A benchmark: its items, how an answer is read, how all answers are scored. The files it is read from are checked when
/// it is opened, nothing is decoded.
pub trait Benchmark: Send + Sync {
    /// As people know it.
    fn title(&self) -> &'static str;

    /// All items, each with an id of its own.
    fn items(&self) -> &[Item];

    /// The line of the sheet that stands for all.
    fn headline(&self) -> &'static str;

    /// What can be asked of it to find out whether a model looked.
    fn probes(&self) -> Vec<View>;

    /// Reads an answer to the item at a position.
    fn read(&self, item: usize, text: &str) -> Reading;

    /// Scores answers, found by the ids of their items.
    ///
    /// # Errors
    /// Answers that are missing or too much, where `unmatched` refuses them.
    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, rater: Rater<'_>) -> Result<Sheet>;

    /// What else a run has to say about how questions were put: words, splits, choices.
    fn facts(&self) -> Value;
}
