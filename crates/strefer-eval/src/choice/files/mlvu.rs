//! MLVU: a file a task, long videos.

use std::path::Path;

use serde::Deserialize;

use super::{Asked, json_files, question, stem};
use crate::error::Result;
use crate::records::read_json;

#[derive(Deserialize)]
struct Row {
    #[serde(default)]
    video: String,
    #[serde(default)]
    question: String,
    candidates: Vec<String>,
    answer: String,
    question_type: String,
}

pub(super) fn read(path: &Path) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for file in json_files(path)? {
        let task = stem(&file);
        for (at, row) in read_json::<Vec<Row>>(&file)?.into_iter().enumerate() {
            let answer = row.candidates.iter().position(|option| *option == row.answer);
            let id = format!("{task}/{at}");
            let groups = [("task", row.question_type.as_str())];
            asked.push(Asked {
                question: question(&file, id, row.candidates, answer, &groups)?,
                text: row.question,
                video: format!("{task}/{}", row.video),
                span_s: None,
            });
        }
    }
    Ok(asked)
}
