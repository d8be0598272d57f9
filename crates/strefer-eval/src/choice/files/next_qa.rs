//! NExT-QA, multiple choice: one CSV table.

use std::path::Path;

use serde::Deserialize;

use super::{Asked, question};
use crate::error::{Error, Result};

#[derive(Deserialize)]
struct Row {
    video: String,
    question: String,
    answer: usize,
    qid: String,
    #[serde(rename = "type")]
    kind: String,
    a0: String,
    a1: String,
    a2: String,
    a3: String,
    a4: String,
}

/// What a type is counted under: its family, which its first letter stands for, and itself.
pub(crate) fn groups(kind: &str) -> Option<[(&'static str, &str); 2]> {
    // What is asked before something is one kind with what is asked after it.
    Some([("family", family(kind)?), ("type", if kind == "TP" { "TN" } else { kind })])
}

fn family(kind: &str) -> Option<&'static str> {
    match kind.chars().next()? {
        'C' => Some("causal"),
        'T' => Some("temporal"),
        'D' => Some("descriptive"),
        _ => None,
    }
}

pub(super) fn read(path: &Path) -> Result<Vec<Asked>> {
    let refuse = |record: String, reason: String| Error::Record { path: path.to_owned(), record, reason };
    let mut table =
        csv::Reader::from_path(path).map_err(|error| refuse("the table".to_owned(), error.to_string()))?;
    let mut asked = Vec::new();
    for (at, row) in table.deserialize::<Row>().enumerate() {
        // The first line names the columns.
        let row = row.map_err(|error| refuse(format!("row {}", at + 2), error.to_string()))?;
        let id = format!("{}/{}", row.video, row.qid);
        let Some(groups) = groups(&row.kind) else {
            return Err(refuse(id, format!("its type {:?} is none of NExT-QA's", row.kind)));
        };
        let options = vec![row.a0, row.a1, row.a2, row.a3, row.a4];
        let answer = Some(row.answer).filter(|answer| *answer < options.len());
        asked.push(Asked {
            question: question(path, id, options, answer, &groups)?,
            text: row.question,
            video: row.video,
            span_s: None,
        });
    }
    Ok(asked)
}
