//! How each benchmark reads an answer.

use serde::{Deserialize, Serialize};

use super::{letter, next_qa, temp_compass, video_mme, video_refer};

/// Whose rules are used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reading {
    /// MVBench in the common harness: `B. …`, else the first letter that stands alone. The article "a" is such a letter.
    MvBench,
    /// MVBench's own script: the first word is a letter, with or without brackets and full stops.
    MvBenchFirstWord,
    /// MVBench in VideoRefer's scripts: the first capital of an option, even inside a word.
    VideoRefer,
    /// Video-MME in VideoRefer's scripts: as [`Reading::VideoRefer`], digits also as words.
    VideoReferWords,
    /// Video-MME's own script: the first capital after known openings.
    VideoMme,
    /// Video-MME in the common harness, which knows more openings.
    VideoMmeHarness,
    /// Perception Test in the common harness: the first capital that stands alone.
    Letter,
    /// NExT-QA, as MMMU: `(B)`, else `B `, else `B.`, else an option's text; the last of several.
    NextQa,
    /// TempCompass, multiple choice: an option, its letter, or text that starts with it.
    TempCompassChoice,
    /// TempCompass, yes or no; options in this order.
    TempCompassYesNo,
    /// The first word is yes or no; options in this order.
    YesNo,
    /// TempCompass, caption matching: an option, its sentence, its head (`Option 1`) or its index.
    TempCompassCaption,
    /// TempCompass, captioning: what a judge chooses who knows the caption alone.
    TempCompassJudge,
}

impl Reading {
    /// The chosen option's position; `None` when none is chosen.
    ///
    /// `options`: as they stand in the benchmark's file.
    pub fn choice(self, text: &str, options: &[String]) -> Option<usize> {
        let chosen = match self {
            Self::MvBench => letter::mv_bench(text),
            Self::MvBenchFirstWord => letter::first_word(text, options.len()),
            Self::VideoRefer => video_refer::choice(text, options, false),
            Self::VideoReferWords => video_refer::choice(text, options, true),
            Self::VideoMme => video_mme::choice(text, &[]),
            Self::VideoMmeHarness => video_mme::choice(text, &video_mme::HARNESS_OPENINGS),
            Self::Letter => letter::first_alone(text),
            Self::NextQa => next_qa::choice(text, options),
            Self::TempCompassChoice => temp_compass::multiple_choice(text, options),
            Self::TempCompassYesNo => temp_compass::yes_or_no(text),
            Self::YesNo => letter::yes_or_no(text),
            Self::TempCompassCaption => temp_compass::caption_matching(text, options),
            Self::TempCompassJudge => temp_compass::judged(text, options),
        };
        chosen.filter(|&at| at < options.len())
    }
}
