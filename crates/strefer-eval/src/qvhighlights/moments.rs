//! Moment retrieval: when does it happen.

use serde::{Deserialize, Serialize};

use super::average_precision;
use super::record::{Annotation, Prediction};
use crate::overlap::{hull_iou, iou};
use crate::statistics::mean;

/// IoU from which a window counts as found.
pub const THRESHOLDS: [f64; 10] = [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95];

/// True windows by length; predictions are never chosen by length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LengthClass {
    /// All windows.
    Full,
    /// Up to 10 s.
    Short,
    /// More than 10 s, up to 30 s.
    Middle,
    /// More than 30 s, up to 150 s.
    Long,
}

impl LengthClass {
    /// Whether a window of this length belongs to the class.
    pub fn holds(self, length_s: f64) -> bool {
        match self {
            Self::Full => true,
            Self::Short => length_s > 0.0 && length_s <= 10.0,
            Self::Middle => length_s > 10.0 && length_s <= 30.0,
            Self::Long => length_s > 30.0 && length_s <= 150.0,
        }
    }
}

/// Scores over the queries with windows of one length class, as shares (0 to 1), not rounded.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubsetScores {
    /// How many queries have such windows; without any, all scores are 0 and mean nothing.
    pub n_queries: usize,
    /// Mean average precision at each of [`THRESHOLDS`].
    pub map: [f64; 10],
    /// Share of queries whose first window has this IoU or more, at each of [`THRESHOLDS`].
    pub recall_at_1: [f64; 10],
    /// Mean over queries of the first window's best IoU. Not one of the benchmark's own numbers.
    pub mean_iou: f64,
    /// What each query adds to the means; `None` for queries without such windows.
    pub queries: Vec<Option<QueryScores>>,
}

impl SubsetScores {
    /// The mean of [`SubsetScores::map`] over the thresholds.
    pub fn mean_map(&self) -> f64 {
        mean(self.map)
    }
}

impl QueryScores {
    /// The mean of [`QueryScores::average_precision`] over the thresholds.
    pub fn mean_precision(&self) -> f64 {
        mean(self.average_precision)
    }
}

/// Scores of moment retrieval.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MomentScores {
    /// Over all windows.
    pub full: SubsetScores,
    /// Over those up to 10 s.
    pub short: SubsetScores,
    /// Over those up to 30 s.
    pub middle: SubsetScores,
    /// Over those up to 150 s.
    pub long: SubsetScores,
    /// Queries for which no window is predicted: they count as not found.
    pub without_windows: Vec<u64>,
}

impl MomentScores {
    pub(super) fn of(pairs: &[(&Annotation, &Prediction)]) -> Self {
        let without = pairs.iter().filter(|(_, prediction)| prediction.windows().is_empty());
        Self {
            full: subset(pairs, LengthClass::Full),
            short: subset(pairs, LengthClass::Short),
            middle: subset(pairs, LengthClass::Middle),
            long: subset(pairs, LengthClass::Long),
            without_windows: without.map(|(annotation, _)| annotation.qid).collect(),
        }
    }
}

/// What one query adds to the means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QueryScores {
    /// Average precision at each of [`THRESHOLDS`].
    pub average_precision: [f64; 10],
    /// 1 where the first window reaches the threshold, else 0.
    pub hit: [f64; 10],
    /// The first window's best IoU.
    pub iou: f64,
}

fn subset(pairs: &[(&Annotation, &Prediction)], class: LengthClass) -> SubsetScores {
    let of_query = |(annotation, prediction): &(&Annotation, &Prediction)| {
        let windows = annotation.relevant_windows.iter().copied();
        let truth: Vec<[f64; 2]> = windows.filter(|window| class.holds(window[1] - window[0])).collect();
        (!truth.is_empty()).then(|| query(&truth, prediction.windows()))
    };
    let queries: Vec<Option<QueryScores>> = pairs.iter().map(of_query).collect();
    let own = || queries.iter().flatten();
    SubsetScores {
        n_queries: own().count(),
        map: std::array::from_fn(|at| mean(own().map(|query| query.average_precision[at]))),
        recall_at_1: std::array::from_fn(|at| mean(own().map(|query| query.hit[at]))),
        mean_iou: mean(own().map(|query| query.iou)),
        queries,
    }
}

fn query(truth: &[[f64; 2]], predicted: &[[f64; 3]]) -> QueryScores {
    let average_precision = average_precision::of_windows(predicted, truth, &THRESHOLDS);
    let Some(&[start_s, end_s, _]) = predicted.first() else {
        return QueryScores { average_precision, hit: [0.0; 10], iou: 0.0 };
    };
    let first = [start_s, end_s];
    let mut nearest = truth[0];
    for &window in truth {
        if iou(first, window) > iou(first, nearest) {
            nearest = window;
        }
    }
    let reached = hull_iou(first, nearest);
    let hit = THRESHOLDS.map(|threshold| if reached >= threshold { 1.0 } else { 0.0 });
    QueryScores { average_precision, hit, iou: iou(first, nearest) }
}
