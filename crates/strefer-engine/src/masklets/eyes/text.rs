//! A referee that answers in words.

use std::sync::Arc;

use image::RgbImage;

use super::FrameStore;
use crate::masklets::answer;
use crate::masklets::seam::{Answer, Area, Referee, Seen};

/// An answer in RexSeek's words.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct AnswerText {
    /// `<ground>phrase</ground><objects><obj0></objects>`
    pub text: String,
    /// How sure each object is that the text names, in order; 1 where there are fewer.
    pub confidence: Vec<f64>,
}

/// Any function of an image, boxes and expressions that answers in RexSeek's words, one answer an expression.
pub struct TextReferee<'a, F> {
    frames: &'a FrameStore,
    name: String,
    ask: F,
}

impl<'a, F> TextReferee<'a, F>
where
    F: FnMut(&Arc<RgbImage>, &[Area], &[&str]) -> Seen<Vec<AnswerText>>,
{
    /// Asks about the frames of `frames`.
    pub fn new(frames: &'a FrameStore, name: impl Into<String>, ask: F) -> Self {
        Self { frames, name: name.into(), ask }
    }
}

impl<F> Referee for TextReferee<'_, F>
where
    F: FnMut(&Arc<RgbImage>, &[Area], &[&str]) -> Seen<Vec<AnswerText>>,
{
    fn name(&self) -> &str {
        &self.name
    }

    fn refer(&mut self, position: usize, boxes: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>> {
        let image = self.frames.frame(position)?;
        let answers = (self.ask)(&image, boxes, expressions)?;
        if answers.len() != expressions.len() {
            return Err(format!("{} answers to {} expressions", answers.len(), expressions.len()).into());
        }
        let read = |answer: AnswerText| {
            let indices = answer::indices(&answer.text, usize::MAX);
            let sure = |at: usize| answer.confidence.get(at).copied().unwrap_or(1.0);
            Answer { confidence: (0..indices.len()).map(sure).collect(), indices }
        };
        Ok(answers.into_iter().map(read).collect())
    }
}
