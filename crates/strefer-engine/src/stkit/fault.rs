//! What can be wrong with trajectories, depth and cameras.

/// Why a trajectory, a clip or a frame's depth cannot be used. [`crate::Error`] adds whose it is.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Fault {
    /// Two lists that should run in parallel do not.
    #[error("{found} {what} for {expected} times")]
    Length {
        /// What is listed.
        what: &'static str,
        /// How many.
        found: usize,
        /// How many times.
        expected: usize,
    },
    /// A time that is not finite or does not come after the one before it.
    #[error("sample {sample} at {at_s} s does not come after the sample before it")]
    TimeOrder {
        /// Position of the sample.
        sample: usize,
        /// Its time in seconds.
        at_s: f64,
    },
    /// An up vector that is no unit vector.
    #[error("the up vector has the length {found}, not 1")]
    UpLength {
        /// Its length.
        found: f64,
    },
    /// Objects that should be compared were sampled at different times.
    #[error("the two tracks were not sampled at the same times")]
    Clocks,
    /// A box without an inside.
    #[error("sample {sample}: {bbox:?} is no box (left, top, right, bottom)")]
    Box {
        /// Position of the sample.
        sample: usize,
        /// As written.
        bbox: [f64; 4],
    },
    /// Two objects of a clip share an id.
    #[error("the id is used twice")]
    IdTwice,
    /// A frame rate or size that cannot be meant.
    #[error("{what} is {found}")]
    Measure {
        /// Which.
        what: &'static str,
        /// Its value.
        found: f64,
    },
    /// Maps of one frame have different sizes.
    #[error("the {what} is {}x{} (height x width), the depth {}x{}", found.0, found.1, expected.0, expected.1)]
    Size {
        /// Which map.
        what: &'static str,
        /// Its height and width.
        found: (usize, usize),
        /// Height and width of the depth.
        expected: (usize, usize),
    },
    /// A map whose values do not fill it.
    #[error("{found} values for a map of {height}x{width} (height x width)")]
    Values {
        /// How many values.
        found: usize,
        /// Rows.
        height: usize,
        /// Columns.
        width: usize,
    },
    /// Focal lengths that are not positive, or a rotation that is none.
    #[error("camera: {0}")]
    Camera(&'static str),
    /// No frame has a pixel for which both depths are known.
    #[error("no pixel has both a relative and a metric depth")]
    NoScale,
    /// The frames disagree about the scale.
    #[error("scales of the frames spread by {spread:.3} of the video's, more than {limit}")]
    ScaleSpread {
        /// Median deviation over the scale.
        spread: f64,
        /// The limit.
        limit: f64,
    },
}
