//! A model in this process, of any family.

use std::collections::HashMap;
use std::ops::ControlFlow;
use std::sync::{Arc, Mutex, PoisonError};

use serde_json::{Value, json};
use strefer_core::validate::Issue;
use strefer_llm::{Batcher, GenerationConfig};
use strefer_model::time::{TimeConfig, TimeTokens};
use strefer_model::{
    IGNORE, Inputs, Loaded, Processor, PromptToken, Purpose, REGION_TOKEN, VIDEO_TOKEN, VisualPrompt,
};

use super::likelihood::{Candidate, candidates, likeliest};
use super::{Answerer, Ask, Said};
use crate::bench::Look;
use crate::error::{Error, Result};

/// How our model answers.
#[derive(Debug, Clone)]
pub struct OursOptions {
    /// Frames that are shown; as many as the model was trained with when absent.
    pub frames: Option<usize>,
    /// What is drawn into them where a view draws nothing else.
    pub draw: VisualPrompt,
    /// Answers that are written together, each step for all of them; one, and each is written alone.
    pub batch: usize,
    /// Questions that are answered side by side, each by a thread of its own; at least as many as are written together.
    pub lanes: usize,
    /// Of offered answers the one that the model finds likeliest behind the question alone is taken, instead of what it
    /// writes. For models that were never taught to answer with letters.
    pub likeliest: bool,
    /// Where the model came from.
    pub facts: Value,
}

/// A model in this process.
pub struct Ours<'a> {
    loaded: &'a Loaded,
    options: OursOptions,
    /// By what views show; each holds the tokenizer again, so they are made once.
    processors: Mutex<HashMap<String, Arc<Processor>>>,
    together: Option<Together>,
}

/// What lanes share that write their answers together.
struct Together {
    batcher: Batcher,
    /// Held by the one whose video is looked at: one at a time.
    looking: Mutex<()>,
}

/// A question with its frames decoded.
pub enum Prepared {
    /// To be answered in words.
    Open {
        /// What the model sees.
        inputs: Box<Inputs>,
        /// All that is read before the answer.
        prompt: String,
        /// The most tokens of an answer.
        max_new_tokens: usize,
    },
    /// To be answered by the likeliest of some answers.
    Offered {
        /// The answers.
        candidates: Vec<Candidate>,
        /// All that is read before the answer.
        prompt: String,
    },
}

impl<'a> Ours<'a> {
    /// Answers with a loaded model.
    pub fn new(loaded: &'a Loaded, options: OursOptions) -> Self {
        let batcher = || Batcher::new(loaded.model.language_model().clone(), options.batch);
        let together =
            (options.batch > 1).then(|| Together { batcher: batcher(), looking: Mutex::default() });
        Self { loaded, options, processors: Mutex::default(), together }
    }

    fn processor(&self, look: Look) -> Arc<Processor> {
        let mut known = self.processors.lock().unwrap_or_else(PoisonError::into_inner);
        let key = format!("{} {:?} {:?}", look.blind, look.order, look.draw);
        if let Some(processor) = known.get(&key) {
            return Arc::clone(processor);
        }
        let own = &self.loaded.processor;
        let mut options = own.options().clone();
        options.blind = look.blind;
        options.order = look.order;
        options.draw = look.draw.unwrap_or(self.options.draw);
        let mut cfg = own.config().clone();
        cfg.frames.count = self.options.frames.unwrap_or(cfg.frames.count);
        let processor = Arc::new(Processor::new(&cfg, own.tokenizer().clone(), options));
        known.insert(key, Arc::clone(&processor));
        processor
    }

    fn written(&self, inputs: &Inputs, max_new_tokens: usize) -> strefer_model::Result<String> {
        let Loaded { model, processor, generation } = self.loaded;
        let eos_ids = generation.eos_ids.clone();
        let cfg = GenerationConfig { max_new_tokens, eos_ids, ..GenerationConfig::default() };
        let Some(Together { batcher, looking }) = &self.together else {
            let go_on = |_: &str| ControlFlow::Continue(());
            return Ok(model.generate_text(inputs, processor.tokenizer(), &cfg, go_on)?.text);
        };
        let prompt = {
            let _turn = looking.lock().unwrap_or_else(PoisonError::into_inner);
            model.splice(std::slice::from_ref(inputs))?.embeds
        };
        Ok(processor.tokenizer().decode(&batcher.generate(&prompt, &cfg, None)?, true)?)
    }

    fn decided(&self, candidates: &[Candidate], prompt: String) -> Result<Said> {
        let text = likeliest(&self.loaded.model, candidates)?;
        let frame_indices = candidates.first().map(|it| it.inputs.shown_frames()).unwrap_or_default();
        Ok(Said { prompt, text, frame_indices })
    }
}

