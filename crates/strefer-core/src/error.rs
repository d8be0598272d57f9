//! What can be wrong with annotation files and records.

use std::path::PathBuf;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// An annotation, record or file that cannot be used, and why.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A line is not the JSON that was expected.
    #[error("{path}, line {line}: {source}")]
    Json {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the parser said.
        source: serde_json::Error,
    },
    /// A line is longer than any record may be.
    #[error("{path}, line {line}: more than {limit} bytes in one line")]
    LineTooLong {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// The limit in bytes.
        limit: usize,
    },
    /// A line holds another type of record than the file should.
    #[error("{path}, line {line}: expected a record of type {expected:?}, found {found:?}")]
    RecordType {
        /// The file.
        path: PathBuf,
        /// Counted from 1.
        line: usize,
        /// What the reader asked for.
        expected: &'static str,
        /// What the line holds.
        found: &'static str,
    },
    /// Run lengths that do not fill the mask, or a mask of unreasonable size.
    #[error("mask of {height}x{width}: {reason}")]
    BadRle {
        /// Height in pixels as written.
        height: u64,
        /// Width in pixels as written.
        width: u64,
        /// What is wrong.
        reason: String,
    },
    /// Polygons need the size of the frame.
    #[error("a polygon mask needs the height and width of its frame")]
    PolygonWithoutSize,
    /// Two masks that should lie over each other have different sizes.
    #[error("masks of {left:?} and {right:?} (height, width) cannot be combined")]
    SizeMismatch {
        /// Height and width of the first.
        left: (usize, usize),
        /// Height and width of the second.
        right: (usize, usize),
    },
    /// A gesture that covers nothing of the frame, or a point beyond its border.
    #[error("{gesture} lies outside the {width}x{height} frame")]
    OutsideFrame {
        /// The gesture.
        gesture: String,
        /// Height of the frame.
        height: usize,
        /// Width of the frame.
        width: usize,
    },
    /// A gesture without an inside.
    #[error("{gesture} encloses no pixel")]
    EmptyGesture {
        /// The gesture.
        gesture: String,
    },
    /// A gesture that needs more points.
    #[error("a {gesture} needs at least {least} points, {found} are given")]
    TooFewPoints {
        /// Which kind of gesture.
        gesture: &'static str,
        /// How many it needs.
        least: usize,
        /// How many there are.
        found: usize,
    },
    /// A time that is not `HH:MM:SS.fff`, `MM:SS.fff` or seconds.
    #[error("{text:?} is not a time (seconds, MM:SS or HH:MM:SS, with decimals)")]
    BadClock {
        /// As written.
        text: String,
    },
    /// A span whose end lies before its start, or that is not finite.
    #[error("{start_s} to {end_s} is not a span of time")]
    BadSpan {
        /// Start in seconds.
        start_s: f64,
        /// End in seconds.
        end_s: f64,
    },
    /// A record in a foreign format that cannot be turned into a sample.
    #[error("record {id}: {reason}")]
    Import {
        /// Its id, or its position where it has none.
        id: String,
        /// What is wrong.
        reason: String,
    },
    /// A record of a file with masklets that cannot be read, or masklets that a file of that format cannot hold.
    #[error("{path}, {record}: {reason}")]
    Track {
        /// The file.
        path: PathBuf,
        /// What of it.
        record: String,
        /// What is wrong.
        reason: String,
    },
    /// A sample that uses what a foreign format cannot say.
    #[error("sample {id} cannot be written as {format}: {reason}")]
    Export {
        /// The sample.
        id: String,
        /// The format's name.
        format: &'static str,
        /// What it cannot say.
        reason: String,
    },
    /// A sample that contradicts itself.
    #[error("sample {id}: {issue}")]
    Invalid {
        /// The sample.
        id: String,
        /// What is wrong.
        issue: crate::validate::Issue,
    },
    /// A mixture that cannot be meant.
    #[error("mixture: {0}")]
    Mixture(String),
}
