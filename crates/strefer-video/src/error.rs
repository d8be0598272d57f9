//! What can go wrong with a video; every variant names the file.

use std::path::{Path, PathBuf};
use std::time::Duration;

/// Result of this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// What can go wrong with a video.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing lies at the path.
    #[error("{path}: no such file or folder")]
    NotFound {
        /// The video.
        path: PathBuf,
    },
    /// The file holds sound, text or anything else, but no pictures.
    #[error("{path}: holds no video stream")]
    NoVideoStream {
        /// The video.
        path: PathBuf,
    },
    /// The file or folder holds no frame.
    #[error("{path}: holds no frame")]
    NoFrames {
        /// The video.
        path: PathBuf,
    },
    /// The file ends before its contents do.
    #[error("{path}: the file is cut off: {what}")]
    Truncated {
        /// The video.
        path: PathBuf,
        /// What is missing.
        what: String,
    },
    /// The contents cannot be understood.
    #[error("{path}: {what}")]
    Corrupt {
        /// The video.
        path: PathBuf,
        /// What is wrong.
        what: String,
    },
    /// A picture that cannot be written or read.
    #[error("{reason}")]
    Picture {
        /// What is wrong with it.
        reason: String,
    },
    /// A moment outside the video.
    #[error("{path}: no frame at {at_s:.3} s, the video ends at {end_s:.3} s")]
    NoFrame {
        /// The video.
        path: PathBuf,
        /// The moment asked for.
        at_s: f64,
        /// Where the video ends.
        end_s: f64,
    },
    /// An index past the last frame.
    #[error("{path}: no frame {index}, the video has {n_frames} frames")]
    NoIndex {
        /// The video.
        path: PathBuf,
        /// The index asked for.
        index: usize,
        /// How many frames there are.
        n_frames: usize,
    },
    /// Decoding took too long.
    #[error("{path}: not done after {limit:?}")]
    Deadline {
        /// The video.
        path: PathBuf,
        /// The time allowed.
        limit: Duration,
    },
    /// More decoded bytes were asked for than allowed.
    #[error("{path}: {frames} frames of {width}x{height} take {needed} bytes, {limit} are allowed")]
    Budget {
        /// The video.
        path: PathBuf,
        /// Number of frames.
        frames: usize,
        /// Width of a frame.
        width: u32,
        /// Height of a frame.
        height: u32,
        /// Bytes the frames take.
        needed: u64,
        /// Bytes allowed.
        limit: u64,
    },
    /// A video file, and this program was built without FFmpeg.
    #[error(
        "{path}: reading and writing video files needs a build with the feature ffmpeg; folders of images work"
    )]
    NoFfmpeg {
        /// The video.
        path: PathBuf,
    },
    /// A picture that cannot be read or written.
    #[error("{path}: {source}")]
    Image {
        /// The picture.
        path: PathBuf,
        /// Why.
        source: image::ImageError,
    },
    /// A file that cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The target of a write is there already.
    #[error("{path}: exists already")]
    Exists {
        /// The target.
        path: PathBuf,
    },
    /// Frames cannot be encoded.
    #[error("{path}: cannot encode: {what}")]
    Encode {
        /// The target.
        path: PathBuf,
        /// Why.
        what: String,
    },
}

impl Error {
    pub(crate) fn corrupt(path: &Path, what: impl ToString) -> Self {
        Self::Corrupt { path: path.into(), what: what.to_string() }
    }

    pub(crate) fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        |source| Self::Io { path, source }
    }

    pub(crate) fn image(path: &Path) -> impl FnOnce(image::ImageError) -> Self {
        let path = path.into();
        |source| Self::Image { path, source }
    }
}
