//! One model on one benchmark.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

use super::published::Published;
use crate::bench::BenchId;
use crate::error::Result;
use crate::quiz::Interval;
use crate::records::read_json;

/// Where a row comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RowSource {
    /// The folder of a run.
    Run(String),
    /// A paper or a page.
    Published(String),
}

/// A number, and how sure it is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Cell {
    pub value: f64,
    /// Whether it is in percent, where that is known.
    pub percent: Option<bool>,
    pub interval: Option<Interval>,
}

/// One model on one benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The benchmark.
    pub benchmark: BenchId,
    /// The model.
    pub name: String,
    /// Where it comes from.
    pub source: RowSource,
    /// What must be known before it is compared.
    pub notes: Vec<String>,
    /// Names of scores in the order of the benchmark.
    pub(super) order: Vec<String>,
    pub(super) cells: BTreeMap<String, Cell>,
    /// The drop of the headline in every probe, in the order of the run.
    pub(super) drops: Vec<(String, f64)>,
}

/// `summary.json`, as far as rows need it.
#[derive(Deserialize)]
struct Summary {
    benchmark: BenchId,
    complete: bool,
    n: usize,
    n_benchmark: usize,
    n_published: Option<usize>,
    n_unanswered: usize,
    n_unparsed: usize,
    #[serde(default)]
    scores: Vec<Score>,
    #[serde(default)]
    views: BTreeMap<String, Value>,
    config: Value,
}

#[derive(Deserialize)]
struct Score {
    name: String,
    unit: String,
    value: Option<f64>,
    interval: Option<Interval>,
}

impl Row {
    /// The row of a run that is over; its name is that of its folder.
    ///
    /// # Errors
    /// A folder without a summary.
    pub fn of_run(dir: &Path) -> Result<Self> {
        let summary: Summary = read_json(&dir.join("summary.json"))?;
        let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut notes = Vec::new();
        if !summary.complete {
            let (asked, all, open) = (summary.n, summary.n_benchmark, summary.n_unanswered);
            notes.push(format!("{asked} of {all} questions asked, {open} without an answer: not comparable"));
        }
        if let Some(published) = summary.n_published.filter(|published| *published != summary.n_benchmark) {
            let there = summary.n_benchmark;
            notes.push(format!(
                "its files have {there} questions, the published ones {published}: not comparable"
            ));
        }
        if summary.n_unparsed > 0 {
            notes.push(format!("{} answers could not be read", summary.n_unparsed));
        }
        let answers = &summary.config["answers"];
        if answers["answers"] == "the likeliest of those offered" {
            notes.push("the likeliest of the offered answers was taken".to_owned());
        }
        if let Some(count) = summary.config.pointer("/questions/grounded").and_then(Value::as_u64) {
            notes.push(format!("{count} queries came with the masks of what they name"));
        }
        if let Some(judge) = summary.config.pointer("/judge/model").and_then(Value::as_str) {
            notes.push(format!("judged by {judge}"));
        }
        let drop = |(view, value): (&String, &Value)| Some((view.clone(), value["drop"]["mean"].as_f64()?));
        let drops = summary.views.iter().filter_map(drop).collect();
        let order = summary.scores.iter().map(|score| score.name.clone()).collect();
        let cell = |score: Score| {
            Some((
                score.name,
                Cell { value: score.value?, percent: Some(score.unit == "%"), interval: score.interval },
            ))
        };
        Ok(Self {
            benchmark: summary.benchmark,
            name,
            source: RowSource::Run(dir.display().to_string()),
            notes,
            order,
            cells: summary.scores.into_iter().filter_map(cell).collect(),
            drops,
        })
    }

    /// What a paper reports.
    pub fn of_paper(published: Published) -> Self {
        let cell = |(name, value): (&String, &Value)| {
            Some((name.clone(), Cell { value: value.as_f64()?, percent: None, interval: None }))
        };
        Self {
            benchmark: published.benchmark,
            name: published.name,
            source: RowSource::Published(published.source),
            notes: published.note.into_iter().collect(),
            order: published.scores.keys().cloned().collect(),
            cells: published.scores.iter().filter_map(cell).collect(),
            drops: Vec::new(),
        }
    }
}
