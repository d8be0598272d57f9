//! What the engine's stages write: one JSON object a line, told apart by `type`.

mod descriptions;

use serde::{Deserialize, Serialize};

pub use descriptions::{Description, Descriptions, ObjectQuestion, QuestionKind, Review};

use crate::masklet::{FrameMap, IndexSpace};
use crate::rle::RleRecord;
use crate::sample::{Provenance, Sample, Schema};

/// Any record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Record {
    /// A video and its measures.
    Video(Video),
    /// What acts in it.
    Entities(Entities),
    /// Where it is, frame by frame.
    Masklets(Masklets),
    /// Its parts.
    Clips(Clips),
    /// What every entity does in every part.
    Transcript(Transcript),
    /// What is said about each object by itself.
    Descriptions(Descriptions),
    /// A conversation about it.
    Sample(Box<Sample>),
}

impl Record {
    /// The value of `type`.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Video(_) => "video",
            Self::Entities(_) => "entities",
            Self::Masklets(_) => "masklets",
            Self::Clips(_) => "clips",
            Self::Transcript(_) => "transcript",
            Self::Descriptions(_) => "descriptions",
            Self::Sample(_) => "sample",
        }
    }
}

/// A type that stands on lines of its own.
pub trait LineRecord: Sized {
    /// The value of `type`.
    const TYPE: &'static str;
    /// The record, if it is of this type; otherwise the name of its type.
    fn from_record(record: Record) -> Result<Self, &'static str>;
    /// As a record.
    fn into_record(self) -> Record;
}

macro_rules! line_record {
    ($type:ident, $name:literal, $wrap:expr, $unwrap:expr) => {
        impl LineRecord for $type {
            const TYPE: &'static str = $name;

            fn from_record(record: Record) -> Result<Self, &'static str> {
                match record {
                    Record::$type(inner) => Ok($unwrap(inner)),
                    other => Err(other.type_name()),
                }
            }

            fn into_record(self) -> Record {
                Record::$type($wrap(self))
            }
        }
    };
}

line_record!(Video, "video", std::convert::identity, std::convert::identity);
line_record!(Entities, "entities", std::convert::identity, std::convert::identity);
line_record!(Masklets, "masklets", std::convert::identity, std::convert::identity);
line_record!(Clips, "clips", std::convert::identity, std::convert::identity);
line_record!(Transcript, "transcript", std::convert::identity, std::convert::identity);
line_record!(Descriptions, "descriptions", std::convert::identity, std::convert::identity);
line_record!(Sample, "sample", Box::new, |inner: Box<Sample>| *inner);

/// Whether a video is a file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum VideoKind {
    /// A video file.
    File,
    /// A folder of images.
    FramesDir,
}

/// A video and its measures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Video {
    /// Version of the record.
    #[serde(default)]
    pub schema: Schema,
    /// Its name in all records.
    pub video_id: String,
    /// Path relative to the data folder.
    pub uri: String,
    /// File or folder.
    pub kind: VideoKind,
    /// Frames a second.
    pub fps: f64,
    /// Frames that really decode.
    pub n_frames: usize,
    /// Length in seconds.
    pub duration_s: f64,
    /// Width in pixels.
    pub width: u32,
    /// Height in pixels.
    pub height: u32,
    /// Hash of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sha256: Option<String>,
    /// Terms of use.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub license: Option<String>,
}

/// What acts in a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entities {
    /// Version of the record.
    #[serde(default)]
    pub schema: Schema,
    /// The video.
    pub video_id: String,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// The paragraph that the list was parsed from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paragraph: Option<String>,
    /// In stable order.
    pub items: Vec<Entity>,
}

/// One entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Entity {
    /// Its name in this video's records, `e0`, `e1`, …
    pub eid: String,
    /// A phrase that tells it from all others: "the large red ball".
    pub expression: String,
    /// Its category: "ball".
    pub noun: String,
    /// Its broad category: "toy".
    pub general_noun: String,
    /// Whether it moves or acts.
    pub active: bool,
    /// Where in the paragraph it stands, in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_span: Option<(usize, usize)>,
    /// Further facts by name, such as a colour.
    #[serde(default, skip_serializing_if = "FactMap::is_empty")]
    pub attributes: FactMap,
}

/// Facts by name.
pub type FactMap = std::collections::BTreeMap<String, String>;

/// Where every object of a video is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masklets {
    /// Version of the record.
    #[serde(default)]
    pub schema: Schema,
    /// The video.
    pub video_id: String,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// What the frame keys count.
    pub index_space: IndexSpace,
    /// Seconds of every frame of the index space that was used.
    pub frame_times_s: Vec<f64>,
    /// The frame on which tracking began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_index: Option<u32>,
    /// Frames that could be read, where some could not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub n_read: Option<u32>,
    /// Why there are no masklets, where there are none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failure: Option<MaskletsFailure>,
    /// One an entity.
    pub objects: Vec<Masklet>,
}

