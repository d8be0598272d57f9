//! A table a benchmark.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use super::published::published;
use super::row::{Cell, Row, RowSource};
use crate::bench::BenchId;
use crate::error::Result;
use crate::sheet::aligned;

/// Runs and published rows, by benchmark.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaderboard {
    pub(super) tables: BTreeMap<BenchId, Table>,
}

/// All rows of one benchmark.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct Table {
    /// Names of the scores, in the order of the benchmark.
    pub columns: Vec<String>,
    pub rows: Vec<Row>,
}

impl Leaderboard {
    /// Runs in the order given, and below them what papers report on the same benchmarks.
    ///
    /// # Errors
    /// A folder without a summary.
    pub fn of_runs<'a>(runs: impl IntoIterator<Item = &'a Path>) -> Result<Self> {
        let mut tables: BTreeMap<BenchId, Table> = BTreeMap::new();
        for dir in runs {
            let row = Row::of_run(dir)?;
            tables.entry(row.benchmark).or_default().rows.push(row);
        }
        for published in published() {
            if let Some(table) = tables.get_mut(&published.benchmark) {
                table.rows.push(Row::of_paper(published));
            }
        }
        for table in tables.values_mut() {
            for name in table.rows.iter().flat_map(|row| &row.order) {
                if !table.columns.contains(name) {
                    table.columns.push(name.clone());
                }
            }
        }
        Ok(Self { tables })
    }

    /// As Markdown.
    pub fn to_markdown(&self) -> String {
        let mut text = String::new();
        for (bench, table) in &self.tables {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "## {bench}\n");
            text +=
                &aligned(&table.head(), &table.rows.iter().map(|row| table.cells(row)).collect::<Vec<_>>());
            let footnotes = table.footnotes();
            for note in &footnotes {
                let _ = writeln!(text, "{}- {note}", if note == &footnotes[0] { "\n" } else { "" });
            }
            text.push('\n');
        }
        text
    }
}

/// A number with its interval behind it.
fn written(cell: &Cell, decimals: usize) -> String {
    let value = format!("{:.decimals$}", cell.value);
    match cell.interval {
        Some(interval) => format!("{value} ({:.decimals$} to {:.decimals$})", interval.low, interval.high),
        None => value,
    }
}

impl Table {
    pub fn head(&self) -> Vec<String> {
        let first = ["model", "from"].map(str::to_owned);
        first.into_iter().chain(self.columns.iter().cloned()).collect()
    }

    /// One decimal of a percentage, two of other numbers; runs know which a column holds.
    fn decimals(&self, column: &str) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.cells.get(column));
        if cells.filter_map(|cell| cell.percent).any(|percent| percent) { 1 } else { 2 }
    }

    pub fn cells(&self, row: &Row) -> Vec<String> {
        let mark = if row.notes.is_empty() { "" } else { " *" };
        let from = match &row.source {
            RowSource::Run(_) => "this program".to_owned(),
            RowSource::Published(source) => format!("published: {source}"),
        };
        let score = |name: &String| {
            row.cells.get(name).map_or("-".to_owned(), |cell| written(cell, self.decimals(name)))
        };
        let scores = self.columns.iter().map(score);
        [format!("{}{mark}", row.name), from].into_iter().chain(scores).collect()
    }

    /// What must be known before rows are compared, and what probes cost.
    pub fn footnotes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        for row in &self.rows {
            notes.extend((!row.notes.is_empty()).then(|| format!("{}: {}", row.name, row.notes.join("; "))));
            let drops: Vec<String> =
                row.drops.iter().map(|(view, drop)| format!("{view} {drop:+.1}")).collect();
            notes.extend((!drops.is_empty()).then(|| format!("{}, probes: {}", row.name, drops.join(", "))));
        }
        notes
    }
}
