//! Boxes become numbered outlines on the frame, and a model behind a [`Teacher`] says which numbers an expression means.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use strefer_core::Mask;
use strefer_teacher::{Part, Prompt, Sampling, Teacher};
use strefer_video::draw::{MarkStyle, mark_colour, object_mark};
use strefer_video::jpeg;

use crate::masklets::boxes::filled;
use crate::masklets::eyes::FrameStore;
use crate::masklets::seam::{Answer, Area, Referee, Seen};

/// Quality of the frames that are sent.
const QUALITY: u8 = 92;

/// A teacher over the frames of a store. One question a frame names all expressions.
#[derive(Debug)]
pub struct MarksReferee<'a> {
    frames: &'a FrameStore,
    teacher: &'a dyn Teacher,
    prompt: &'a Prompt,
    sampling: Sampling,
    name: String,
}

/// What stands in a prompt's place.
#[derive(Serialize)]
struct Facts<'a> {
    /// How many outlines there are, numbered from 1.
    boxes: usize,
    /// In order, counted from 1.
    expressions: &'a [&'a str],
}

#[derive(Debug, Deserialize)]
struct Named {
    expression: usize,
    objects: Vec<usize>,
}

impl<'a> MarksReferee<'a> {
    /// Looks at the frames of `frames`. `prompt` is filled with `boxes`, the number of outlines, and `expressions`.
    pub fn new(
        frames: &'a FrameStore,
        teacher: &'a dyn Teacher,
        prompt: &'a Prompt,
        sampling: Sampling,
    ) -> Self {
        let name = format!("marks:{}", teacher.model());
        Self { frames, teacher, prompt, sampling, name }
    }

    /// The frame with an outline round each box, larger boxes first, as JPEG.
    fn drawn(&self, position: usize, boxes: &[Area]) -> Seen<Arc<[u8]>> {
        let mut image = self.frames.worked(position)?.as_ref().clone();
        let size = (image.height() as usize, image.width() as usize);
        let masks = boxes.iter().map(|&area| filled(area, size));
        let mut masks: Vec<(usize, Mask)> = masks.enumerate().collect();
        masks.sort_by_key(|(_, mask)| std::cmp::Reverse(mask.area()));
        let style = MarkStyle { alpha: 0.0, least_part: 1, ..MarkStyle::default() };
        for (at, mask) in masks {
            object_mark(&mut image, &mask, at + 1, mark_colour(at).1, &style);
        }
        Ok(jpeg::encode(&image, QUALITY)?.into())
    }
}

/// The form of an answer over so many boxes and expressions.
fn schema(boxes: usize, expressions: usize) -> Value {
    let number = |most: usize| json!({ "type": "integer", "minimum": 1, "maximum": most });
    json!({
        "type": "object",
        "properties": { "answers": { "type": "array", "items": {
            "type": "object",
            "properties": {
                "expression": number(expressions),
                "objects": { "type": "array", "items": number(boxes) },
            },
            "required": ["expression", "objects"],
            "additionalProperties": false,
        } } },
        "required": ["answers"],
        "additionalProperties": false,
    })
}

/// One answer an expression; what is said twice about one is put together.
fn read(value: Option<Value>, expressions: usize) -> Seen<Vec<Answer>> {
    let answers = value.and_then(|mut value| value.get_mut("answers").map(Value::take));
    let named: Vec<Named> = serde_json::from_value(answers.ok_or("an answer without \"answers\"")?)?;
    let mut found: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for Named { expression, objects } in named {
        let known = found.entry(expression).or_default();
        for object in objects.into_iter().filter_map(|number| number.checked_sub(1)) {
            if !known.contains(&object) {
                known.push(object);
            }
        }
    }
    let answer = |indices: Vec<usize>| Answer { confidence: vec![1.0; indices.len()], indices };
    Ok((1..=expressions).map(|number| answer(found.remove(&number).unwrap_or_default())).collect())
}

impl Referee for MarksReferee<'_> {
    fn name(&self) -> &str {
        &self.name
    }

    fn refer(&mut self, position: usize, boxes: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>> {
        if boxes.is_empty() || expressions.is_empty() {
            return Ok(vec![Answer::default(); expressions.len()]);
        }
        let mut question = self.prompt.ask(Facts { boxes: boxes.len(), expressions })?;
        question.schema = Some(schema(boxes.len(), expressions.len()));
        question.sampling = self.sampling;
        let question = question.showing(Part::Image(self.drawn(position, boxes)?));
        read(self.teacher.ask(&question)?.value, expressions.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_become_positions_and_silence_no_answer() {
        let value = json!({ "answers": [
            { "expression": 3, "objects": [2, 1, 2] }, { "expression": 1, "objects": [] },
            { "expression": 3, "objects": [4] },
        ] });
        let answers = read(Some(value), 3).unwrap();
        assert_eq!(answers[2], Answer { indices: vec![1, 0, 3], confidence: vec![1.0; 3] });
        assert_eq!(answers[..2], [Answer::default(), Answer::default()]);
        assert!(read(None, 1).unwrap_err().to_string().contains("answers"));
    }
}