/// Why a video has no masklets.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, thiserror::Error)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum MaskletsFailure {
    /// The video cannot be read.
    #[error("the video cannot be read: {reason}")]
    Unreadable {
        /// What the reader said.
        reason: String,
    },
    /// Nobody said what to look for.
    #[error("no entity is named")]
    NoEntity,
    /// The detector found nothing.
    #[error("no box on any of {looked} frames")]
    NoDetection {
        /// How many frames it looked at.
        looked: u32,
    },
    /// Boxes whose overlap is undefined, in the published rules.
    #[error("the overlap of two empty masks on frame {position} is undefined")]
    UndefinedOverlap {
        /// Position of the frame among those that were used.
        position: u32,
    },
    /// Objects were followed, none of them is an entity.
    #[error("none of {tracks} tracks was assigned to an entity")]
    NothingAssigned {
        /// How many there were.
        tracks: u32,
    },
    /// A model failed.
    #[error("{stage}, frame {position}: {reason}")]
    Perception {
        /// Which.
        stage: PerceptionStage,
        /// Position of the frame among those that were used.
        position: u32,
        /// What it said.
        reason: String,
    },
}

/// The models that look at a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PerceptionStage {
    /// Names become boxes.
    Detector,
    /// Boxes become masks in all frames.
    Tracker,
    /// Expressions choose among boxes.
    Referee,
    /// Masks become descriptions of looks.
    Looks,
}

impl std::fmt::Display for PerceptionStage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Detector => "detector",
            Self::Tracker => "tracker",
            Self::Referee => "referee",
            Self::Looks => "looks",
        })
    }
}

/// One object through time. A frame without an entry does not show it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Masklet {
    /// The entity.
    pub eid: String,
    /// What the detector called it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector_label: Option<String>,
    /// How sure the detector was, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detector_score: Option<f64>,
    /// Its box on the first tracked frame, in pixels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub box_start_xyxy: Option<[f64; 4]>,
    /// How it came to its entity.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub assign: Option<Assign>,
    /// How sure it is that the masks show the entity, 0 to 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub confidence: Option<f64>,
    /// Runs of frames that do not show it, first and last key, both included.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gaps: Vec<[u32; 2]>,
    /// Its masks.
    pub frames: FrameMap<MaskletFrame>,
}

/// How an object was assigned to an expression.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Assign {
    /// Who assigned it.
    pub model: String,
    /// The object indices that were answered.
    pub answer_indices: Vec<u32>,
    /// How the answer was used.
    pub status: AssignStatus,
}

/// Outcome of an assignment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AssignStatus {
    /// One index was answered.
    Single,
    /// Several, the first free one was taken.
    Multi,
    /// Nobody was asked.
    Shortcut,
    /// Several frames were asked about, it has the best answers.
    Vote,
    /// Two expressions claimed one object.
    Conflict,
    /// No index was answered.
    None,
    /// Known from the source, nobody was asked.
    Truth,
}

/// One object in one frame.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MaskletFrame {
    /// The mask.
    pub rle: RleRecord,
    /// Pixels inside.
    pub area: u64,
    /// Left, top, width, height in pixels.
    pub bbox_xywh: [u32; 4],
}

/// The parts of a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Clips {
    /// Version of the record.
    #[serde(default)]
    pub schema: Schema,
    /// The video.
    pub video_id: String,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// They cover the video in order, without gaps.
    pub items: Vec<ClipSpan>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClipSpan {
    /// Its name, `c0`, `c1`, …
    pub cid: String,
    /// Start in seconds.
    pub start_s: f64,
    /// End in seconds, exclusive.
    pub end_s: f64,
    /// Why it ends.
    pub boundary: Boundary,
    /// How sure that is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub score: Option<f64>,
}

/// Why a part of a video ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Boundary {
    /// A cut.
    Shot,
    /// Something else happens.
    Semantic,
    /// It was long enough.
    MaxLen,
    /// The video ends.
    End,
}

/// What every entity does in every part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Transcript {
    /// Version of the record.
    #[serde(default)]
    pub schema: Schema,
    /// The video.
    pub video_id: String,
    /// Who says so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// One a (part, entity).
    pub items: Vec<TranscriptItem>,
    /// What happens in each part as a whole, by its name.
    #[serde(default, skip_serializing_if = "FactMap::is_empty")]
    pub scene_text: FactMap,
}

/// What one entity does in one part.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TranscriptItem {
    /// The part.
    pub cid: String,
    /// The entity.
    pub eid: String,
    /// What it does; nothing when it cannot be seen.
    pub text: Option<String>,
    /// Whether it can be seen, where that is known.
    pub visible: Option<bool>,
    /// Whether mask and text disagree.
    #[serde(default)]
    pub conflict: bool,
}
