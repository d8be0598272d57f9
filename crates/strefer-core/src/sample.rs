//! The one record that the engine writes, the mixture reads, and evaluators and servers build.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::masklet::{FrameKey, FrameMap, IndexSpace};
use crate::segmentation::FrameMask;

/// The version of all records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Schema {
    /// The only one so far.
    #[default]
    #[serde(rename = "strefer/1")]
    V1,
}

/// Where a record came from.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    /// The dataset.
    pub dataset: String,
    /// The stage that wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stage: Option<String>,
    /// The model that was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// Hash of the stage's configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_hash: Option<String>,
    /// When it was written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
}

/// What kind of medium a sample shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaKind {
    /// A video file.
    Video,
    /// One image.
    Image,
    /// A folder of frames.
    Frames,
}

/// The part of a video that is shown.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segment {
    /// First moment, in seconds of the file.
    pub start_s: f64,
    /// End, in seconds of the file; the end of the video when absent.
    #[serde(default)]
    pub end_s: Option<f64>,
}

/// A video or image that a sample is about.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Media {
    /// What it is.
    pub kind: MediaKind,
    /// Path relative to the data folder, or absolute.
    pub uri: String,
    /// The part shown; everything when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub segment: Option<Segment>,
    /// Height and width in pixels, where the annotation states them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<(u32, u32)>,
}

/// Who speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Instructions before the conversation.
    System,
    /// The one who asks.
    User,
    /// The one who answers.
    Assistant,
}

/// One turn of a conversation, with placeholders (see [`crate::placeholder`]).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Turn {
    /// Who speaks.
    pub role: Role,
    /// What is said.
    pub text: String,
}

/// Which of a region's frames the model gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegionMode {
    /// One, drawn at random in training, the first one otherwise.
    SingleRandom,
    /// The one named by `fixed_key`.
    SingleFixed,
    /// All of them, in file order.
    #[default]
    Multi,
}

/// An object that the text refers to by `<region:i>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Region {
    /// The `i` of `<region:i>`: the position in the list.
    pub rid: usize,
    /// The entity it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eid: Option<String>,
    /// Its masks.
    pub masks: FrameMap<FrameMask>,
    /// What the keys of `masks` count.
    pub index_space: IndexSpace,
    /// Which masks the model gets.
    #[serde(default)]
    pub mode: RegionMode,
    /// The frame for [`RegionMode::SingleFixed`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fixed_key: Option<FrameKey>,
}

/// How a time is written for the model.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TimeStyle {
    /// A temporal token.
    #[default]
    Token,
    /// Clock text, `MM:SS.f`.
    Clock,
    /// Seconds, `3.5s`.
    Seconds,
}

/// A moment that the text refers to by `<time:i>`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TimeRef {
    /// The `i` of `<time:i>`: the position in the list.
    pub tid: usize,
    /// Seconds on the clock of the segment shown.
    pub s: f64,
    /// The medium whose clock it is.
    #[serde(default = "first_media")]
    pub rel_to: String,
    /// How it is written.
    #[serde(default)]
    pub style: TimeStyle,
}

fn first_media() -> String {
    "media:0".to_owned()
}

/// What a sample teaches.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Task {
    /// Group, `G1` to `G8` for Strefer's.
    pub group: String,
    /// Name of the task.
    pub name: String,
    /// Whether the premise is false.
    #[serde(default)]
    pub negative: bool,
}

/// The form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AnswerFormat {
    /// Free text.
    Free,
    /// Begins with yes or no.
    Yesno,
    /// One of `choices`.
    Mcq,
    /// Names an entity.
    Expression,
    /// Beginning, middle or end.
    CoarseTime,
}

/// What is learnt from a sample.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Which turns are supervised; assistant turns so far.
    pub turns: LossTurns,
    /// Whether temporal tokens in answers are supervised.
    pub time_tokens: bool,
}

/// Turns that are supervised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossTurns {
    /// Everything the assistant says, with the end of its turn.
    #[default]
    Assistant,
    /// The assistant's last turn only.
    LastAssistant,
}

impl Default for Loss {
    fn default() -> Self {
        Self { turns: LossTurns::Assistant, time_tokens: true }
    }
}

/// Where in a mixture a sample belongs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mix {
    /// The source.
    pub source: String,
    /// Weight inside it.
    pub weight: f64,
}

/// Which part of a dataset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Split {
    /// For training.
    Train,
    /// For choosing.
    Val,
    /// For reporting.
    Test,
    /// A public benchmark.
    Bench,
}

/// The published format that a sample was read from, with what only that format knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Origin {
    /// The format.
    pub format: OriginFormat,
    /// Fields that have no place in a sample, in file order.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
}

/// Published formats that samples are read from and written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OriginFormat {
    /// VideoRefer-700K.
    VideoRefer,
    /// The Strefer release.
    Strefer,
    /// LLaVA-Video-178K.
    LlavaVideo,
    /// Grounded-VideoLLM; read only.
    GroundedVideoLlm,
    /// QVHighlights' annotations; read only.
    Qvhighlights,
}

/// One conversation about one video, with the regions and times it refers to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Version of the record.
    #[serde(default)]
    pub schema: Schema,
    /// Unique within its source.
    pub id: String,
    /// The video, across all records about it.
    pub video_id: String,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub provenance: Option<Provenance>,
    /// What is shown; one medium, or none for text alone.
    pub media: Vec<Media>,
    /// What is said.
    pub conversations: Vec<Turn>,
    /// What `<region:i>` stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub regions: Vec<Region>,
    /// What `<time:i>` stands for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub times: Vec<TimeRef>,
    /// What it teaches.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub task: Option<Task>,
    /// The form of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer_format: Option<AnswerFormat>,
    /// Options of a multiple-choice question.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub choices: Option<Vec<String>>,
    /// What is learnt from it.
    #[serde(default)]
    pub loss: Loss,
    /// Where in a mixture it belongs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mix: Option<Mix>,
    /// Which part of the dataset.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<Split>,
    /// What a benchmark needs to score the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<Value>,
    /// The format it was read from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub origin: Option<Origin>,
}

impl Sample {
    /// A conversation about one medium, everything else empty.
    pub fn new(id: impl Into<String>, video_id: impl Into<String>, media: Vec<Media>) -> Self {
        Self {
            schema: Schema::V1,
            id: id.into(),
            video_id: video_id.into(),
            provenance: None,
            media,
            conversations: Vec::new(),
            regions: Vec::new(),
            times: Vec::new(),
            task: None,
            answer_format: None,
            choices: None,
            loss: Loss::default(),
            mix: None,
            split: None,
            eval: None,
            origin: None,
        }
    }

    /// Adds a turn.
    pub fn say(&mut self, role: Role, text: impl Into<String>) {
        self.conversations.push(Turn { role, text: text.into() });
    }
}
