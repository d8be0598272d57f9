//! The record beside each video.

use serde::{Deserialize, Serialize};
use strefer_core::{Rle, Span};

use crate::config::Split;
use crate::world::{Action, Attributes};

/// What is true of a clip. Lengths are in metres, times in seconds, pixels count from the upper left corner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipTruth {
    /// Name of the clip and of its video file.
    pub id: String,
    /// Which part of the data it belongs to.
    pub split: Split,
    /// Seed of the world.
    pub seed: u64,
    /// Its place in the split.
    pub index: u64,
    /// Width of the picture.
    pub width: u32,
    /// Height of the picture.
    pub height: u32,
    /// Frames a second.
    pub fps: f64,
    /// Number of frames.
    pub n_frames: usize,
    /// Length.
    pub duration_s: f64,
    /// Moments of hard cuts; the first frame of the new shot is shown then.
    pub cuts_s: Vec<f64>,
    /// The camera of each frame.
    pub cameras: Vec<CameraTruth>,
    /// The bodies.
    pub bodies: Vec<BodyTruth>,
    /// What happens between them, ordered by time.
    pub events: Vec<Event>,
}

/// A pinhole camera without roll. The world's x points to the right, y away from the viewer, z up from the ground.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CameraTruth {
    /// Focal length in pixels.
    pub focal_px: f64,
    /// Where the optical axis meets the picture.
    pub centre_px: [f64; 2],
    /// Place in the world.
    pub position_m: [f64; 3],
    /// Turn to the right, radians.
    pub yaw: f64,
    /// Tilt down, radians.
    pub pitch: f64,
}

/// What is true of a body.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyTruth {
    /// What it looks like.
    pub attributes: Attributes,
    /// What a person would call it: "large red striped ball".
    pub name: String,
    /// Its noun: "ball".
    pub noun: String,
    /// A word for it that gives nothing away.
    pub general_noun: String,
    /// Its combination of attributes never occurs in training.
    pub held_out: bool,
    /// Metres across.
    pub size_m: f64,
    /// The middle of its base in each frame.
    pub positions_m: Vec<[f64; 3]>,
    /// Its visible pixels in each frame; `null` where there are none.
    pub masks: Vec<Option<Rle>>,
    /// Stretches in which at least a thousandth of the picture shows it.
    pub visible: Vec<Span>,
    /// What it does, without the time it waits outside the picture.
    pub timeline: Vec<SegmentTruth>,
}

/// One thing that a body does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentTruth {
    /// What.
    pub action: Action,
    /// In words: "moves to the left".
    pub phrase: String,
    /// When.
    pub span: Span,
    /// Way over the ground.
    pub distance_m: f64,
    /// Mean speed over the ground.
    pub speed_m_s: f64,
}

/// A side of the picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The left.
    Left,
    /// The right.
    Right,
}

/// Something that happens, mostly between bodies. Bodies are numbers in [`ClipTruth::bodies`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum Event {
    /// A body comes into the picture for the first time.
    Enters {
        /// Which.
        body: usize,
        /// When.
        at_s: f64,
        /// Where.
        side: Side,
    },
    /// A body goes out of the picture.
    Leaves {
        /// Which.
        body: usize,
        /// When.
        at_s: f64,
        /// Where.
        side: Side,
    },
    /// A body that had left comes into the picture again.
    ComesBack {
        /// Which.
        body: usize,
        /// When.
        at_s: f64,
        /// Where.
        side: Side,
    },
    /// Two bodies come together: less than 15 cm of ground between them, after more than 35 cm.
    Meet {
        /// One.
        first: usize,
        /// The other.
        second: usize,
        /// When.
        at_s: f64,
    },
    /// A body goes behind another, which hides a third of it or more.
    PassesBehind {
        /// The farther one.
        behind: usize,
        /// The nearer one.
        front: usize,
        /// While at least a tenth is hidden.
        span: Span,
    },
    /// A body becomes faster on its way.
    SpeedsUp {
        /// Which.
        body: usize,
        /// When.
        at_s: f64,
    },
    /// A body goes back the way it came.
    TurnsAround {
        /// Which.
        body: usize,
        /// When.
        at_s: f64,
    },
    /// A body that was on its way stands still.
    Stops {
        /// Which.
        body: usize,
        /// When.
        at_s: f64,
    },
}

impl Event {
    /// When it happens or begins.
    pub fn at_s(&self) -> f64 {
        match self {
            Self::Enters { at_s, .. }
            | Self::Leaves { at_s, .. }
            | Self::ComesBack { at_s, .. }
            | Self::Meet { at_s, .. }
            | Self::SpeedsUp { at_s, .. }
            | Self::TurnsAround { at_s, .. }
            | Self::Stops { at_s, .. } => *at_s,
            Self::PassesBehind { span, .. } => span.start_s,
        }
    }
}

impl ClipTruth {
    /// Pixels of a body from which on it counts as visible.
    pub fn least_visible_area(&self) -> u64 {
        (u64::from(self.width) * u64::from(self.height)).div_ceil(1024)
    }
}
