//! Video-MME: one table of rows, as JSON or as parquet.

use std::path::Path;

use serde::Deserialize;

use super::super::letter::position;
use super::{Asked, question};
use crate::error::{Error, Result};
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
    rows(path)?.into_iter().map(one).collect()
}

/// The table, in either of its forms.
fn rows(path: &Path) -> Result<Vec<Row>> {
    if path.extension().is_none_or(|ending| ending != "parquet") {
        return read_json(path);
    }
    #[cfg(feature = "parquet")]
    {
        let of = |(at, row)| {
            serde_json::from_value(row).map_err(|error| Error::Record {
                path: path.to_owned(),
                record: format!("row {at}"),
                reason: error.to_string(),
            })
        };
        strefer_store::read_table(path)?.into_iter().enumerate().map(of).collect()
    }
    #[cfg(not(feature = "parquet"))]
    Err(Error::NoParquet { path: path.to_owned() })
}
