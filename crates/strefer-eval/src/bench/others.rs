//! What else a question could be about: a file beside a benchmark's own, for probes whose right answers are known.
//!
//! Beside `NAME.json` or `NAME.jsonl` it is called `NAME.others.jsonl`; it may be absent. Worlds whose truth is known
//! have one, published benchmarks have none.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strefer_core::import::ForeignObject;

use crate::error::Result;
use crate::records::{self, BenchRecord, read_lines};

/// Other objects or moments for one question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OtherRecord {
    /// The question.
    #[serde(deserialize_with = "records::id")]
    pub id: String,
    /// The frame whose masks are meant; that of the question when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub frame_idx: Option<Value>,
    /// The objects, as VideoRefer annotates them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub annotation: Vec<ForeignObject>,
    /// The moments, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times_s: Option<Vec<f64>>,
    /// The option that is then right, as it stands in the question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<String>,
}

impl BenchRecord for OtherRecord {
    fn key(&self) -> String {
        self.id.clone()
    }

    fn fault(&self) -> Option<String> {
        let nothing = self.annotation.is_empty() && self.times_s.is_none();
        nothing.then(|| "it has neither objects nor moments".to_owned())
    }
}

/// Those beside a benchmark's file.
pub(super) fn read_others(file: &Path) -> Result<Vec<OtherRecord>> {
    let path = file.with_extension("others.jsonl");
    if path.exists() { read_lines(&path) } else { Ok(Vec::new()) }
}
