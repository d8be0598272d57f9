//! An image with boxes, ready to be asked about.

use image::RgbImage;
use strefer_llm::{KvCache, Scored, generate_scored, remember};

use super::{Answer, RexSeek};
use crate::error::Result;

/// An image with boxes that went through the model; every expression continues from there.
#[derive(Debug)]
pub struct Scene<'a> {
    model: &'a RexSeek,
    /// None where there is no box to point at.
    beginning: Option<KvCache>,
    boxes: usize,
    left_out: usize,
}

impl<'a> Scene<'a> {
    pub(super) fn new(model: &'a RexSeek, image: &RgbImage, boxes: &[[f32; 4]]) -> Result<Self> {
        let kept = boxes.len().min(model.config().max_boxes);
        let left_out = boxes.len() - kept;
        if kept == 0 {
            return Ok(Self { model, beginning: None, boxes: 0, left_out });
        }
        let embeds = model.embed_scene(image, &boxes[..kept])?;
        let mut cache = KvCache::new(&model.config().llm);
        remember(model.decoder(), &mut cache, &embeds.detach())?;
        Ok(Self { model, beginning: Some(cache), boxes: kept, left_out })
    }

    /// Boxes that can be answers: the first of those that were given.
    pub fn boxes(&self) -> usize {
        self.boxes
    }

    /// Boxes that there is no index for.
    pub fn left_out(&self) -> usize {
        self.left_out
    }

    /// Finds expressions among the boxes, several at a time. A scene without boxes has none, and the model is not asked.
    ///
    /// Returns a result for each expression; what goes wrong with one ends that one alone.
    pub fn ask(&self, expressions: &[&str]) -> Vec<Result<Answer>> {
        let Some(beginning) = &self.beginning else {
            return expressions.iter().map(|_| Ok(Answer::default())).collect();
        };
        expressions
            .chunks(self.model.options().batch)
            .flat_map(|some| self.ask_some(beginning, some))
            .collect()
    }

    fn ask_some(&self, beginning: &KvCache, expressions: &[&str]) -> Vec<Result<Answer>> {
        let model = self.model;
        let (mut questions, mut caches) = (Vec::new(), Vec::new());
        let asked: Vec<Result<()>> = expressions
            .iter()
            .map(|expression| {
                let (question, cache) = (model.embed_question(expression)?, beginning.fork()?);
                questions.push(question.detach());
                caches.push(cache);
                Ok(())
            })
            .collect();
        let mut written =
            generate_scored(model.decoder(), &mut caches, &questions, model.generation()).into_iter();
        let mut next = || written.next().expect("there is a result for each prompt");
        asked.into_iter().map(|asked| asked.and_then(|()| self.read(next()?))).collect()
    }

    /// What was written, as an answer.
    fn read(&self, scored: Scored) -> Result<Answer> {
        let Scored { mut tokens, log_probabilities } = scored;
        let ended = tokens.last().is_some_and(|last| self.model.generation().eos_ids.contains(last));
        if ended {
            tokens.pop();
        }
        let named: Vec<(usize, f64)> = tokens
            .iter()
            .zip(log_probabilities)
            .filter_map(|(token, score)| Some((self.model.object_of(*token)?, score)))
            .collect();
        let text = self.model.tokenizer().decode(&tokens, false)?.trim().to_owned();
        Ok(Answer::read(text, self.boxes, &named, !ended))
    }
}
