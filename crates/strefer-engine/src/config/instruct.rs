//! How the generator asks.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::sample::{Split, TimeStyle};

use crate::error::{Error, Result};
use crate::instruct::task::TaskKind;

/// How turns become samples.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Form {
    /// Many turns share one video, for training.
    Conversations,
    /// Many turns about single frames, each shown alone; only tasks about the looks of masked objects.
    Frames,
    /// One question a sample, with what is needed to score the answer.
    SingleTurn,
}

/// The instruction generator.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct InstructConfig {
    /// Every draw is keyed by it, the video and the task.
    pub seed: u64,
    /// Name of the source, in samples.
    pub dataset: String,
    /// Which part of the dataset this is.
    pub split: Split,
    /// Conversations or single questions.
    pub form: Form,
    /// Most turns in one conversation.
    pub turns_per_sample: usize,
    /// Frames of a video that are shown alone, in the form for that.
    pub frames_per_video: usize,
    /// Conversations with fewer turns are left out.
    pub fewest_turns: usize,
    /// Most different regions in one conversation.
    pub regions_per_sample: usize,
    /// Most questions a video and task; a task that is not named is not asked.
    pub tasks: BTreeMap<TaskKind, usize>,
    /// Attributes that are asked about, each with all its values (they become the choices of short answers).
    pub attributes: BTreeMap<String, Vec<String>>,
    /// Predicates that the videos know, besides those of the same video: wrong answers are drawn from both.
    pub actions: Vec<String>,
    /// Only ask questions about a masked object whose answer another object of the video does not share.
    pub contrast_only: bool,
    /// Share of the answers that are a word or two where a sentence could be given.
    pub brief_share: f64,
    /// Share of the questions whose wording is drawn; the others have the plainest one, from which a small model learns
    /// sooner what is asked.
    pub varied_share: f64,
    /// How times are written, drawn evenly.
    pub time_styles: Vec<TimeStyle>,
    /// Largest share of questions with a false premise in a group.
    pub negative_share: f64,
    /// Intervals are shortened by up to this share of their length at each end.
    pub jitter: f64,
    /// Points in time lie in the middle of what holds: this share of its length.
    pub middle: f64,
    /// Nothing shorter is asked about, in seconds.
    pub shortest_s: f64,
    /// Intervals of the temporal tokens; an interval within one of them is not asked about.
    pub time_intervals: u32,
    /// Masks smaller than this share of the image point at nothing.
    pub smallest_area: f64,
    /// Most masks stored for a region, spread over the video.
    pub masks_per_region: usize,
    /// Share of the samples whose regions point at their objects in one frame instead of all along the video.
    pub single_frame_share: f64,
}

impl Default for InstructConfig {
    fn default() -> Self {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect();
        Self {
            seed: 0,
            dataset: "engine".to_owned(),
            split: Split::Train,
            form: Form::Conversations,
            turns_per_sample: 8,
            frames_per_video: 4,
            fewest_turns: 1,
            regions_per_sample: 8,
            tasks: TaskKind::ALL.iter().map(|task| (*task, task.usual_count())).collect(),
            attributes: [
                ("colour", words("red orange yellow green blue purple pink white")),
                ("pattern", words("plain striped spotted checkered")),
                ("shape", words("ball box can cone ring")),
                ("size", words("small medium large")),
            ]
            .map(|(name, values)| (name.to_owned(), values))
            .into(),
            actions: Vec::new(),
            contrast_only: true,
            brief_share: 0.6,
            varied_share: 1.0,
            time_styles: vec![TimeStyle::Token, TimeStyle::Clock, TimeStyle::Seconds],
            negative_share: 0.3,
            jitter: 0.1,
            middle: 0.8,
            shortest_s: 0.3,
            time_intervals: 31,
            smallest_area: 0.001,
            masks_per_region: 8,
            single_frame_share: 0.5,
        }
    }
}

impl InstructConfig {
    /// Rejects what parses but cannot be meant.
    pub fn validate(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Config(reason));
        if self.tasks.values().all(|&count| count == 0) {
            return refuse("no task is asked for".to_owned());
        }
        if self.turns_per_sample == 0 || self.regions_per_sample < 2 {
            return refuse("a conversation needs at least one turn and room for two regions".to_owned());
        }
        if self.fewest_turns > self.turns_per_sample {
            return refuse(format!("fewest_turns {} is above turns_per_sample", self.fewest_turns));
        }
        if self.form == Form::Frames && self.frames_per_video == 0 {
            return refuse("frames_per_video is 0, and the form shows frames".to_owned());
        }
        if self.masks_per_region == 0 || self.time_styles.is_empty() || self.time_intervals == 0 {
            return refuse("masks_per_region, time_styles and time_intervals cannot be empty".to_owned());
        }
        for (name, value, low, high) in [
            ("negative_share", self.negative_share, 0.0, 0.9),
            ("jitter", self.jitter, 0.0, 0.4),
            ("middle", self.middle, 0.01, 1.0),
            ("smallest_area", self.smallest_area, 0.0, 0.5),
            ("shortest_s", self.shortest_s, 0.0, 3600.0),
            ("brief_share", self.brief_share, 0.0, 1.0),
            ("varied_share", self.varied_share, 0.0, 1.0),
            ("single_frame_share", self.single_frame_share, 0.0, 1.0),
        ] {
            if !(low..=high).contains(&value) {
                return refuse(format!("{name} is {value}, not between {low} and {high}"));
            }
        }
        for (task, _) in self.tasks.iter().filter(|(_, count)| **count > 0) {
            match self.form {
                Form::Frames if !task.is_about_looks() => {
                    return refuse(format!("task {} cannot be asked about a single frame", task.name()));
                }
                Form::Conversations | Form::SingleTurn if task.is_about_a_frame() => {
                    return refuse(format!("task {} is asked about single frames only", task.name()));
                }
                _ => {}
            }
        }
        match self.attributes.iter().find(|(_, values)| values.len() < 2) {
            Some((name, _)) => refuse(format!("attribute {name:?} needs at least two values")),
            None => Ok(()),
        }
    }
}
