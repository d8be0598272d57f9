//! Our own Video LLM as referee: an expression means the region of which the model would say it.

use serde::{Deserialize, Serialize};
use strefer_core::sample::{Media, Region, RegionMode, Role};
use strefer_core::{FrameKey, IndexSpace, Sample};
use strefer_model::{Processor, VideoLlm};

use super::share::best;
use crate::filter::Likelihood;
use crate::language::nouns::{a, capitalised};
use crate::masklets::boxes::filled;
use crate::masklets::request::Timeline;
use crate::masklets::seam::{Answer, Area, Referee, Seen};

/// How the model is asked.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegionOptions {
    /// What the expression would be an answer to; `<region:0>` is the box.
    pub question: String,
    /// Logarithms of a token's probability, averaged over the expression, below which no box is meant. Every best box is
    /// an answer when absent.
    pub least_log_probability: Option<f64>,
}

impl Default for RegionOptions {
    fn default() -> Self {
        Self { question: "What is <region:0>?".to_owned(), least_log_probability: None }
    }
}

/// A Video LLM that sees the whole video, with a box of one frame as its region.
#[derive(Debug)]
pub struct RegionReferee<'a> {
    likelihood: Likelihood<'a>,
    media: Media,
    /// Source frames of the positions.
    indices: Vec<usize>,
    /// Height and width.
    size: (usize, usize),
    options: RegionOptions,
}

impl<'a> RegionReferee<'a> {
    /// Asks about the video `media`, of which frames of `size` (height, width) at the places of `timeline` carry boxes. A
    /// feature cache in the model and a frame cache in the processor make each box cost a pass of the language model only.
    pub fn new(
        model: &'a VideoLlm,
        processor: &'a Processor,
        media: Media,
        timeline: &Timeline,
        size: (usize, usize),
        options: RegionOptions,
    ) -> Self {
        Self {
            likelihood: Likelihood::new(model, processor),
            media,
            indices: timeline.indices.clone(),
            size,
            options,
        }
    }

    /// The question about a box, and an expression as its answer.
    fn sample(&self, frame: usize, area: Area, expression: &str) -> Sample {
        let mask = filled(area, self.size);
        let key = FrameKey(frame as u32);
        let id = format!("{}#{frame}", self.media.uri);
        let mut sample = Sample::new(id, self.media.uri.clone(), vec![self.media.clone()]);
        sample.regions.push(Region {
            rid: 0,
            eid: None,
            masks: [(key, (&mask).into())].into_iter().collect(),
            index_space: IndexSpace::Source,
            mode: RegionMode::SingleFixed,
            fixed_key: Some(key),
        });
        sample.say(Role::User, format!("<video>\n{}", self.options.question));
        sample.say(Role::Assistant, format!("{}.", capitalised(&a(expression))));
        sample
    }
}

impl Referee for RegionReferee<'_> {
    fn name(&self) -> &str {
        "region-model"
    }

    fn refer(&mut self, position: usize, boxes: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>> {
        let Some(&frame) = self.indices.get(position) else {
            return Err(format!("position {position} of {} frames", self.indices.len()).into());
        };
        let mut answers = Vec::with_capacity(expressions.len());
        for expression in expressions {
            let (mut scores, mut tokens) = (Vec::with_capacity(boxes.len()), 1);
            for &area in boxes {
                let sample = self.sample(frame, area, expression);
                let (score, count) = self.likelihood.log_probability(&sample)?;
                scores.push(score);
                tokens = count.max(1);
            }
            let fits = |top: f64| {
                self.options.least_log_probability.is_none_or(|least| top / tokens as f64 >= least)
            };
            answers.push(best(&scores, fits));
        }
        Ok(answers)
    }
}
