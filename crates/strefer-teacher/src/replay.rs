//! Answers that were recorded, and no others.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::Teacher;
use crate::fault::Fault;
use crate::question::{Answer, Question};
use crate::record::kept;

/// Gives back what [`crate::Recorded`] kept of a model's answers.
#[derive(Debug, Clone)]
pub struct Replay {
    folder: PathBuf,
    model: String,
}

impl Replay {
    /// The answers of `model` in a folder.
    pub fn new(folder: impl Into<PathBuf>, model: impl Into<String>) -> Self {
        Self { folder: folder.into(), model: model.into() }
    }

    /// The folder of answers.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Teacher for Replay {
    fn model(&self) -> &str {
        &self.model
    }

    fn ask(&self, question: &Question) -> Result<Answer, Fault> {
        let key = question.key(&self.model);
        kept(&self.folder, &key).map_err(Arc::new)?.ok_or_else(|| Fault::NotRecorded {
            folder: self.folder.clone(),
            model: self.model.clone(),
            key,
        })
    }
}