/// What a model reads before it answers, with the text around turns; what is shown stands as its placeholder.
fn as_read(processor: &Processor, inputs: &Inputs) -> strefer_model::Result<String> {
    let answer = inputs.labels.iter().position(|label| *label != IGNORE).unwrap_or(inputs.tokens.len());
    let (mut text, mut ids) = (String::new(), Vec::new());
    let flush = |ids: &mut Vec<u32>, text: &mut String| -> strefer_model::Result<()> {
        text.push_str(&processor.tokenizer().decode(ids, false)?);
        ids.clear();
        Ok(())
    };
    for token in &inputs.tokens[..answer] {
        let placeholder = match token {
            PromptToken::Text(id) => {
                ids.push(*id);
                continue;
            }
            PromptToken::Video => VIDEO_TOKEN,
            PromptToken::Region(_) => REGION_TOKEN,
        };
        flush(&mut ids, &mut text)?;
        text.push_str(placeholder);
    }
    flush(&mut ids, &mut text)?;
    Ok(text)
}

/// A question may name the end of its video, which annotations round up: by so much, in seconds.
const ROUNDED_UP_S: f64 = 1.5;

/// What the model sees; moments a little behind the end of the video are moved to it.
fn process(processor: &Processor, ask: &Ask) -> strefer_model::Result<Inputs> {
    let error = match processor.process(&ask.put.sample, &Purpose::Infer) {
        Err(error) => error,
        good => return good,
    };
    let strefer_model::Error::Record(strefer_core::Error::Invalid {
        issue: Issue::TimeOutOfRange { at_s, duration_s },
        ..
    }) = &error
    else {
        return Err(error);
    };
    if *at_s < 0.0 || at_s - duration_s > ROUNDED_UP_S {
        return Err(error);
    }
    let mut sample = ask.put.sample.clone();
    for time in &mut sample.times {
        time.s = time.s.min(*duration_s);
    }
    processor.process(&sample, &Purpose::Infer)
}

impl Answerer for Ours<'_> {
    type Prepared = Prepared;

    fn prepare(&self, ask: Ask) -> Result<Prepared> {
        let processor = self.processor(ask.put.look);
        let failed = |source| Error::Question { id: ask.id.clone(), source: Box::new(source) };
        if let (true, Some(offer)) = (self.options.likeliest, &ask.offer) {
            let candidates = candidates(&processor, &ask.put.sample, offer).map_err(failed)?;
            let prompt = candidates.first().map(|first| as_read(&processor, &first.inputs));
            let prompt = prompt.transpose().map_err(failed)?.unwrap_or_default();
            return Ok(Prepared::Offered { candidates, prompt });
        }
        let inputs = Box::new(process(&processor, &ask).map_err(failed)?);
        let prompt = as_read(&processor, &inputs).map_err(failed)?;
        Ok(Prepared::Open { inputs, prompt, max_new_tokens: ask.max_new_tokens })
    }

    fn answer(&self, prepared: Prepared) -> Result<Said> {
        let (inputs, prompt, max_new_tokens) = match prepared {
            Prepared::Offered { candidates, prompt } => return self.decided(&candidates, prompt),
            Prepared::Open { inputs, prompt, max_new_tokens } => (inputs, prompt, max_new_tokens),
        };
        match self.written(&inputs, max_new_tokens) {
            Ok(text) => Ok(Said {
                prompt,
                text: in_seconds(text.trim(), self.loaded.processor.config().time, inputs.duration_s),
                frame_indices: inputs.shown_frames(),
            }),
            Err(error) => Err(Error::NoAnswer { id: inputs.id.clone(), reason: error.to_string() }),
        }
    }

    fn lanes(&self) -> usize {
        self.options.lanes.max(self.options.batch)
    }

    fn facts(&self) -> Value {
        json!({
            "kind": "model",
            "model": self.options.facts,
            "frames": self.options.frames.unwrap_or(self.loaded.processor.config().frames.count),
            "draw": self.options.draw,
            "answers": if self.options.likeliest { "the likeliest of those offered" } else { "as written" },
            "decoding": "greedy",
            "batch": self.options.batch,
        })
    }
}

/// Temporal tokens in an answer as the moments that they stand for: `<16>` of 32 in a video of 4 s is `2.06s`.
fn in_seconds(text: &str, time: TimeConfig, duration_s: f64) -> String {
    let TimeConfig::Tokens(tokens) = time else { return text.to_owned() };
    let (mut written, mut rest) = (String::with_capacity(text.len()), text);
    while let Some(at) = rest.find('<') {
        written.push_str(&rest[..at]);
        match token(&rest[at..], &tokens) {
            Some((token, length)) => {
                written.push_str(&format!("{:.2}s", tokens.seconds(token, duration_s)));
                rest = &rest[at + length..];
            }
            None => {
                written.push('<');
                rest = &rest[at + 1..];
            }
        }
    }
    written + rest
}

/// A temporal token that a text begins with, and its length in bytes.
fn token(text: &str, tokens: &TimeTokens) -> Option<(u32, usize)> {
    let end = text.find('>')?;
    let token: u32 = text[1..end].parse().ok()?;
    (token < tokens.count).then_some((token, end + 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporal_tokens_of_an_answer_become_seconds() {
        let time = TimeConfig::Tokens(TimeTokens::STREFER);
        assert_eq!(in_seconds("From <0> to <31>, <b> <32>.", time, 4.0), "From 0.00s to 4.00s, <b> <32>.");
        assert_eq!(in_seconds("a < b", time, 4.0), "a < b");
        assert_eq!(in_seconds("<3>", TimeConfig::Text, 4.0), "<3>");
    }
}
