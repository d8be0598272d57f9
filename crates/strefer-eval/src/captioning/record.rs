//! References and predictions, one JSON object a line.

use serde::{Deserialize, Serialize};

use crate::records::{self, BenchRecord};

/// What a caption should say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CaptionRecord {
    /// Its id.
    #[serde(deserialize_with = "records::id")]
    pub id: String,
    /// One or more sentences of people.
    pub references: Vec<String>,
}

impl BenchRecord for CaptionRecord {
    fn key(&self) -> String {
        self.id.clone()
    }

    fn fault(&self) -> Option<String> {
        let empty = self.references.iter().all(|reference| reference.trim().is_empty());
        empty.then(|| "it has no reference".to_owned())
    }
}

/// What a model says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct PredictionRecord {
    /// The caption that it answers.
    #[serde(deserialize_with = "records::id")]
    pub id: String,
    /// As the model said it; may be empty, which scores nothing.
    #[serde(alias = "answer")]
    pub prediction: String,
}

impl BenchRecord for PredictionRecord {
    fn key(&self) -> String {
        self.id.clone()
    }

    fn fault(&self) -> Option<String> {
        None
    }
}
