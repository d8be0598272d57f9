//! The benchmark's annotations and predictions, one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::records::BenchRecord;

/// Length of the clips that saliency is given for, in seconds.
pub const CLIP_S: f64 = 2.0;

/// A query with its moments, `highlight_val_release.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Annotation {
    /// Id of the query.
    pub qid: u64,
    /// What is looked for.
    pub query: String,
    /// Length of the video.
    #[serde(rename = "duration")]
    pub duration_s: f64,
    /// The video: `{YouTube id}_{start}_{end}`.
    pub vid: String,
    /// When it happens: start and end in seconds, not overlapping.
    pub relevant_windows: Vec<[f64; 2]>,
    /// The clips inside those windows; clip `i` starts at `2 i` seconds.
    pub relevant_clip_ids: Vec<usize>,
    /// How good three annotators find each of those clips, 0 (very bad) to 4 (very good).
    pub saliency_scores: Vec<[u8; 3]>,
}

impl Annotation {
    /// Number of clips in the video.
    pub fn n_clips(&self) -> usize {
        (self.duration_s / CLIP_S) as usize
    }
}

impl BenchRecord for Annotation {
    fn key(&self) -> String {
        self.qid.to_string()
    }

    fn fault(&self) -> Option<String> {
        let (clips, scores) = (self.relevant_clip_ids.len(), self.saliency_scores.len());
        if self.n_clips() == 0 {
            return Some(format!("its video lasts {} s, less than one clip", self.duration_s));
        }
        if self.relevant_windows.is_empty() {
            return Some("it has no relevant window".to_owned());
        }
        if let Some([start_s, end_s]) = self.relevant_windows.iter().find(|[start_s, end_s]| start_s >= end_s)
        {
            return Some(format!("relevant window {start_s} to {end_s} is empty"));
        }
        if clips != scores {
            return Some(format!("{clips} relevant clips, but {scores} rows of saliency scores"));
        }
        let outside = self.relevant_clip_ids.iter().find(|&&clip| clip >= self.n_clips());
        outside.map(|clip| format!("clip {clip} lies after the end of its video, {} s", self.duration_s))
    }
}

/// What a model says about a query. A list that is absent is not scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Prediction {
    /// Id of the query.
    pub qid: u64,
    /// The video, where it is written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vid: Option<String>,
    /// When it happens: start and end in seconds, and a score. The order in the file matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pred_relevant_windows: Option<Vec<[f64; 3]>>,
    /// How good each clip is, in order, on any scale.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pred_saliency_scores: Option<Vec<f64>>,
}

impl Prediction {
    /// Its windows; empty when there are none.
    pub fn windows(&self) -> &[[f64; 3]] {
        self.pred_relevant_windows.as_deref().unwrap_or_default()
    }

    /// Its saliency scores; empty when there are none.
    pub fn saliency(&self) -> &[f64] {
        self.pred_saliency_scores.as_deref().unwrap_or_default()
    }
}

impl BenchRecord for Prediction {
    fn key(&self) -> String {
        self.qid.to_string()
    }

    fn fault(&self) -> Option<String> {
        let backwards = self.windows().iter().find(|[start_s, end_s, _]| start_s > end_s);
        backwards
            .map(|[start_s, end_s, _]| format!("predicted window {start_s} to {end_s} ends before it starts"))
    }
}
