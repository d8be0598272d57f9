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
    /// Masks of what is asked about are wanted for a benchmark that has no place for them.
    #[error("{benchmark} has no masks of what its queries name; QVHighlights may")]
    NotGrounded {
        /// The benchmark.
        benchmark: &'static str,
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
    /// Records that may come once only come again.
    #[error("{path}: {}", named("coming twice", records))]
    Twice {
        /// The file.
        path: PathBuf,
        /// What they are called, and where they stand.
        records: Vec<String>,
    },
    /// Two runs that are to be compared are not over the same questions.
    #[error(
        "the two runs are not over the same questions: {}, {}",
        named("only in this run", own_only),
        named("only in the other", other_only)
    )]
    OtherQuestions {
        /// Questions that only the run itself answers.
        own_only: Vec<String>,
        /// Questions that only the run beside it answers.
        other_only: Vec<String>,
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
    /// Masklets of a video that cannot be put beside the true ones.
    #[error("video {video_id}: {reason}")]
    Masklets {
        /// The video.
        video_id: String,
        /// Why not.
        reason: String,
    },
    /// Files of a benchmark are not where they belong.
    #[error("{benchmark}: missing: {}", listed(files))]
    MissingFiles {
        /// The benchmark.
        benchmark: String,
        /// All that are missing.
        files: Vec<PathBuf>,
    },
    /// A mask of an item cannot be read.
    #[error("item {id}, region {region}: {source}")]
    Mask {
        /// The item.
        id: String,
        /// The region.
        region: usize,
        /// Why.
        source: strefer_core::Error,
    },
    /// A file of predictions has none for an item.
    #[error("{path}: no prediction for item {id}")]
    NoPrediction {
        /// The file.
        path: PathBuf,
        /// The item.
        id: String,
    },
    /// A table that this program was not built to read.
    #[error(
        "{path}: the program is built without parquet (--features parquet); or give the table as JSON rows"
    )]
    NoParquet {
        /// The table.
        path: PathBuf,
    },
    /// A parquet table.
    #[cfg(feature = "parquet")]
    #[error(transparent)]
    Table(#[from] strefer_store::Error),
    /// A question has no answer.
    #[error("item {id}: {reason}")]
    NoAnswer {
        /// The item.
        id: String,
        /// Why.
        reason: String,
    },
    /// The folder of a run cannot be used.
    #[error("{dir}: {reason}")]
    Run {
        /// The folder.
        dir: PathBuf,
        /// Why not.
        reason: String,
    },
    /// Words around a question that cannot be filled.
    #[error(transparent)]
    Words(#[from] strefer_teacher::Error),
    /// Files of samples.
    #[error(transparent)]
    Data(#[from] strefer_core::Error),
    /// The model or its inputs.
    #[error(transparent)]
    Model(#[from] strefer_model::Error),
}

fn listed(files: &[PathBuf]) -> String {
    files.iter().map(|file| file.display().to_string()).collect::<Vec<_>>().join(", ")
}

/// `3 missing (a, b, c)`, with the names of the first few.
pub(crate) fn named(what: &str, keys: &[String]) -> String {
    const MOST: usize = 10;
    if keys.is_empty() {
        return format!("none {what}");
    }
    let more = if keys.len() > MOST { ", …" } else { "" };
    format!("{} {what} ({}{more})", keys.len(), keys[..keys.len().min(MOST)].join(", "))
}
