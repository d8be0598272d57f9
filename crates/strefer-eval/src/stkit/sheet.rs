//! The means by task, with what each question adds to them.

use strefer_core::StkitTask;

use super::score::{Judged, Scores, error_name};
use crate::sheet::{Line, Note, Sheet};
use crate::statistics::Statistic;

/// What a task's errors are counted in.
fn unit(task: StkitTask) -> &'static str {
    match task {
        StkitTask::TraveledDistance => "m",
        StkitTask::TravelingSpeed => "km/h",
        StkitTask::MovementDirection => "hours",
        _ => "",
    }
}

impl Scores {
    /// For people and for programs; accuracies in percent, named by their place in [`Scores::to_json`].
    pub fn sheet(&self) -> Sheet {
        let by_question = |task: StkitTask, pick: fn(&Judged) -> Option<f64>| -> Vec<Option<f64>> {
            self.judged.iter().map(|it| if it.task == task { pick(it) } else { None }).collect()
        };
        let correct = |it: &Judged| Some(if it.verdict.correct { 100.0 } else { 0.0 });
        let mut lines = Vec::new();
        for scores in &self.tasks {
            let (task, name) = (scores.task, scores.task.name());
            let accuracy = Statistic::mean(by_question(task, correct));
            lines.push(Line::of(format!("{name}.accuracy_pct"), "%", 1, accuracy));
            if scores.mean_error.is_some() {
                let error = Statistic::mean(by_question(task, |it| it.verdict.error));
                lines.push(Line::of(format!("{name}.{}", error_name(task)), unit(task), 2, error));
            }
        }
        let accuracies = self.tasks.iter().map(|scores| by_question(scores.task, correct)).collect();
        let average = self.average_accuracy().map(|share| 100.0 * share);
        lines.push(Line {
            name: "average_accuracy_pct".to_owned(),
            unit: "%",
            value: average,
            decimals: 1,
            statistic: average.map(|_| Statistic::mean_of_means(accuracies)),
        });
        let unread = self.judged.iter().filter(|it| !it.understood).map(|it| it.id.clone()).collect();
        let not_all =
            Note { what: "the average needs questions of all seven tasks".to_owned(), ids: Vec::new() };
        let notes = Note::about("not understood, counted as wrong", unread);
        let notes = notes.into_iter().chain(average.is_none().then_some(not_all)).collect();
        let metrics = self.to_json();
        Sheet { benchmark: "STKit-Bench", coverage: self.coverage.clone(), lines, notes, metrics }
    }
}
