//! What a mixture holds, and what was left out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use strefer_core::Sample;

use super::config::Refers;

/// A mixture in numbers (`mixture.json`).
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct MixReport {
    /// Samples for training.
    pub train: usize,
    /// Samples held out.
    pub val: usize,
    /// Samples that an epoch of training shows, by the weights.
    pub epoch: usize,
    /// Samples for training by what they refer to: `mask_time`, `mask`, `time`, `neither`.
    pub refers: BTreeMap<Refers, usize>,
    /// The sources.
    pub sources: Vec<SourceReport>,
}

/// One source in numbers.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SourceReport {
    /// Its name.
    pub name: String,
    /// Records that were read.
    pub records: usize,
    /// Records that are no samples.
    pub bad: usize,
    /// Samples of videos that nothing may be learnt from.
    pub unwanted: usize,
    /// These videos.
    pub unwanted_videos: usize,
    /// Samples that say what an earlier one said.
    pub duplicates: usize,
    /// Samples over a cap.
    pub over_cap: usize,
    /// Samples for training.
    pub train: usize,
    /// How many are missing from the cap.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<usize>,
    /// How many are missing from caps of groups.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_groups: BTreeMap<String, usize>,
    /// How many are missing from caps of what is referred to.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub missing_refers: BTreeMap<Refers, usize>,
    /// Samples held out.
    pub val: usize,
    /// Samples for training by group of tasks.
    pub groups: BTreeMap<String, usize>,
    /// Samples for training by what they refer to.
    pub refers: BTreeMap<Refers, usize>,
    /// Samples whose masks became points, boxes or lines.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub references: BTreeMap<String, usize>,
    /// How long the texts of the samples for training are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<Tokens>,
}

/// Text tokens of a source, counted on some of its samples: of all turns, each `<region:i>` and `<time:i>` as one token, without the
/// chat's own tokens and those of the video.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
pub struct Tokens {
    /// Samples that were counted.
    pub counted: usize,
    /// Mean of a sample.
    pub mean: f64,
    /// Standard error of that mean; 0 where all samples were counted.
    pub error: f64,
    /// The mean times the samples for training.
    pub total: f64,
    /// The longest that was counted.
    pub longest: usize,
}

impl Tokens {
    /// What some counts say about `all` samples.
    pub(super) fn of(counts: &[usize], all: usize) -> Option<Self> {
        let n = counts.len() as f64;
        let longest = counts.iter().copied().max()?;
        let mean = counts.iter().sum::<usize>() as f64 / n;
        let spread = counts.iter().map(|count| (*count as f64 - mean).powi(2)).sum::<f64>();
        let error = if counts.len() >= all { 0.0 } else { (spread / (n - 1.0).max(1.0) / n).sqrt() };
        Some(Self { counted: counts.len(), mean, error, total: mean * all as f64, longest })
    }
}

/// A record that was left out for good (a line of `dropped.jsonl`; what is over a cap is only counted).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dropped {
    /// The source.
    pub source: String,
    /// Where it stands there, from 0.
    pub position: usize,
    /// Its id, where it could be read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `bad`, `unwanted` or `duplicate`.
    pub kind: String,
    /// Why.
    pub reason: String,
}

impl Refers {
    pub(super) fn of(sample: &Sample) -> Self {
        match (sample.regions.is_empty(), sample.times.is_empty()) {
            (false, false) => Self::MaskTime,
            (false, true) => Self::Mask,
            (true, false) => Self::Time,
            (true, true) => Self::Neither,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_of_some_speak_for_all() {
        let tokens = Tokens::of(&[10, 20, 30], 300).unwrap();
        assert_eq!((tokens.counted, tokens.mean, tokens.total, tokens.longest), (3, 20.0, 6000.0, 30));
        // The standard deviation is 10.
        assert!((tokens.error - 10.0 / 3f64.sqrt()).abs() < 1e-12);
        assert_eq!(Tokens::of(&[10, 20], 2).unwrap().error, 0.0);
        assert_eq!(Tokens::of(&[], 0), None);
    }
}
