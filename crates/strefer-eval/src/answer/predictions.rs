//! What somebody else's model said.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{Answerer, Ask, Said};
use crate::error::{Error, Result};
use crate::records::{Reply, read_lines};

/// A file of answers: lines with `id` and `text` (or `answer`, `prediction_text`).
pub struct Predictions {
    path: PathBuf,
    digest: String,
    by_id: HashMap<String, String>,
}

impl Predictions {
    /// Reads a file.
    ///
    /// # Errors
    /// A line that is no answer, or an id that comes twice.
    pub fn open(path: &Path) -> Result<Self> {
        let replies: Vec<Reply> = read_lines(path)?;
        let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        Ok(Self {
            path: path.to_owned(),
            digest: crate::run::sha256(&bytes),
            by_id: replies.into_iter().map(|reply| (reply.id, reply.text)).collect(),
        })
    }

    /// The ids that are answered and not among `known`.
    pub fn extra<'a>(&self, known: impl Iterator<Item = &'a str>) -> Vec<String> {
        let known: std::collections::HashSet<&str> = known.collect();
        let mut extra: Vec<String> =
            self.by_id.keys().filter(|id| !known.contains(id.as_str())).cloned().collect();
        extra.sort();
        extra
    }
}

impl Answerer for Predictions {
    type Prepared = (String, Option<String>, String);

    fn prepare(&self, ask: Ask) -> Result<Self::Prepared> {
        let prompt = ask.put.sample.conversations.first().map(|turn| turn.text.clone()).unwrap_or_default();
        let said = self.by_id.get(&ask.id).cloned();
        Ok((ask.id, said, prompt))
    }

    fn answer(&self, (id, text, prompt): Self::Prepared) -> Result<Said> {
        match text {
            Some(text) => Ok(Said { prompt, text, frame_indices: Vec::new() }),
            None => Err(Error::NoPrediction { path: self.path.clone(), id }),
        }
    }

    fn facts(&self) -> Value {
        json!({ "kind": "predictions", "sha256": self.digest })
    }
}
