//! Numbers of papers.

use serde::Deserialize;
use serde_json::Map;

use crate::bench::BenchId;

/// What a paper reports of a model on a benchmark.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The benchmark.
    pub benchmark: BenchId,
    /// The model, and how it was asked.
    pub name: String,
    /// Where it is reported.
    pub source: String,
    /// What keeps it from being compared.
    #[serde(default)]
    pub note: Option<String>,
    /// Scores under the names of our tables.
    pub scores: Map<String, serde_json::Value>,
}

/// All numbers of papers that we know.
///
/// # Panics
/// Never: the file is a part of the program, and a test reads it.
pub fn published() -> Vec<Published> {
    serde_json::from_str(include_str!("published.json")).expect("the program's own file is what it should be")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_rows_can_be_read_and_hold_numbers() {
        let all = published();
        assert!(all.len() > 20 && all.iter().all(|row| row.scores.values().all(|value| value.is_number())));
        // The paper's means are those of its parts.
        let row = all.iter().find(|row| row.name == "ST-VLM-7B").unwrap();
        let parts = row.scores.iter().filter(|(name, _)| *name != "average_accuracy_pct");
        let parts: Vec<f64> = parts.filter_map(|(_, value)| value.as_f64()).collect();
        assert!((parts.iter().sum::<f64>() / parts.len() as f64 - 59.8).abs() < 0.05);
    }
}
