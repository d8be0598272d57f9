//! VideoRefer-Bench-Q and -D from single-question samples of the generator.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;
use strefer_core::placeholder::{Piece, render};
use strefer_core::sample::Role;
use strefer_core::{QuizFacts, Rng, Sample};

use super::regions::{largest, object};
use crate::error::{Error, Result};
use crate::instruct::task::TaskKind;
use crate::language::nouns::capitalised;

const OPTIONS: usize = 4;

/// A record of `VideoRefer-Bench-Q.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct QuestionRecord {
    /// Its number.
    pub id: usize,
    /// The video's folder of frames.
    pub video: String,
    /// The question, with `<object1><region>` for its object.
    #[serde(rename = "Question")]
    pub question: String,
    /// What it asks for.
    #[serde(rename = "type")]
    pub kind: &'static str,
    /// `(A) …` to `(D) …`.
    pub options: Vec<String>,
    /// The right option, whole.
    #[serde(rename = "Answer")]
    pub answer: String,
    /// The frame whose mask is meant where one is.
    pub frame_idx: String,
    /// Its objects.
    pub annotation: Vec<Value>,
}

/// What would be true of another object: a line of `VideoRefer-Bench-Q.others.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OtherRecord {
    /// The question.
    pub id: String,
    /// The frame whose mask is meant where one is.
    pub frame_idx: String,
    /// The other object.
    pub annotation: Vec<Value>,
    /// The option that is right for it.
    pub answer: String,
}

/// A benchmark of questions.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Questions {
    /// The questions.
    pub questions: Vec<QuestionRecord>,
    /// For some of them, another object with another answer.
    pub others: Vec<OtherRecord>,
}

/// A record of `VideoRefer-Bench-D.json`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DescriptionRecord {
    /// Its number.
    pub id: usize,
    /// The video's file.
    pub video: String,
    /// What is true of the object.
    pub caption: String,
    /// The frame whose mask is meant where one is.
    pub frame_idx: String,
    /// The object.
    pub annotation: Vec<Value>,
}

/// What a task's questions are called in the benchmark.
fn kind(task: &str) -> Option<&'static str> {
    let kinds = [
        (TaskKind::RegionAttribute, "Basic Questions"),
        (TaskKind::MaskBehavior, "Sequential Questions"),
        (TaskKind::MaskRelation, "Relationship Questions"),
        (TaskKind::MaskOrder, "Reasoning Questions"),
    ];
    kinds.into_iter().find(|(known, _)| known.name() == task).map(|(_, kind)| kind)
}

/// The answer of a sample in words, and its question without the video's placeholder.
fn turns(sample: &Sample) -> Option<(&str, &str)> {
    let said = |role: Role| sample.conversations.iter().find(|turn| turn.role == role);
    let question = said(Role::User)?.text.trim_start_matches("<video>\n");
    Some((question, &said(Role::Assistant)?.text))
}

fn task(sample: &Sample) -> &str {
    sample.task.as_ref().map_or("", |task| task.name.as_str())
}

/// Wrong answers in the words of the right one: other values of a short answer, or what is right elsewhere.
fn wrong_answers(sample: &Sample, key: &str, answer: &str, alike: &[&str]) -> Vec<String> {
    let in_words = |value: &String| {
        let (lower, capital) =
            (answer.replace(key, value), answer.replace(&capitalised(key), &capitalised(value)));
        if lower == answer { capital } else { lower }
    };
    let values = sample.choices.iter().flatten().filter(|value| value.as_str() != key).map(in_words);
    let values: Vec<String> = values.filter(|words| words != answer).collect();
    if !values.is_empty() {
        return values;
    }
    let mut others: Vec<String> =
        alike.iter().filter(|other| **other != answer).map(|other| (*other).to_owned()).collect();
    others.sort();
    others.dedup();
    others
}

