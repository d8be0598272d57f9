//! Questions, one JSON object a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::records::{self, BenchRecord};

/// A question with given answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Question {
    /// Its id.
    #[serde(deserialize_with = "records::id")]
    pub id: String,
    /// What can be answered, as it stands in the benchmark's file.
    pub options: Vec<String>,
    /// Position of the right option, from 0.
    pub answer: usize,
    /// What it is counted under, by name: `{"task": "moving_direction"}`.
    #[serde(default)]
    pub groups: BTreeMap<String, String>,
}

impl BenchRecord for Question {
    fn key(&self) -> String {
        self.id.clone()
    }

    fn fault(&self) -> Option<String> {
        let (answer, options) = (self.answer, self.options.len());
        if options < 2 {
            return Some(format!("{options} options leave no choice"));
        }
        (answer >= options).then(|| format!("answer {answer} of {options} options"))
    }
}
