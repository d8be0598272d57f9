//! Perception Test: questions by video.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::{Asked, question};
use crate::error::Result;
use crate::records::read_json;

#[derive(Deserialize)]
struct Video {
    mc_question: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    id: u64,
    #[serde(default)]
    question: String,
    options: Vec<String>,
    answer_id: usize,
    area: String,
    reasoning: String,
}

pub(super) fn read(path: &Path) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for (video, Video { mc_question }) in read_json::<BTreeMap<String, Video>>(path)? {
        for row in mc_question {
            let groups = [("area", row.area.as_str()), ("reasoning", &row.reasoning)];
            let id = format!("{video}/{}", row.id);
            asked.push(Asked {
                question: question(path, id, row.options, Some(row.answer_id), &groups)?,
                text: row.question,
                video: video.clone(),
                span_s: None,
            });
        }
    }
    Ok(asked)
}
