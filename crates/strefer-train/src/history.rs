//! The course of a run as charts: of any length, in bounded memory.

use std::collections::BTreeMap;
use std::path::Path;

use strefer_core::jsonl::Reader;
use strefer_eval::report::{Curve, Report, Section, line_chart};

use crate::error::Result;
use crate::log::LogLine;

/// A curve has at most so many points; more are averaged with their neighbours.
const MOST_POINTS: usize = 800;

/// A chart: what its curves show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Chart {
    Loss,
    Source,
    Group,
    Accuracy,
    Norm,
    Rate,
    Tokens,
    Waiting,
}

impl Chart {
    fn title(self) -> &'static str {
        match self {
            Self::Loss => "loss",
            Self::Source => "loss by source",
            Self::Group => "loss by group of tasks",
            Self::Accuracy => "accuracy, %",
            Self::Norm => "gradient norm",
            Self::Rate => "learning rate",
            Self::Tokens => "positions a second",
            Self::Waiting => "waiting for samples, % of the time",
        }
    }
}

/// Points in equal numbers averaged, so that there are never many.
#[derive(Debug, Clone, PartialEq)]
struct Series {
    /// Sums of x and y, and how many points they are of.
    points: Vec<(f64, f64, usize)>,
    /// Points that are averaged to one.
    together: usize,
}

impl Series {
    fn add(&mut self, x: f64, y: f64) {
        match self.points.last_mut() {
            Some(last) if last.2 < self.together => *last = (last.0 + x, last.1 + y, last.2 + 1),
            _ => self.points.push((x, y, 1)),
        }
        if self.points.len() > MOST_POINTS {
            self.together *= 2;
            let pairs = self.points.chunks(2);
            self.points = pairs
                .map(|pair| {
                    pair.iter().fold((0.0, 0.0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1, sum.2 + one.2))
                })
                .collect();
        }
    }

    fn means(&self) -> Vec<(f64, f64)> {
        self.points.iter().map(|&(x, y, count)| (x / count as f64, y / count as f64)).collect()
    }
}

/// What a log says, in curves.
#[derive(Debug, Clone, Default)]
pub struct History {
    curves: BTreeMap<(Chart, String), Series>,
}

impl History {
    /// That of a log, read line by line.
    pub fn read(path: &Path) -> Result<Self> {
        let mut history = Self::default();
        for line in Reader::<LogLine>::open(path)? {
            history.add(&line?);
        }
        Ok(history)
    }

    /// Adds a line of a log.
    pub fn add(&mut self, line: &LogLine) {
        let mut add = |chart, name: &str, x: usize, y: f64| {
            let new = || Series { points: Vec::new(), together: 1 };
            self.curves.entry((chart, name.to_owned())).or_insert_with(new).add(x as f64, y);
        };
        match line {
            LogLine::Step(report) => {
                let step = report.step;
                add(Chart::Loss, "training", step, report.loss);
                for (chart, shares) in [(Chart::Source, &report.by_source), (Chart::Group, &report.by_group)]
                {
                    for (name, share) in shares.iter().filter(|(_, share)| share.supervised > 0) {
                        add(chart, name, step, share.loss);
                    }
                }
                add(Chart::Norm, "all", step, report.grad_norm);
                for (part, norm) in &report.grad_norms {
                    add(Chart::Norm, part.name(), step, *norm);
                }
                let seconds = report.seconds.max(1e-9);
                add(Chart::Rate, "schedule", step, report.lr);
                add(Chart::Tokens, "all ranks", step, report.tokens as f64 / seconds);
                add(Chart::Waiting, "first rank", step, 100.0 * report.wait_seconds / seconds);
            }
            LogLine::Eval(report) => {
                for (kind, accuracy) in &report.accuracy {
                    add(Chart::Accuracy, kind, report.step, 100.0 * accuracy);
                }
            }
            LogLine::Skipped { .. } | LogLine::Saved { .. } => {}
        }
    }

    /// The charts as SVG, the loss first; what has a single curve more than once (one source) is left out.
    pub fn charts(&self) -> Vec<String> {
        let mut charts: BTreeMap<Chart, Vec<Curve>> = BTreeMap::new();
        for ((chart, name), series) in &self.curves {
            charts.entry(*chart).or_default().push(Curve { name: name.clone(), points: series.means() });
        }
        charts.retain(|chart, curves| *chart != Chart::Source || curves.len() > 1);
        charts.iter().map(|(chart, curves)| line_chart("step", chart.title(), curves)).collect()
    }

    /// Writes a page of the charts.
    pub(crate) fn write(&self, path: &Path, title: &str) -> Result<()> {
        let sections = self.charts().into_iter().map(Section::Chart).collect();
        Ok(Report { title: title.to_owned(), sections }.write(path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_curve_keeps_its_shape_in_few_points() {
        let mut series = Series { points: Vec::new(), together: 1 };
        for x in 0..100_000 {
            series.add(f64::from(x), 3.0 - f64::from(x) / 1e5);
        }
        let means = series.means();
        assert!((MOST_POINTS / 2..=MOST_POINTS).contains(&means.len()), "{}", means.len());
        for (x, y) in means {
            assert!((y - (3.0 - x / 1e5)).abs() < 1e-9);
        }
    }

    #[test]
    fn every_chart_of_a_log_is_drawn() {
        let line = |step: usize| {
            let text = format!(
                "{{\"event\": \"step\", \"step\": {step}, \"loss\": 2.0, \"lr\": 0.1, \"grad_norm\": 1.0, \"tokens\": 10, \
                 \"supervised\": 2, \"samples\": 1, \"skipped\": 0, \"seconds\": 1.0, \"by_source\": {{\"first\": \
                 {{\"loss\": 2.0, \"supervised\": 2, \"samples\": 1}}, \"second\": {{\"loss\": 1.0, \"supervised\": 1, \
                 \"samples\": 1}}}}}}"
            );
            serde_json::from_str::<LogLine>(&text).unwrap()
        };
        let mut history = History::default();
        assert!(history.charts().is_empty());
        (0..5).for_each(|step| history.add(&line(step)));
        let text = history.charts().join("");
        for title in
            ["loss", "loss by source", "second", "gradient norm", "learning rate", "waiting for samples"]
        {
            assert!(text.contains(title), "{title}");
        }
        assert!(!text.contains("accuracy"));
    }
}
