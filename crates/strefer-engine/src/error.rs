//! What can be wrong with stage records, configurations and output folders.

use std::path::PathBuf;

use crate::stkit::Fault;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a video or a run cannot be worked on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A sample that cannot become a record of a benchmark.
    #[error("sample {id}: {reason}")]
    Counterpart {
        /// The sample.
        id: String,
        /// Why not.
        reason: String,
    },
    /// What lies at an address cannot be had.
    #[error(transparent)]
    Store(#[from] strefer_store::Error),
    /// Two records that should be about one video are not.
    #[error("video {video_id}: its {stage} record is about {found:?}")]
    MixedVideos {
        /// The video.
        video_id: String,
        /// The type of the other record.
        stage: &'static str,
        /// The video that it names.
        found: String,
    },
    /// A record names an entity or part that no record lists.
    #[error("video {video_id}: the {stage} record names {name:?}, which is not listed")]
    UnknownName {
        /// The video.
        video_id: String,
        /// The type of the record.
        stage: &'static str,
        /// The name.
        name: String,
    },
    /// Two entities or parts share a name.
    #[error("video {video_id}: {name:?} is listed twice")]
    NameTwice {
        /// The video.
        video_id: String,
        /// The name.
        name: String,
    },
    /// A frame whose time is not known.
    #[error("video {video_id}, entity {eid}: frame {key} has no time ({n_times} are listed)")]
    NoFrameTime {
        /// The video.
        video_id: String,
        /// The entity.
        eid: String,
        /// The frame's key.
        key: u32,
        /// Number of times listed.
        n_times: usize,
    },
    /// Parts that leave gaps, overlap, or do not cover the video.
    #[error("video {video_id}: part {cid} runs from {start_s} to {end_s}, expected to start at {expected_s}")]
    ClipOrder {
        /// The video.
        video_id: String,
        /// The part.
        cid: String,
        /// Its start.
        start_s: f64,
        /// Its end.
        end_s: f64,
        /// Where the part before it ends.
        expected_s: f64,
    },
    /// A clip of trajectories that contradicts itself.
    #[error("clip {clip_id}: {fault}")]
    Clip {
        /// The clip.
        clip_id: String,
        /// What is wrong.
        fault: Fault,
    },
    /// An object of a clip that cannot be used.
    #[error("clip {clip_id}, object {object}: {fault}")]
    ClipObject {
        /// The clip.
        clip_id: String,
        /// The object's id.
        object: String,
        /// What is wrong.
        fault: Fault,
    },
    /// Two clips share a name.
    #[error("clip {clip_id} is given twice")]
    ClipTwice {
        /// The name.
        clip_id: String,
    },
    /// A file that is not the JSON that was expected.
    #[error("{path}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A file that holds something else than it should.
    #[error("{path}: {reason}")]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong, and in which line.
        reason: String,
    },
    /// A recording that does not fit what is known about it.
    #[error("video {video_id}: {reason}")]
    BadVideo {
        /// Its name.
        video_id: String,
        /// What is wrong.
        reason: String,
    },
    /// A row of a table that is missing or cannot be used.
    #[error("{path}, row {row}: {reason}")]
    BadRow {
        /// The table's file.
        path: PathBuf,
        /// The row's token, or its number.
        row: String,
        /// What is wrong.
        reason: String,
    },
    /// A configuration that parses but cannot be meant.
    #[error("engine configuration: {0}")]
    Config(String),
    /// A queue of videos that cannot be used.
    #[error("queue {url}: {reason}")]
    Queue {
        /// Where it is, without a password.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Somebody asked for the end of the job.
    #[error("stopped")]
    Stopped,
    /// The output folder holds something else.
    #[error("{dir}: {reason}")]
    OutputFolder {
        /// The folder.
        dir: PathBuf,
        /// Why it is not used.
        reason: String,
    },
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Annotation files, masks and samples.
    #[error(transparent)]
    Core(#[from] strefer_core::Error),
    /// A video or picture that cannot be read.
    #[error(transparent)]
    Video(#[from] strefer_video::Error),
}
