//! Overlap of the first stretch that an answer names with the true one.

use serde::{Deserialize, Serialize};

use crate::coverage::{Coverage, Unmatched, pair};
use crate::error::Result;
use crate::interval::intervals;
use crate::overlap::hull_iou;
use crate::records::{self, BenchRecord, Reply};
use crate::statistics::mean;

/// The overlaps from which on a stretch counts as found.
pub const THRESHOLDS: [f64; 3] = [0.3, 0.5, 0.7];

/// A sentence to be found.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Query {
    /// Its id.
    #[serde(deserialize_with = "records::id")]
    pub id: String,
    /// When it happens, start and end in seconds.
    pub window_s: [f64; 2],
}

impl BenchRecord for Query {
    fn key(&self) -> String {
        self.id.clone()
    }

    fn fault(&self) -> Option<String> {
        let [start_s, end_s] = self.window_s;
        let holds = start_s.is_finite() && end_s.is_finite() && start_s < end_s;
        (!holds).then(|| format!("its window {start_s} to {end_s} s is none"))
    }
}

/// What became of one query.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Found {
    /// The query.
    pub id: String,
    /// The stretch that was named, in seconds; absent when none was.
    pub said_s: Option<[f64; 2]>,
    /// Its overlap with the true one, 0 to 1.
    pub iou: f64,
}

/// The scores of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Which queries are scored.
    pub coverage: Coverage,
    /// Share of queries found, by [`THRESHOLDS`].
    pub recall_at_1: [f64; 3],
    /// Mean overlap, 0 to 1.
    pub mean_iou: f64,
    /// In the order of the queries.
    pub found: Vec<Found>,
}

/// Reads and scores what a model says.
///
/// # Errors
/// When queries have no reply or replies no query, see [`Unmatched`].
pub fn score(queries: &[Query], replies: &[Reply], unmatched: Unmatched) -> Result<Scores> {
    let paired = pair(queries, replies, unmatched)?;
    let look = |(query, reply): &(&Query, &Reply)| {
        let said_s = intervals(&reply.text).first().copied();
        let iou = said_s.map_or(0.0, |said_s| hull_iou(query.window_s, said_s));
        Found { id: query.id.clone(), said_s, iou }
    };
    let found: Vec<Found> = paired.pairs.iter().map(look).collect();
    let recall = |least: f64| mean(found.iter().map(|it| f64::from(u8::from(it.iou >= least))));
    Ok(Scores {
        coverage: paired.coverage,
        recall_at_1: THRESHOLDS.map(recall),
        mean_iou: mean(found.iter().map(|it| it.iou)),
        found,
    })
}