/// Questions with four answers each; samples of other tasks, and those for which there are no four, are left out. The
/// place of the right answer goes round. `video` names a video as the benchmark does.
///
/// # Errors
/// A sample whose masks do not count frames of the source.
pub fn questions(samples: &[Sample], seed: u64, video: impl Fn(&Sample) -> String) -> Result<Questions> {
    let mut alike: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for sample in samples {
        if let Some((_, answer)) = turns(sample) {
            alike.entry(task(sample)).or_default().push(answer);
        }
    }
    let mut all = Questions::default();
    for sample in samples {
        let (Some(kind), Some((question, answer))) = (kind(task(sample)), turns(sample)) else { continue };
        let facts = QuizFacts::of(sample).ok_or_else(|| Error::Counterpart {
            id: sample.id.clone(),
            reason: "it is no question with a known answer".to_owned(),
        })?;
        let mut wrong = wrong_answers(sample, &facts.answer, answer, &alike[task(sample)]);
        let mut rng = Rng::new(seed, "options").named(&sample.id);
        rng.shuffle(&mut wrong);
        let swap = |value: &str| {
            let capital = answer.replace(&capitalised(&facts.answer), &capitalised(value));
            let lower = answer.replace(&facts.answer, value);
            if lower == answer { capital } else { lower }
        };
        let other = facts.other.as_ref().map(|other| (swap(&other.answer), &other.region));
        // What is right of the other object is among the answers.
        if let Some((words, _)) = &other
            && let Some(at) = wrong.iter().position(|known| known == words)
        {
            wrong.swap(0, at);
        }
        wrong.truncate(OPTIONS - 1);
        if wrong.len() < OPTIONS - 1 {
            if wrong.len() + 2 != OPTIONS {
                continue;
            }
            wrong.push("None of these.".to_owned());
        }
        let id = all.questions.len();
        let (mut texts, right) = (wrong, id % OPTIONS);
        texts.insert(right, answer.to_owned());
        let options: Vec<String> =
            ('A'..='D').zip(&texts).map(|(letter, text)| format!("({letter}) {text}")).collect();
        let Some(frame) = sample.regions.first().and_then(largest) else { continue };
        let mut annotation = Vec::new();
        let mut mentioned: Vec<usize> = Vec::new();
        let question = render(question, |piece| match piece {
            Piece::Region(index) => {
                let index = index.unwrap_or(0);
                mentioned.push(index);
                format!("<object{}><region>", index + 1)
            }
            Piece::Unknown(tag) => (*tag).to_owned(),
            _ => String::new(),
        });
        for index in mentioned {
            annotation.push(object(&sample.id, &sample.regions[index])?);
        }
        // One frame stands for all objects: all must be seen in it.
        let seen = |region: &strefer_core::sample::Region| region.masks.contains_key(&frame);
        let shared = if sample.regions.iter().all(seen) {
            Some(frame)
        } else {
            let first = &sample.regions[0].masks;
            first
                .keys()
                .copied()
                .find(|key| sample.regions.iter().all(|region| region.masks.contains_key(key)))
        };
        let Some(frame) = shared else { continue };
        if let Some((words, region)) = other
            && let Some(place) = texts.iter().position(|text| *text == words)
            && let (true, Some(frame)) = (place != right, largest(region))
        {
            all.others.push(OtherRecord {
                id: id.to_string(),
                frame_idx: frame.to_string(),
                annotation: vec![object(&sample.id, region)?],
                answer: options[place].clone(),
            });
        }
        all.questions.push(QuestionRecord {
            id,
            video: video(sample),
            question,
            kind,
            answer: options[right].clone(),
            options,
            frame_idx: frame.to_string(),
            annotation,
        });
    }
    Ok(all)
}

/// Objects to be described, of samples that do so. `video` names a video as the benchmark does.
///
/// # Errors
/// As [`questions`].
pub fn descriptions(samples: &[Sample], video: impl Fn(&Sample) -> String) -> Result<Vec<DescriptionRecord>> {
    let mut records = Vec::new();
    for sample in samples.iter().filter(|sample| task(sample) == TaskKind::RegionCaptionDetailed.name()) {
        let (Some((_, caption)), Some(region)) = (turns(sample), sample.regions.first()) else { continue };
        let Some(frame) = largest(region) else { continue };
        records.push(DescriptionRecord {
            id: records.len(),
            video: video(sample),
            caption: caption.to_owned(),
            frame_idx: frame.to_string(),
            annotation: vec![object(&sample.id, region)?],
        });
    }
    Ok(records)
}
