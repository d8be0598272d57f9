//! Questions as the benchmarks publish them.

mod mv_bench;
mod next_qa;
mod perception_test;
mod temp_compass;
mod video_mme;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub(crate) use next_qa::groups as next_qa_groups;
pub(crate) use temp_compass::read_captions;

use super::reading::Reading;
use super::record::Question;
use crate::error::{Error, Result};
use crate::records::{checked, read_lines};

/// Whose files of questions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionFile {
    /// One [`Question`] a line.
    Lines,
    /// MVBench: one of its files `<task>.json`, or the folder of them. Ids are `<task>/<position from 0>`.
    MvBench,
    /// Video-MME: its table, as parquet (feature `parquet`) or as one JSON array of rows. Ids are its `question_id`.
    VideoMme,
    /// Perception Test: `mc_question_valid.json`. Ids are `<video>/<id>`.
    PerceptionTest,
    /// MLVU: one of its files `<task>.json`, or the folder of them, whose questions with free answers are left out. Ids are
    /// `<task>/<position from 0>`.
    Mlvu,
    /// NExT-QA, multiple choice: `val.csv` or `test.csv`. Ids are `<video>/<qid>`.
    NextQa,
    /// TempCompass: one of `multi-choice.json`, `yes_no.json` and `caption_matching.json`, or the folder of them. Ids are
    /// `<type>/<video>/<dimension>/<position from 0>`.
    TempCompass,
}

/// A question with what a model has to be asked.
#[derive(Debug, Clone, PartialEq)]
pub struct Asked {
    /// What is scored.
    pub question: Question,
    /// The question alone. In TempCompass its options are part of it.
    pub text: String,
    /// The video as the file names it.
    pub video: String,
    /// The part of the video that is asked about, start and end in seconds; all of it when absent.
    pub span_s: Option<[f64; 2]>,
}

impl QuestionFile {
    /// How such questions are read unless somebody says otherwise.
    pub fn reading(self) -> Reading {
        match self {
            Self::MvBench | Self::Mlvu => Reading::MvBench,
            Self::VideoMme => Reading::VideoMme,
            Self::NextQa => Reading::NextQa,
            Self::TempCompass => Reading::TempCompassChoice,
            Self::Lines | Self::PerceptionTest => Reading::Letter,
        }
    }

    /// All questions of a file, as far as scores need them.
    ///
    /// # Errors
    /// A file that holds something else, or a question without its answer.
    pub fn read(self, path: &Path) -> Result<Vec<Question>> {
        if self == Self::Lines {
            return read_lines(path);
        }
        let asked = self.read_asked(path)?.into_iter();
        checked(path, asked.map(|asked| (asked.question, None)))
    }

    /// All questions of a benchmark's file with their words and videos; lines have none.
    ///
    /// # Errors
    /// As [`QuestionFile::read`].
    pub fn read_asked(self, path: &Path) -> Result<Vec<Asked>> {
        match self {
            Self::Lines => Ok(Vec::new()),
            Self::MvBench | Self::Mlvu => mv_bench::read(path),
            Self::VideoMme => video_mme::read(path),
            Self::PerceptionTest => perception_test::read(path),
            Self::NextQa => next_qa::read(path),
            Self::TempCompass => temp_compass::read(path),
        }
    }
}

/// A question whose answer was looked for among its options.
fn question(
    path: &Path,
    id: String,
    options: Vec<String>,
    answer: Option<usize>,
    groups: &[(&str, &str)],
) -> Result<Question> {
    let Some(answer) = answer else {
        let reason = "its answer is none of its options".to_owned();
        return Err(Error::Record { path: path.to_owned(), record: id, reason });
    };
    let groups = groups.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Ok(Question { id, options, answer, groups, reading: None })
}

/// The file itself, or the JSON files of a folder by name.
fn json_files(path: &Path) -> Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let failed = |source| Error::Io { path: path.to_owned(), source };
    let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut files: Vec<PathBuf> = entries.map_err(failed)?.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file: &PathBuf| file.extension().is_some_and(|ending| ending == "json"));
    files.sort();
    Ok(files)
}

/// What a file is called without its ending.
fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}
