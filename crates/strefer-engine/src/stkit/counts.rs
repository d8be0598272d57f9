//! How many questions there are of each task, by source and by answer.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strefer_core::StkitTask;

use crate::stkit::question::Question;

/// What a question counts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    /// Its task.
    pub task: StkitTask,
    /// The source of its clip.
    pub source: String,
    /// Its answer, as answers are balanced.
    pub bin: String,
}

impl Kind {
    /// The kind of a question about a source.
    pub fn of(question: &Question, source: &str) -> Self {
        let task = question.task();
        Self { task, source: source.to_owned(), bin: bin_name(task, question.bin()) }
    }
}

/// Numbers of questions of one task.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskCounts {
    /// All of them.
    pub questions: usize,
    /// By source.
    pub sources: BTreeMap<String, usize>,
    /// By answer.
    pub bins: BTreeMap<String, usize>,
}

/// Numbers of questions, task by task.
pub type Counts = BTreeMap<StkitTask, TaskCounts>;

/// Counts questions.
pub fn count<'a>(kinds: impl IntoIterator<Item = &'a Kind>) -> Counts {
    let mut counts = Counts::new();
    for Kind { task, source, bin } in kinds {
        let counts = counts.entry(*task).or_default();
        counts.questions += 1;
        *counts.sources.entry(source.clone()).or_default() += 1;
        *counts.bins.entry(bin.clone()).or_default() += 1;
    }
    counts
}

/// A bin of [`Question::bin`] in words. Their order is that of the text.
fn bin_name(task: StkitTask, bin: usize) -> String {
    let range = |low: usize, high: usize, unit: &str| format!("{low:03} to {high} {unit}");
    match task {
        StkitTask::TraveledDistance => match bin {
            0 => range(0, 5, "m"),
            1 => range(5, 10, "m"),
            11 => "100 m and more".to_owned(),
            _ => range(10 * (bin - 1), 10 * bin, "m"),
        },
        StkitTask::TravelingSpeed => match bin {
            12 => "060 km/h and more".to_owned(),
            _ => range(5 * bin, 5 * bin + 5, "km/h"),
        },
        StkitTask::MovementDirection | StkitTask::DirectionTimestamp => format!("{bin:02} o'clock"),
        StkitTask::TraveledDistanceComparison | StkitTask::TravelingSpeedComparison => {
            let (winner, more) = (["first", "second"][bin / 2], ["less", "more"][bin % 2]);
            format!("{more} asked, {winner} mentioned")
        }
        StkitTask::MovementDirectionComparison => ["no", "yes"][bin].to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stkit::overlay::Colour;
    use crate::stkit::question::Quantity;

    #[test]
    fn answers_are_counted_by_the_bins_they_are_balanced_in() {
        let measure =
            |quantity, value| Question::Measure { quantity, object: Colour::Red, span: None, value };
        let objects = [Colour::Red, Colour::Blue];
        let comparison =
            |winner, more| Question::Comparison { quantity: Quantity::Speed, objects, more, winner };
        let name = |question: &Question| Kind::of(question, "a").bin;
        let distance = [4.9, 5.0, 10.0, 99.0, 100.0].map(|value| name(&measure(Quantity::Distance, value)));
        assert_eq!(distance, ["000 to 5 m", "005 to 10 m", "010 to 20 m", "090 to 100 m", "100 m and more"]);
        let speed = [0.0, 59.9, 60.0].map(|value| name(&measure(Quantity::Speed, value)));
        assert_eq!(speed, ["000 to 5 km/h", "055 to 60 km/h", "060 km/h and more"]);
        assert_eq!(name(&comparison(1, false)), "less asked, second mentioned");
        let same = Question::SameDirection { objects, same: true };
        let kinds = [Kind::of(&same, "a"), Kind::of(&same, "b"), Kind::of(&comparison(0, true), "b")];
        let counts = count(&kinds);
        let same = &counts[&StkitTask::MovementDirectionComparison];
        assert_eq!((same.questions, same.sources["b"], same.bins["yes"]), (2, 1, 2));
        assert_eq!(counts.len(), 2);
    }
}
