//! TempCompass: by video and dimension, a file a type of question. Options stand in the question, one a line.

use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;

use super::{Asked, json_files, question, stem};
use crate::choice::Reading;
use crate::error::{Error, Result};
use crate::records::read_json;

#[derive(Deserialize)]
struct Row {
    question: String,
    answer: String,
}

type Videos = IndexMap<String, IndexMap<String, Vec<Row>>>;

/// The types of questions that rules can score, by the names of their files.
fn reading(kind: &str) -> Option<Reading> {
    match kind {
        "multi-choice" => Some(Reading::TempCompassChoice),
        "yes_no" => Some(Reading::TempCompassYesNo),
        "caption_matching" => Some(Reading::TempCompassCaption),
        _ => None,
    }
}

/// The options of a question and the right one.
fn options(reading: Reading, row: &Row) -> (Vec<String>, Option<usize>) {
    if reading == Reading::TempCompassYesNo {
        let said = row.answer.trim().to_lowercase();
        let options = ["yes", "no"];
        let answer = options.iter().position(|word| said.starts_with(word));
        return (options.map(str::to_owned).to_vec(), answer);
    }
    let options: Vec<String> = row.question.lines().skip(1).map(|line| line.trim().to_owned()).collect();
    let options: Vec<String> = options.into_iter().filter(|line| !line.is_empty()).collect();
    let answer = options.iter().position(|option| option == row.answer.trim());
    (options, answer)
}

pub(super) fn read(path: &Path) -> Result<Vec<Asked>> {
    let mut asked = Vec::new();
    for file in json_files(path)? {
        let kind = stem(&file);
        let Some(reading) = reading(&kind) else {
            if path.is_dir() {
                continue;
            }
            let reason = "only multi-choice, yes_no and caption_matching are scored by rules".to_owned();
            return Err(Error::Record { path: file, record: kind, reason });
        };
        for (video, dimensions) in read_json::<Videos>(&file)? {
            for (dimension, rows) in dimensions {
                for (at, row) in rows.into_iter().enumerate() {
                    let id = format!("{kind}/{video}/{dimension}/{at}");
                    let (options, answer) = options(reading, &row);
                    let groups = [("type", kind.as_str()), ("dimension", &dimension)];
                    let mut question = question(&file, id, options, answer, &groups)?;
                    question.reading = Some(reading);
                    asked.push(Asked { question, text: row.question, video: video.clone(), span_s: None });
                }
            }
        }
    }
    Ok(asked)
}
