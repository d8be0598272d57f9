//! Questions as the benchmarks publish them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::letter::position;
use super::reading::Reading;
use super::record::Question;
use crate::error::{Error, Result};
use crate::records::{checked, read_json, read_lines};

/// Whose files of questions are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum QuestionFile {
    /// One [`Question`] a line.
    Lines,
    /// MVBench: one of its files `<task>.json`, or the folder of them. Ids are `<task>/<position from 0>`.
    MvBench,
    /// Video-MME: its table as one JSON array of rows. Ids are its `question_id`.
    VideoMme,
    /// Perception Test: `mc_question_valid.json`. Ids are `<video>/<id>`.
    PerceptionTest,
}

#[derive(Deserialize)]
struct MvBenchRow {
    candidates: Vec<String>,
    answer: String,
}

#[derive(Deserialize)]
struct VideoMmeRow {
    question_id: String,
    options: Vec<String>,
    answer: String,
    duration: String,
    domain: String,
    sub_category: String,
    task_type: String,
}

#[derive(Deserialize)]
struct PerceptionVideo {
    mc_question: Vec<PerceptionRow>,
}

#[derive(Deserialize)]
struct PerceptionRow {
    id: u64,
    options: Vec<String>,
    answer_id: usize,
    area: String,
    reasoning: String,
}

impl QuestionFile {
    /// How such questions are read unless somebody says otherwise.
    pub fn reading(self) -> Reading {
        match self {
            Self::MvBench => Reading::MvBench,
            Self::VideoMme => Reading::VideoMme,
            Self::Lines | Self::PerceptionTest => Reading::Letter,
        }
    }

    /// All questions of a file.
    ///
    /// # Errors
    /// A file that holds something else, or a question without its answer.
    pub fn read(self, path: &Path) -> Result<Vec<Question>> {
        match self {
            Self::Lines => read_lines(path),
            Self::MvBench => mv_bench(path),
            Self::VideoMme => video_mme(path),
            Self::PerceptionTest => perception_test(path),
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
    Ok(Question { id, options, answer, groups })
}

fn without_lines(questions: Vec<Question>) -> impl Iterator<Item = (Question, Option<usize>)> {
    questions.into_iter().map(|question| (question, None))
}

fn mv_bench(path: &Path) -> Result<Vec<Question>> {
    let mut files = vec![path.to_owned()];
    if path.is_dir() {
        let failed = |source| Error::Io { path: path.to_owned(), source };
        let entries = std::fs::read_dir(path).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
        files = entries.map_err(failed)?.into_iter().map(|entry| entry.path()).collect();
        files.retain(|file: &PathBuf| file.extension().is_some_and(|ending| ending == "json"));
        files.sort();
    }
    let mut questions = Vec::new();
    for file in &files {
        let task = file.file_stem().unwrap_or_default().to_string_lossy();
        for (at, row) in read_json::<Vec<MvBenchRow>>(file)?.into_iter().enumerate() {
            let answer = row.candidates.iter().position(|option| *option == row.answer);
            questions.push(question(
                file,
                format!("{task}/{at}"),
                row.candidates,
                answer,
                &[("task", &task)],
            )?);
        }
    }
    checked(path, without_lines(questions))
}

fn video_mme(path: &Path) -> Result<Vec<Question>> {
    let one = |row: VideoMmeRow| {
        let mut letters = row.answer.chars();
        let answer = letters.next().filter(|_| letters.next().is_none()).and_then(position);
        let groups = [
            ("duration", row.duration.as_str()),
            ("domain", &row.domain),
            ("sub_category", &row.sub_category),
            ("task_type", &row.task_type),
        ];
        question(path, row.question_id, row.options, answer, &groups)
    };
    let questions = read_json::<Vec<VideoMmeRow>>(path)?.into_iter().map(one).collect::<Result<_>>()?;
    checked(path, without_lines(questions))
}

fn perception_test(path: &Path) -> Result<Vec<Question>> {
    let mut questions = Vec::new();
    for (video, PerceptionVideo { mc_question }) in read_json::<BTreeMap<String, PerceptionVideo>>(path)? {
        for row in mc_question {
            let groups = [("area", row.area.as_str()), ("reasoning", &row.reasoning)];
            let id = format!("{video}/{}", row.id);
            questions.push(question(path, id, row.options, Some(row.answer_id), &groups)?);
        }
    }
    checked(path, without_lines(questions))
}
