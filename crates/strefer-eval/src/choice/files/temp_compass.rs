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

type Videos<R> = IndexMap<String, IndexMap<String, Vec<R>>>;

/// A caption to write, in some copies with the question that a judge is asked about it.
#[derive(Deserialize)]
struct CaptionRow {
    question: String,
    #[serde(default)]
    mc_question: Option<String>,
    #[serde(default)]
    mc_answer: Option<String>,
}

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
        for (video, dimensions) in read_json::<Videos<Row>>(&file)? {
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

/// Captions to write, each with the question with options that a judge is asked about it: its own, or else the first one of
/// the same video and dimension in `choices`.
pub(crate) fn read_captions(file: &Path, choices: &Path) -> Result<Vec<(Asked, String)>> {
    let choices = read_json::<Videos<Row>>(choices)?;
    let mut captions = Vec::new();
    for (video, dimensions) in read_json::<Videos<CaptionRow>>(file)? {
        for (dimension, rows) in dimensions {
            let first = choices.get(&video).and_then(|own| own.get(&dimension)?.first());
            for (at, row) in rows.into_iter().enumerate() {
                let id = format!("captioning/{video}/{dimension}/{at}");
                let own = row.mc_question.zip(row.mc_answer);
                let asked = own.map(|(question, answer)| Row { question, answer });
                let Some(asked) = asked.as_ref().or(first) else {
                    let reason = "no question with options is about the same video and dimension".to_owned();
                    return Err(Error::Record { path: file.to_owned(), record: id, reason });
                };
                let (options, answer) = options(Reading::TempCompassJudge, asked);
                let groups = [("type", "captioning"), ("dimension", dimension.as_str())];
                let question = question(file, id, options, answer, &groups)?;
                let caption = Asked { question, text: row.question, video: video.clone(), span_s: None };
                captions.push((caption, asked.question.clone()));
            }
        }
    }
    Ok(captions)
}
