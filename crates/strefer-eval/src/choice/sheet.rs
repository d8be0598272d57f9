//! Accuracies, with what each question adds to them.

use std::collections::HashMap;

use serde_json::{Map, Value, json};

use super::record::Question;
use super::score::{GroupScores, Scores};
use crate::sheet::{Line, Note, Sheet};
use crate::statistics::Statistic;

impl GroupScores {
    fn to_json(&self) -> Value {
        json!({"n": self.n, "accuracy_pct": 100.0 * self.accuracy, "unparsed": self.unparsed})
    }
}

impl Scores {
    /// Accuracies in percent, over all and by group.
    pub fn to_json(&self) -> Value {
        let mut all = self.all.to_json();
        for (name, values) in &self.by_group {
            let own: Map<String, Value> =
                values.iter().map(|(value, scores)| (value.clone(), scores.to_json())).collect();
            all[format!("by_{name}")] = own.into();
        }
        all
    }

    /// For people and for programs; accuracies in percent. `questions` are those that were scored.
    pub fn sheet(&self, questions: &[Question]) -> Sheet {
        let by_id: HashMap<&str, &Question> =
            questions.iter().map(|question| (question.id.as_str(), question)).collect();
        let line = |name: String, counts: &dyn Fn(&Question) -> bool| {
            let shares = self.verdicts.iter().map(|verdict| {
                let counts = by_id.get(verdict.id.as_str()).is_some_and(|question| counts(question));
                counts.then_some(if verdict.correct { 100.0 } else { 0.0 })
            });
            Line::of(name, "%", 1, Statistic::mean(shares.collect()))
        };
        let mut lines = vec![line("accuracy".to_owned(), &|_| true)];
        for (name, values) in &self.by_group {
            for value in values.keys() {
                let belongs = |question: &Question| question.groups.get(name) == Some(value);
                lines.push(line(format!("{name}: {value}"), &belongs));
            }
        }
        let unread = self.verdicts.iter().filter(|verdict| verdict.chosen.is_none());
        let unread = unread.map(|verdict| verdict.id.clone()).collect();
        Sheet {
            benchmark: "choices",
            coverage: self.coverage.clone(),
            lines,
            notes: Note::about("answered without a choice, counted as wrong", unread).into_iter().collect(),
            metrics: self.to_json(),
        }
    }
}
