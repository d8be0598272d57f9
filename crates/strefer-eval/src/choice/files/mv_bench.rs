//! MVBench, and MLVU, which has its form: a file a task, one array of questions.

use std::path::Path;

use serde::Deserialize;

use super::{Asked, json_files, question, stem};
use crate::error::{Error, Result};
use crate::records::read_json;

/// Files of MLVU whose answers are free text, for which a judge of its own is needed.
const OPEN: [&str; 2] = ["8_sub_scene", "9_summary"];

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    video: String,
    #[serde(default)]
    question: String,
    candidates: Vec<String>,
    answer: String,
    /// MVBench's: the part of the video that is asked about.
    #[serde(default)]
    start: Option<f64>,
    #[serde(default)]
    end: Option<f64>,
    /// MLVU's name of the task.
    #[serde(default)]
    question_type: Option<String>,
}

pub(super) fn read(path: &Path) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for file in json_files(path)? {
        let task = stem(&file);
        if OPEN.contains(&task.as_str()) {
            if path.is_dir() {
                continue;
            }
            let reason = "its answers are free text, only questions with candidates are scored".to_owned();
            return Err(Error::Record { path: file, record: task, reason });
        }
        for (at, row) in read_json::<Vec<Row>>(&file)?.into_iter().enumerate() {
            let answer = row.candidates.iter().position(|option| *option == row.answer);
            let groups = [("task", row.question_type.as_deref().unwrap_or(&task))];
            asked.push(Asked {
                question: question(&file, format!("{task}/{at}"), row.candidates, answer, &groups)?,
                text: row.question,
                video: row.video,
                span_s: row.start.zip(row.end).map(|(start_s, end_s)| [start_s, end_s]),
            });
        }
    }
    Ok(asked)
}
