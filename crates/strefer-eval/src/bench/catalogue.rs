//! All benchmarks by name.

use std::fmt;
use std::path::Path;
use std::str::FromStr;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};
use strefer_core::sample::RegionMode;
use strefer_teacher::Prompt;

use super::benchmark::Benchmark;
use super::{
    captions, grounding, hc_stvg, moment_choice, moment_questions, moments, next_qa_open, stkit, tables,
    video_mme, videorefer_d, videorefer_q,
};
use crate::choice::Reading;
use crate::error::{Error, Result};

/// A benchmark by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum BenchId {
    /// VideoRefer-Bench-Q.
    VideoreferQ,
    /// VideoRefer-Bench-D.
    VideoreferD,
    /// QVHighlights, moment retrieval.
    Qvhighlights,
    /// QVHighlights as questions about moments with four answers.
    QvhighlightsChoice,
    /// QVHighlights as questions about moments, yes or no.
    QvhighlightsYesNo,
    /// STKit-Bench.
    Stkit,
    /// MVBench.
    Mvbench,
    /// Video-MME.
    Videomme,
    /// MLVU, multiple choice.
    Mlvu,
    /// Perception Test, multiple choice.
    PerceptionTest,
    /// TempCompass, all types that rules can score.
    Tempcompass,
    /// TempCompass, captions that a judge reads.
    TempcompassCaptioning,
    /// NExT-QA, multiple choice.
    Nextqa,
    /// NExT-QA, answers in words.
    NextqaOpen,
    /// HC-STVG, captions of masked people.
    HcStvg,
    /// Charades-STA.
    CharadesSta,
    /// ActivityNet Captions, grounding.
    Activitynet,
}

/// What can be chosen about a benchmark.
#[derive(Debug, Clone, Default)]
pub struct BenchOptions {
    /// Which of its files: `val`, `test`, …; the usual one when absent.
    pub split: Option<String>,
    /// Which masks of an object a model gets: the one of the frame that a record names, or all.
    pub masks: Masks,
    /// How an object stands in a question.
    pub objects: ObjectForm,
    /// Whether questions come with the video's subtitles, and those of how many frames.
    pub subtitles: Option<usize>,
    /// Whose rules find the choice in an answer; the benchmark's usual ones when absent.
    pub reading: Option<Reading>,
    /// Somebody's own words around questions.
    pub prompt: Option<Prompt>,
    /// Videos are cut to the part that is asked about already.
    pub cut_already: bool,
    /// Queries of QVHighlights come with the masks of what they name.
    pub grounded: bool,
}

/// Which masks of an object a model gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Masks {
    /// The one of the frame that a record names.
    #[default]
    Single,
    /// All of them.
    Multi,
}

impl Masks {
    pub(super) fn mode(self) -> RegionMode {
        match self {
            Self::Single => RegionMode::SingleFixed,
            Self::Multi => RegionMode::Multi,
        }
    }
}

/// How an object stands in a question.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ObjectForm {
    /// In square brackets, as VideoRefer was trained.
    #[default]
    Bracketed,
    /// Alone.
    Plain,
}

impl ObjectForm {
    /// The object of a number.
    pub(super) fn of(self, index: usize) -> String {
        match self {
            Self::Bracketed => format!("[<region:{index}>]"),
            Self::Plain => format!("<region:{index}>"),
        }
    }
}

