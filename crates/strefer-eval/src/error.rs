//! What can stop an evaluation.

use std::path::PathBuf;

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
    /// Files of samples.
    #[error(transparent)]
    Data(#[from] strefer_core::Error),
    /// The model or its inputs.
    #[error(transparent)]
    Model(#[from] strefer_model::Error),
}
