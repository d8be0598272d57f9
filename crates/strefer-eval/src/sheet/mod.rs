//! The numbers of a run on a benchmark, for people and for programs.
//!
//! A benchmark's scores become a [`Sheet`]; a [`Summary`] adds how sure its numbers are and puts another run beside it.

mod summary;
mod table;

pub use summary::Summary;
pub(crate) use table::aligned;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::coverage::Coverage;
use crate::statistics::Statistic;

/// The numbers of a run on a benchmark.
pub struct Sheet {
    /// The benchmark.
    pub benchmark: &'static str,
    /// Which questions are scored.
    pub coverage: Coverage,
    /// The numbers that are shown.
    pub lines: Vec<Line>,
    /// What a reader of the numbers must know.
    pub notes: Vec<Note>,
    /// All numbers under the benchmark's own names, rounded as its own script rounds them.
    pub metrics: Value,
}

/// A number.
pub struct Line {
    /// What it is called.
    pub name: String,
    /// What it is counted in; empty for a bare number.
    pub unit: &'static str,
    /// The number; absent when there is nothing to make it of.
    pub value: Option<f64>,
    /// How many decimals are shown.
    pub decimals: usize,
    /// How it follows from the questions, in their order; absent when that is not known.
    pub statistic: Option<Statistic>,
}

impl Line {
    /// A number whose value is that of its statistic.
    pub fn of(name: impl Into<String>, unit: &'static str, decimals: usize, statistic: Statistic) -> Self {
        let value = (statistic.n() > 0).then(|| statistic.value());
        Self { name: name.into(), unit, value, decimals, statistic: Some(statistic) }
    }
}

/// Something that happened to some questions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// What.
    pub what: String,
    /// To which; empty when it concerns all.
    pub ids: Vec<String>,
}

impl Note {
    /// A note about some questions; none when there are none.
    pub fn about(what: &str, ids: Vec<String>) -> Option<Self> {
        (!ids.is_empty()).then(|| Self { what: what.to_owned(), ids })
    }
}
