//! Video-MME: one table of rows.

use std::path::Path;

use serde::Deserialize;

use super::super::letter::position;
use super::{Asked, question};
use crate::error::Result;
use crate::records::read_json;

#[derive(Deserialize)]
struct Row {
    question_id: String,
    #[serde(default, rename = "videoID")]
    video: String,
    #[serde(default)]
    question: String,
    options: Vec<String>,
    answer: String,
    duration: String,
    domain: String,
    sub_category: String,
    task_type: String,
}

pub(super) fn read(path: &Path) -> Result<Vec<Asked>> {
    let one = |row: Row| {
        let mut letters = row.answer.chars();
        let answer = letters.next().filter(|_| letters.next().is_none()).and_then(position);
        let groups = [
            ("duration", row.duration.as_str()),
            ("domain", &row.domain),
            ("sub_category", &row.sub_category),
            ("task_type", &row.task_type),
        ];
        let question = question(path, row.question_id, row.options, answer, &groups)?;
        Ok(Asked { question, text: row.question, video: row.video, span_s: None })
    };
    read_json::<Vec<Row>>(path)?.into_iter().map(one).collect()
}
