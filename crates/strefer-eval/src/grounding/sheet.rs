//! Shares of queries found and the mean overlap, with what each query adds to them.

use serde_json::{Map, Value};

use super::score::{Found, Scores, THRESHOLDS};
use crate::sheet::{Line, Note, Sheet};
use crate::statistics::Statistic;

impl Scores {
    /// For people and for programs; in percent.
    pub fn sheet(&self, benchmark: &'static str) -> Sheet {
        let of = |pick: &dyn Fn(&Found) -> f64| {
            Statistic::mean(self.found.iter().map(|it| Some(100.0 * pick(it))).collect())
        };
        let mut lines: Vec<Line> = THRESHOLDS
            .iter()
            .map(|&least| {
                let hits = of(&|it| f64::from(u8::from(it.iou >= least)));
                Line::of(format!("R1@{least}"), "%", 1, hits)
            })
            .collect();
        lines.push(Line::of("mIoU", "%", 1, of(&|it| it.iou)));
        let metrics: Map<String, Value> =
            lines.iter().map(|line| (line.name.clone(), line.value.into())).collect();
        let unread = self.found.iter().filter(|it| it.said_s.is_none()).map(|it| it.id.clone()).collect();
        Sheet {
            benchmark,
            coverage: self.coverage.clone(),
            lines,
            notes: Note::about("without a stretch of time, counted as not found", unread)
                .into_iter()
                .collect(),
            metrics: metrics.into(),
        }
    }
}
