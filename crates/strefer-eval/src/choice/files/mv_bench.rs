//! MVBench: a file a task.

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
    #[serde(default)]
    start: Option<f64>,
    #[serde(default)]
    end: Option<f64>,
}

pub(super) fn read(path: &Path) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for file in json_files(path)? {
        let task = stem(&file);
        for (at, row) in read_json::<Vec<Row>>(&file)?.into_iter().enumerate() {
            let answer = row.candidates.iter().position(|option| *option == row.answer);
            let id = format!("{task}/{at}");
            asked.push(Asked {
                question: question(&file, id, row.candidates, answer, &[("task", &task)])?,
                text: row.question,
                video: row.video,
                span_s: row.start.zip(row.end).map(|(start_s, end_s)| [start_s, end_s]),
            });
        }
    }
    Ok(asked)
}
