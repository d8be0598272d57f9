//! VideoRefer-Bench-Q: `videorefer/VideoRefer-Bench-Q.json`, frames at the paths it names below `videorefer/`.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use strefer_core::FrameKey;
use strefer_core::import::{ForeignObject, read_objects};
use strefer_core::masklet::IndexSpace;
use strefer_core::placeholder::{Piece, render};
use strefer_core::sample::Region;

use super::benchmark::{About, Benchmark, Reading, Verdicts};
use super::catalogue::{BenchOptions, Masks, ObjectForm};
use super::item::{Item, Offer, Other, frames, letter, unlettered, video};
use super::layout::Layout;
use super::others::read_others;
use super::prompt::Words;
use super::view::View;
use crate::coverage::{Unmatched, pair};
use crate::error::{Error, Result};
use crate::records::{BenchRecord, Reply, read_array};
use crate::sheet::Sheet;
use crate::videorefer::bench_q::{self, Prediction, Question};
use strefer_core::placeholder::number_regions;

/// A record as the benchmark has it.
#[derive(Debug, Deserialize)]
struct Record {
    #[serde(flatten)]
    question: Question,
    #[serde(rename = "Question")]
    text: String,
    frame_idx: Value,
    annotation: Vec<ForeignObject>,
}

impl BenchRecord for Record {
    fn key(&self) -> String {
        self.question.key()
    }

    fn fault(&self) -> Option<String> {
        self.question.fault()
    }
}

struct BenchQ {
    about: About,
    questions: Vec<Question>,
}

/// The frame that a record names, as a number or as a string.
pub(super) fn frame_key(value: &Value) -> std::result::Result<FrameKey, String> {
    serde_json::from_value(value.clone()).map_err(|error| format!("frame_idx: {error}"))
}

/// Objects of an annotation, each with the mask of one frame chosen or with all of them.
pub(super) fn regions(
    id: &str,
    objects: Vec<ForeignObject>,
    masks: Masks,
    frame: FrameKey,
) -> std::result::Result<Vec<Region>, String> {
    let mut regions =
        read_objects(id, objects, IndexSpace::Source, masks.mode()).map_err(|error| error.to_string())?;
    for region in &mut regions {
        if masks == Masks::Single {
            if !region.masks.contains_key(&frame) {
                return Err(format!("object {} has no mask in frame {frame}", region.rid));
            }
            region.fixed_key = Some(frame);
        }
    }
    Ok(regions)
}

/// A video file or a folder of frames, as its name says.
pub(super) fn medium(uri: String) -> strefer_core::sample::Media {
    let name = uri.rsplit('/').next().unwrap_or_default();
    let is_file = Path::new(name).extension().is_some_and(|ending| {
        ["mp4", "mkv", "webm", "avi", "mov"].iter().any(|known| ending.eq_ignore_ascii_case(known))
    });
    if is_file { video(uri) } else { frames(uri) }
}

pub(super) fn open(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("videorefer-q", root, "videorefer");
    let [file] = layout.files(["VideoRefer-Bench-Q.json"])?;
    let words = options.prompt.clone().map_or_else(Words::choice_row, Words::of);
    let (masks, objects) = (options.masks, options.objects);
    let (mut items, mut questions) = (Vec::new(), Vec::new());
    for record in read_array::<Record>(&file)? {
        let Record { question, text, frame_idx, annotation } = record;
        let refuse = |reason: String| Error::Record { path: file.clone(), record: question.key(), reason };
        let frame = frame_key(&frame_idx).map_err(refuse)?;
        let regions = regions(&question.key(), annotation, masks, frame).map_err(refuse)?;
        let text = in_words(&text, objects);
        let mentioned = text.matches("<region:").count();
        if mentioned != regions.len() {
            let listed = regions.len();
            return Err(refuse(format!("{mentioned} <region> in the question, {listed} objects annotated")));
        }
        let turn = words.turn(json!({ "question": text, "options": question.options }))?;
        let mut item = Item::new(question.key(), medium(layout.uri(&question.video)), turn);
        item.sample.regions = regions;
        item.groups.insert("type".to_owned(), question.kind.name().to_owned());
        item.label = json!(question.answer);
        item.right = Some(letter(&question.answer).to_owned());
        item.offer = Some(Offer {
            question: format!("<video>\n{text}"),
            texts: question.options.iter().map(|option| unlettered(option).to_owned()).collect(),
            replies: question.options.clone(),
            right: question.options.iter().position(|option| *option == question.answer),
        });
        items.push(item);
        questions.push(question);
    }
    for other in read_others(&file)? {
        let Some(at) = questions.iter().position(|question| question.key() == other.id) else { continue };
        let frame = other.frame_idx.as_ref().map(frame_key).transpose();
        let put = frame.and_then(|frame| {
            let frame = frame.unwrap_or(items[at].sample.regions[0].fixed_key.unwrap_or(FrameKey(0)));
            regions(&other.id, other.annotation, masks, frame)
        });
        let regions =
            put.map_err(|reason| Error::Record { path: file.clone(), record: other.id.clone(), reason })?;
        let answer = questions[at].options.iter().position(|option| Some(option) == other.answer.as_ref());
        items[at].other = Some(Other { regions: Some(regions), times_s: None, answer });
    }
    let about = About {
        title: "VideoRefer-Bench-Q",
        headline: "average",
        items,
        probes: View::OF_MASKS.to_vec(),
        facts: json!({ "prompt": words.to_json(), "masks": masks, "objects": objects }),
    };
    Ok(Box::new(BenchQ { about, questions }))
}

/// The question with its objects as they stand in `form`; the names that mark them go where objects stand alone.
pub(super) fn in_words(text: &str, form: ObjectForm) -> String {
    let mut text = text.to_owned();
    number_regions(std::iter::once(&mut text));
    let mut text = render(&text, |piece| match piece {
        Piece::Region(Some(index)) => form.of(*index),
        Piece::Unknown(tag) => (*tag).to_owned(),
        _ => String::new(),
    });
    if form == ObjectForm::Plain {
        for number in 1..=text.matches("<region:").count() {
            text = text.replace(&format!("<object{number}>"), "");
        }
    }
    text
}

impl Benchmark for BenchQ {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, item: usize, text: &str) -> Reading {
        let question = &self.questions[item];
        let letter = question.predict(text).letter();
        let position = |answer: &str| {
            question
                .options
                .iter()
                .position(|option| bench_q::bracketed(option) == bench_q::bracketed(answer))
        };
        let chosen = letter.and_then(|letter| position(&format!("({letter})")));
        let answer = position(&question.answer).unwrap_or(usize::MAX);
        Reading { parsed: json!(letter), ..Reading::choice(chosen, answer) }
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, _: Option<&Verdicts>) -> Result<Sheet> {
        let paired = pair(&self.questions, replies, unmatched)?;
        let predictions: Vec<Prediction> =
            paired.pairs.iter().map(|(question, reply)| question.predict(&reply.text)).collect();
        let pairs = paired.pairs.iter().map(|(question, _)| *question).zip(&predictions).collect();
        Ok(bench_q::sheet(&crate::coverage::Paired { pairs, coverage: paired.coverage.clone() }))
    }
}