impl BenchId {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::VideoreferQ,
        Self::VideoreferD,
        Self::Qvhighlights,
        Self::QvhighlightsChoice,
        Self::QvhighlightsYesNo,
        Self::Stkit,
        Self::Mvbench,
        Self::Videomme,
        Self::Mlvu,
        Self::PerceptionTest,
        Self::Tempcompass,
        Self::TempcompassCaptioning,
        Self::Nextqa,
        Self::NextqaOpen,
        Self::HcStvg,
        Self::CharadesSta,
        Self::Activitynet,
    ];

    /// As it is called on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::VideoreferQ => "videorefer-q",
            Self::VideoreferD => "videorefer-d",
            Self::Qvhighlights => "qvhighlights",
            Self::QvhighlightsChoice => "qvhighlights-choice",
            Self::QvhighlightsYesNo => "qvhighlights-yes-no",
            Self::Stkit => "stkit",
            Self::Mvbench => "mvbench",
            Self::Videomme => "videomme",
            Self::Mlvu => "mlvu",
            Self::PerceptionTest => "perception-test",
            Self::Tempcompass => "tempcompass",
            Self::TempcompassCaptioning => "tempcompass-captioning",
            Self::Nextqa => "nextqa",
            Self::NextqaOpen => "nextqa-open",
            Self::HcStvg => "hc-stvg",
            Self::CharadesSta => "charades-sta",
            Self::Activitynet => "activitynet",
        }
    }

    /// How many questions its published files have, where that is known: files with another number are others.
    pub fn published_count(self, split: Option<&str>) -> Option<usize> {
        let count = match (self, split) {
            (Self::VideoreferQ, _) => 1000,
            (Self::VideoreferD, _) => 400,
            (Self::Qvhighlights | Self::QvhighlightsChoice | Self::QvhighlightsYesNo, split) => match split {
                None | Some("val") => 1550,
                Some("test") => 1542,
                Some("train") => 7218,
                Some(_) => return None,
            },
            (Self::Stkit, _) => 1400,
            (Self::Mvbench, _) => 4000,
            (Self::Videomme, _) => 2700,
            (Self::PerceptionTest, None | Some("valid")) => 19_140,
            (Self::Tempcompass, _) => 1580 + 2453 + 1503,
            (Self::TempcompassCaptioning, _) => 2004,
            (Self::Nextqa, None | Some("val")) => 4996,
            (Self::Nextqa, Some("test")) => 8564,
            (Self::NextqaOpen, None | Some("test")) => 9178,
            (Self::HcStvg, _) => 1160,
            (Self::CharadesSta, None | Some("test")) => 3720,
            (Self::Activitynet, None | Some("val_2")) => 17_031,
            (Self::Activitynet, Some("val_1")) => 17_505,
            _ => return None,
        };
        Some(count)
    }

    /// Reads its files below `root`. No video is opened.
    ///
    /// # Errors
    /// All files that are missing, or a record that cannot be used.
    pub fn open(self, root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
        let may_be_grounded =
            matches!(self, Self::Qvhighlights | Self::QvhighlightsChoice | Self::QvhighlightsYesNo);
        if options.grounded && !may_be_grounded {
            return Err(Error::NotGrounded { benchmark: self.name() });
        }
        match self {
            Self::VideoreferQ => videorefer_q::open(root, options),
            Self::VideoreferD => videorefer_d::open(root, options),
            Self::Qvhighlights => moments::open(root, options),
            Self::QvhighlightsChoice => moment_choice::open(root, options),
            Self::QvhighlightsYesNo => moment_questions::yes_no(root, options),
            Self::Stkit => stkit::open(root, options),
            Self::Mvbench => tables::mv_bench(root, options),
            Self::Videomme => video_mme::open(root, options),
            Self::Mlvu => tables::mlvu(root, options),
            Self::PerceptionTest => tables::perception_test(root, options),
            Self::Tempcompass => tables::temp_compass(root, options),
            Self::TempcompassCaptioning => captions::open(root, options),
            Self::Nextqa => tables::next_qa(root, options),
            Self::NextqaOpen => next_qa_open::open(root, options),
            Self::HcStvg => hc_stvg::open(root, options),
            Self::CharadesSta => grounding::charades(root, options),
            Self::Activitynet => grounding::activity_net(root, options),
        }
    }
}

impl fmt::Display for BenchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for BenchId {
    type Err = serde::de::value::Error;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Self::deserialize(text.into_deserializer())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn benchmarks_have_the_same_name_everywhere() {
        for id in BenchId::ALL {
            assert_eq!(id.name().parse::<BenchId>().unwrap(), id);
            assert_eq!(serde_json::to_value(id).unwrap(), id.name());
        }
        assert!("nobench".parse::<BenchId>().unwrap_err().to_string().contains("videorefer-q"));
    }
}
