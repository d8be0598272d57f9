//! What can go wrong with a world; every variant names the thing.

use std::path::{Path, PathBuf};

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a world.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A config that parses but cannot be meant.
    #[error("world config: {what}")]
    BadConfig {
        /// What is wrong.
        what: String,
    },
    /// The folder holds something that is not this world.
    #[error("{path}: {what}; choose another folder")]
    ForeignFolder {
        /// The folder.
        path: PathBuf,
        /// What lies there.
        what: String,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A record that cannot be parsed.
    #[error("{path}, line {line}: {source}")]
    Record {
        /// The file.
        path: PathBuf,
        /// Its line, from 1.
        line: usize,
        /// Why.
        source: serde_json::Error,
    },
    /// A video that cannot be written.
    #[error("clip {id}: {source}")]
    Video {
        /// The clip.
        id: String,
        /// Why.
        source: strefer_video::Error,
    },
}

impl Error {
    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }
}
