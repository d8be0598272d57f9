//! What can be wrong with sets of samples and their media.

use std::path::{Path, PathBuf};

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Samples or media that cannot be read or written, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A line, a record or a file of lines.
    #[error(transparent)]
    Core(#[from] strefer_core::Error),
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is none of the kinds that are read.
    #[error(
        "{path}: samples are read from .jsonl, .jsonl.zst, .parquet and .tar, or a folder or pattern of one of these"
    )]
    UnknownKind {
        /// As written.
        path: PathBuf,
    },
    /// A folder or pattern that no file belongs to.
    #[error("{path}: no file of samples is there")]
    NoFiles {
        /// As written.
        path: PathBuf,
    },
    /// A pattern that says nothing.
    #[error(
        "{path}: a range is two numbers, {{000..127}}, the second not below the first, of at most a million files"
    )]
    BadPattern {
        /// As written.
        path: PathBuf,
    },
    /// What the program was built without.
    #[error("{what}: the program is built without this (--features {feature})")]
    NotBuilt {
        /// The file or address.
        what: String,
        /// The feature that reads it.
        feature: &'static str,
    },
    /// A parquet file without the column, or a damaged one.
    #[error("{path}: {reason}")]
    Parquet {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A row that holds no sample.
    #[error("{path}, row {row}: {reason}")]
    Row {
        /// The file.
        path: PathBuf,
        /// Counted from 0.
        row: usize,
        /// What is wrong.
        reason: String,
    },
    /// A member of a shard that cannot be used.
    #[error("{path}, {member}: {reason}")]
    Member {
        /// The shard.
        path: PathBuf,
        /// The member's name.
        member: String,
        /// What is wrong.
        reason: String,
    },
    /// An object store or server that does not give what is asked for.
    #[error("{address}: {reason}")]
    Remote {
        /// What was asked for.
        address: String,
        /// What it said.
        reason: String,
    },
    /// Files at an address whose writing was broken off.
    #[error("{address}: not everything is there yet (it holds .incomplete): write it again")]
    Incomplete {
        /// The address.
        address: String,
    },
    /// Something is in the way of what would be written.
    #[error("{path} exists already")]
    Exists {
        /// The folder.
        path: PathBuf,
    },
    /// A mixture that cannot be meant, or cannot be made.
    #[error("mixture: {reason}")]
    Mix {
        /// What is wrong.
        reason: String,
    },
    /// A configuration that cannot be read.
    #[error(transparent)]
    Settings(#[from] strefer_core::settings::SettingsError),
    /// A source of a mixture with too many records that are no samples.
    #[error(
        "source {name:?}: {bad} of {records} records are no samples, more than max_bad allows; the first: {first}"
    )]
    TooManyBad {
        /// The source.
        name: String,
        /// Records that are wrong.
        bad: usize,
        /// All records.
        records: usize,
        /// What is wrong with the first.
        first: String,
    },
    /// Somebody asked for the end of the job.
    #[error("stopped")]
    Stopped,
    /// A medium that cannot be packed.
    #[error("sample {id}: {path} is a folder, and shards hold files: pack a video or an image")]
    FolderMedium {
        /// The sample.
        id: String,
        /// The medium.
        path: PathBuf,
    },
}

pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}
