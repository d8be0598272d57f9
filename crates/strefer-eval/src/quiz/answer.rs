//! Putting questions to a model.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use strefer_core::{QuizFacts, Sample};
use strefer_llm::GenerationConfig;
use strefer_model::{Processor, ProcessorOptions, Purpose, VideoLlm};

use crate::error::{Error, Result};

/// What the model gets to see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Look {
    /// The video and the object's mask.
    Real,
    /// Grey frames and empty masks.
    Blind,
    /// The video and the mask of another object; questions without one are left out.
    OtherMask,
}

/// One question and what the model said.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answer {
    /// The sample.
    pub id: String,
    /// What was asked about.
    pub kind: String,
    /// Whether the object's combination of attributes is never shown in training.
    pub held_out: bool,
    /// What is true of the object asked about.
    pub truth: String,
    /// What is true of the object whose mask was shown instead.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_truth: Option<String>,
    /// What the model said.
    pub said: String,
}

impl Answer {
    /// Whether the model said what is true of the object asked about.
    pub fn correct(&self) -> bool {
        normalise(&self.said) == normalise(&self.truth)
    }

    /// Whether the model said what is true of the object whose mask was shown.
    pub fn follows_mask(&self) -> bool {
        self.other_truth.as_ref().is_some_and(|other| normalise(&self.said) == normalise(other))
    }
}

/// Lower case, without an end stop and the blanks around.
pub fn normalise(text: &str) -> String {
    text.trim().trim_end_matches(['.', '!']).trim_end().to_lowercase()
}

/// Puts every question to the model, greedily, on all cores; answers come in the order of the questions.
///
/// # Errors
/// A sample that is no question with a known answer, or that cannot be put to the model.
pub fn answer_all(
    model: &VideoLlm,
    processor: &Processor,
    samples: &[Sample],
    look: Look,
    progress: &mut (dyn FnMut(usize) + Send),
) -> Result<Vec<Answer>> {
    let mut options: ProcessorOptions = processor.options().clone();
    options.blind = look == Look::Blind;
    let processor = processor.with_options(options);
    let mut questions = Vec::new();
    for sample in samples {
        let facts = QuizFacts::of(sample).ok_or_else(|| Error::NoFacts { id: sample.id.clone() })?;
        match (look, &facts.other) {
            (Look::OtherMask, None) => {}
            (Look::OtherMask, Some(other)) => {
                let mut swapped = sample.clone();
                if let Some(region) = swapped.regions.first_mut() {
                    let rid = region.rid;
                    *region = other.region.clone();
                    region.rid = rid;
                }
                questions.push((swapped, facts));
            }
            _ => questions.push((sample.clone(), facts)),
        }
    }
    let done = AtomicUsize::new(0);
    let progress = std::sync::Mutex::new(progress);
    questions
        .par_iter()
        .map(|(sample, facts)| {
            let said = ask(model, &processor, sample)
                .map_err(|error| Error::Question { id: sample.id.clone(), source: Box::new(error) })?;
            let count = done.fetch_add(1, Ordering::Relaxed) + 1;
            if let Ok(mut progress) = progress.lock() {
                progress(count);
            }
            Ok(Answer {
                id: sample.id.clone(),
                kind: facts.kind.clone(),
                held_out: facts.held_out,
                truth: facts.answer.clone(),
                other_truth: (look == Look::OtherMask)
                    .then(|| facts.other.as_ref().map(|other| other.answer.clone()))
                    .flatten(),
                said,
            })
        })
        .collect()
}

fn ask(model: &VideoLlm, processor: &Processor, sample: &Sample) -> strefer_model::Result<String> {
    let inputs = processor.process(sample, &Purpose::Infer)?;
    let cfg = GenerationConfig {
        max_new_tokens: 32,
        eos_ids: processor.config().tokens.eos.clone(),
        ..GenerationConfig::default()
    };
    let ids = model.generate(&inputs, &cfg, |_| ControlFlow::Continue(()))?;
    processor.decode(&ids)
}

/// Share of correct answers by kind, 0 to 1.
pub fn accuracy_by_kind(answers: &[Answer]) -> BTreeMap<String, f64> {
    let mut counts: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for answer in answers {
        let (correct, all) = counts.entry(answer.kind.clone()).or_default();
        *correct += usize::from(answer.correct());
        *all += 1;
    }
    counts.into_iter().map(|(kind, (correct, all))| (kind, correct as f64 / all as f64)).collect()
}
