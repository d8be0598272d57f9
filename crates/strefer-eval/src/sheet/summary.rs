//! A sheet with intervals, and another run beside it.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::table::aligned;
use super::{Line, Sheet};
use crate::coverage::Coverage;
use crate::error::{Error, Result, named};
use crate::quiz::Interval;
use crate::statistics::{Bootstrap, Difference};

/// A sheet with intervals, and another run beside it.
pub struct Summary<'a> {
    sheet: &'a Sheet,
    bootstrap: Bootstrap,
    rows: Vec<Row<'a>>,
    compared: bool,
}

struct Row<'a> {
    line: &'a Line,
    interval: Option<Interval>,
    other: Option<f64>,
    /// This run's number less the other's.
    difference: Option<Difference>,
}

impl<'a> Summary<'a> {
    /// Draws the intervals of `sheet`, and of what it is better by than `other`.
    ///
    /// # Errors
    /// When the two are not over the same questions.
    pub fn new(sheet: &'a Sheet, other: Option<&Sheet>, bootstrap: Bootstrap) -> Result<Self> {
        if let Some(other) = other {
            same_questions(&sheet.coverage, &other.coverage)?;
        }
        let row = |line: &'a Line| {
            let beside = other.and_then(|other| other.lines.iter().find(|it| it.name == line.name));
            let statistics = beside.and_then(|other| other.statistic.as_ref()).zip(line.statistic.as_ref());
            let statistic = line.statistic.as_ref().filter(|_| line.value.is_some());
            Row {
                line,
                interval: statistic.map(|statistic| bootstrap.interval(statistic)),
                other: beside.and_then(|other| other.value),
                difference: statistics.map(|(other, own)| bootstrap.compare(other, own)),
            }
        };
        let rows = sheet.lines.iter().map(row).collect();
        Ok(Self { sheet, bootstrap, rows, compared: other.is_some() })
    }

    /// What is scored, a table, and what must be known to read it.
    pub fn to_table(&self) -> String {
        let mut head = vec!["", "score", "95 % interval", "n", "unit"];
        if self.compared {
            head.extend(["other run", "difference", "95 % interval", "p"]);
        }
        let rows = self.rows.iter().map(|row| row.cells(self.compared));
        let coverage = &self.sheet.coverage;
        let all = coverage.matched + coverage.missing.len();
        let mut text =
            format!("{}: {} of {all} questions scored\n\n", self.sheet.benchmark, coverage.matched);
        text += &aligned(&head.into_iter().map(str::to_owned).collect::<Vec<_>>(), &rows.collect::<Vec<_>>());
        let left_out = [
            ("without a prediction, left out", &coverage.missing),
            ("predictions without a question, left out", &coverage.extra),
        ];
        let left_out = left_out.into_iter().filter(|(_, ids)| !ids.is_empty());
        let notes = self.sheet.notes.iter().map(|note| (note.what.as_str(), &note.ids));
        for (at, (what, ids)) in left_out.chain(notes).enumerate() {
            let note = if ids.is_empty() { what.to_owned() } else { named(what, ids) };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}{note}", if at == 0 { "\n" } else { "" });
        }
        text
    }

    /// `metrics` are the benchmark's own names and rounding; `scores` are the lines of the table, not rounded further.
    pub fn to_json(&self) -> Value {
        let Sheet { benchmark, coverage, notes, metrics, .. } = self.sheet;
        json!({
            "benchmark": benchmark,
            "n": coverage.matched,
            "missing": coverage.missing,
            "extra": coverage.extra,
            "metrics": metrics,
            "scores": self.rows.iter().map(|row| row.to_json(self.compared)).collect::<Vec<_>>(),
            "notes": notes,
            "bootstrap": self.bootstrap,
        })
    }
}

/// # Errors
/// When one run answers questions that the other does not.
fn same_questions(own: &Coverage, other: &Coverage) -> Result<()> {
    let lacking = |ids: &[String], by: &Coverage| -> Vec<String> {
        ids.iter().filter(|id| !by.missing.contains(id)).cloned().collect()
    };
    let (own_only, other_only) = (lacking(&other.missing, own), lacking(&own.missing, other));
    if own_only.is_empty() && other_only.is_empty() {
        return Ok(());
    }
    Err(Error::OtherQuestions { own_only, other_only })
}

impl Row<'_> {
    fn cells(&self, compared: bool) -> Vec<String> {
        let decimals = self.line.decimals;
        let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.decimals$}"));
        let range = |Interval { low, high }: Interval| format!("{low:.decimals$} to {high:.decimals$}");
        let n = self.line.statistic.as_ref().map(|statistic| statistic.n().to_string());
        let mut cells = vec![
            self.line.name.clone(),
            number(self.line.value),
            self.interval.map(range).unwrap_or_default(),
            n.unwrap_or_default(),
            self.line.unit.to_owned(),
        ];
        if compared {
            let gain = |difference: Difference| format!("{:+.decimals$}", difference.mean);
            cells.push(number(self.other));
            cells.push(self.difference.map(gain).unwrap_or_default());
            cells.push(self.difference.map(|it| range(it.interval)).unwrap_or_default());
            cells.push(self.difference.map(|it| format!("{:.3}", it.p_value)).unwrap_or_default());
        }
        cells
    }

    fn to_json(&self, compared: bool) -> Value {
        let mut entry = Map::from_iter([
            ("name".to_owned(), self.line.name.clone().into()),
            ("unit".to_owned(), self.line.unit.into()),
            ("value".to_owned(), self.line.value.into()),
            ("n".to_owned(), self.line.statistic.as_ref().map(|statistic| statistic.n()).into()),
            ("interval".to_owned(), json!(self.interval)),
        ]);
        if compared {
            entry.insert("other".to_owned(), self.other.into());
            entry.insert("difference".to_owned(), json!(self.difference));
        }
        entry.into()
    }
}
