//! What can go wrong with configurations, weights, prompts and frames. Tensor code returns candle's own errors.

use std::path::PathBuf;

/// A failure that names the file, prompt or frame at fault.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration cannot be read or cannot be meant.
    #[error("{origin}: {reason}")]
    Config {
        /// The file or preset.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Weights could not be opened, or do not fit the model.
    #[error(transparent)]
    Weights(#[from] strefer_nn::Error),
    /// A prompt that cannot be meant.
    #[error("prompt for object {object_id} on frame {frame_idx}: {reason}")]
    Prompt {
        /// The object.
        object_id: u64,
        /// The frame.
        frame_idx: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// An image or a text that a model cannot take.
    #[error("{reason}")]
    Input {
        /// What is wrong with it.
        reason: String,
    },
    /// A frame could not be had.
    #[error("frame {frame_idx}: {source}")]
    Frame {
        /// The frame.
        frame_idx: usize,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// Tracking without an object to track.
    #[error("tracking needs a prompt for at least one object first")]
    NothingToTrack,
    /// A tokenizer could not be read or lacks what the model needs.
    #[error("{origin}: {reason}")]
    Tokenizer {
        /// The tokenizer's file.
        origin: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A tensor operation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
}

/// Results of this crate's functions outside tensor code.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// An [`Error::Io`] at `path`.
    pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { path, source }
    }

    /// An [`Error::Input`].
    pub(crate) fn input(reason: impl Into<String>) -> Self {
        Self::Input { reason: reason.into() }
    }
}
