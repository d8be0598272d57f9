//! The tasks that the generator knows: Strefer's eleven in eight groups, those of the base recipe, where a masked
//! object is (in a frame and at a time), and everything that it does, with times.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One kind of question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum TaskKind {
    /// Everything that is in the video and what it does.
    SceneCaption,
    /// Colour, pattern, shape or size of a masked object.
    RegionAttribute,
    /// What a masked object is.
    RegionName,
    /// In which box of the picture a masked object is; single frames only.
    RegionBox,
    /// A masked object in one phrase.
    RegionCaption,
    /// A masked object in sentences, with what it does.
    RegionCaptionDetailed,
    /// How many there are.
    SceneCount,
    /// Whether there is one.
    SceneExists,
    /// What a masked object does over the whole video, in order.
    MaskBehavior,
    /// Which object does something before or after a masked one.
    MaskOrder,
    /// What becomes of two masked objects' distance.
    MaskRelation,
    /// Whether a masked object does something.
    MaskVerify,
    /// What a named object does at a time.
    TimeBehavior,
    /// What happens at a time.
    TimeScene,
    /// Whether a named object does something at a time.
    TimeVerify,
    /// In which part of the video something happens.
    CoarseLocate,
    /// What one does while another does something.
    Concurrent,
    /// What a masked object does at a time.
    MaskTimeBehavior,
    /// Everything that a masked object does, with times.
    MaskTimeline,
    /// Where in the picture a masked object is at a time.
    MaskTimePosition,
    /// In which box of the picture a masked object is at a time.
    MaskTimeBox,
    /// A false premise about a masked object at a time.
    MaskTimeNegative,
}

impl TaskKind {
    /// All of them, in the order in which they are generated.
    pub const ALL: [Self; 22] = [
        Self::SceneCaption,
        Self::RegionAttribute,
        Self::RegionName,
        Self::RegionBox,
        Self::RegionCaption,
        Self::RegionCaptionDetailed,
        Self::SceneCount,
        Self::SceneExists,
        Self::MaskBehavior,
        Self::MaskOrder,
        Self::MaskRelation,
        Self::MaskVerify,
        Self::TimeBehavior,
        Self::TimeScene,
        Self::TimeVerify,
        Self::CoarseLocate,
        Self::Concurrent,
        Self::MaskTimeBehavior,
        Self::MaskTimeline,
        Self::MaskTimePosition,
        Self::MaskTimeBox,
        Self::MaskTimeNegative,
    ];

    /// Its name in records and configurations.
    pub fn name(self) -> &'static str {
        match self {
            Self::SceneCaption => "scene_caption",
            Self::RegionAttribute => "region_attribute",
            Self::RegionName => "region_name",
            Self::RegionBox => "region_box",
            Self::RegionCaption => "region_caption",
            Self::RegionCaptionDetailed => "region_caption_detailed",
            Self::SceneCount => "scene_count",
            Self::SceneExists => "scene_exists",
            Self::MaskBehavior => "mask_behavior",
            Self::MaskOrder => "mask_order",
            Self::MaskRelation => "mask_relation",
            Self::MaskVerify => "mask_verify",
            Self::TimeBehavior => "time_behavior",
            Self::TimeScene => "time_scene",
            Self::TimeVerify => "time_verify",
            Self::CoarseLocate => "coarse_locate",
            Self::Concurrent => "concurrent",
            Self::MaskTimeBehavior => "mask_time_behavior",
            Self::MaskTimeline => "mask_timeline",
            Self::MaskTimePosition => "mask_time_position",
            Self::MaskTimeBox => "mask_time_box",
            Self::MaskTimeNegative => "mask_time_negative",
        }
    }

    /// Its group: `G1` to `G8`, or `base`.
    pub fn group(self) -> &'static str {
        match self {
            Self::MaskBehavior => "G1",
            Self::MaskOrder | Self::MaskRelation => "G2",
            Self::MaskVerify => "G3",
            Self::TimeBehavior | Self::TimeScene => "G4",
            Self::TimeVerify => "G5",
            Self::CoarseLocate | Self::Concurrent => "G6",
            Self::MaskTimeBehavior | Self::MaskTimeline | Self::MaskTimePosition | Self::MaskTimeBox => "G7",
            Self::MaskTimeNegative => "G8",
            _ => "base",
        }
    }

    /// Whether one frame is enough to answer.
    pub fn is_about_looks(self) -> bool {
        matches!(self, Self::RegionAttribute | Self::RegionName | Self::RegionBox)
    }

    /// Whether it can be asked about a single frame only.
    pub fn is_about_a_frame(self) -> bool {
        self == Self::RegionBox
    }

    /// How many are asked about a video when a configuration says nothing.
    pub fn usual_count(self) -> usize {
        match self {
            Self::RegionAttribute => 8,
            Self::MaskTimeBehavior => 7,
            Self::TimeBehavior | Self::CoarseLocate => 4,
            Self::MaskTimeNegative => 3,
            Self::RegionBox | Self::MaskTimeBox => 0,
            Self::MaskRelation | Self::TimeScene | Self::RegionCaptionDetailed | Self::SceneCaption => 1,
            _ => 2,
        }
    }
}
