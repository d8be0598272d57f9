//! Questions, one JSON object a line.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reading::Reading;
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
    /// Whose rules find the choice in an answer to it, where that is not the same for all questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reading: Option<Reading>,
}

impl Question {
    /// What a text chooses, by the question's own rules or else by those of `usual`.
    pub fn choice(&self, text: &str, usual: Reading) -> Option<usize> {
        self.reading.unwrap_or(usual).choice(text, &self.options)
    }
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
