//! What can stop an evaluation.

use std::path::PathBuf;

use crate::coverage::Coverage;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an evaluation cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A sample of a quiz has no answer to compare with.
    #[error("sample {id}: its `eval` does not hold a question's kind and answer")]
    NoFacts {
        /// The sample.
        id: String,
    },
    /// A question cannot be put to the model.
    #[error("sample {id}: {source}")]
    Question {
        /// The sample.
        id: String,
        /// Why.
        source: Box<strefer_model::Error>,
    },
    /// A record of a benchmark's file cannot be used.
    #[error("{path}, record {record}: {reason}")]
    Record {
        /// The file.
        path: PathBuf,
        /// What the record is called.
        record: String,
        /// Why.
        reason: String,
    },
    /// Predictions and questions are not the same set.
    #[error(
        "{} questions have predictions; {}, {}",
        coverage.matched,
        named("missing", &coverage.missing),
        named("without a question", &coverage.extra)
    )]
    Unmatched {
        /// Which.
        coverage: Coverage,
    },
    /// A prediction is about another video than its query.
    #[error("query {query}: the prediction is about video {predicted}, the annotation about {annotated}")]
    OtherVideo {
        /// The query.
        query: String,
        /// The video of the annotation.
        annotated: String,
        /// The video of the prediction.
        predicted: String,
    },
    /// Files of samples.
    #[error(transparent)]
    Data(#[from] strefer_core::Error),
    /// The model or its inputs.
    #[error(transparent)]
    Model(#[from] strefer_model::Error),
}

/// `3 missing (a, b, c)`, with the names of the first few.
fn named(what: &str, keys: &[String]) -> String {
    const MOST: usize = 10;
    if keys.is_empty() {
        return format!("none {what}");
    }
    let more = if keys.len() > MOST { ", …" } else { "" };
    format!("{} {what} ({}{more})", keys.len(), keys[..keys.len().min(MOST)].join(", "))
}
