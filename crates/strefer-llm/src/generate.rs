//! Writes answers, token by token.

use std::ops::ControlFlow;

use candle_core::{DType, Tensor};
use serde::{Deserialize, Serialize};
use strefer_nn::ops::AttentionMask;

use crate::decoder::{Decoder, KvCache, RopeScaling};
use crate::error::{Error, Result};
use crate::sampler::Sampler;
use crate::tokenizer::Tokenizer;

/// How tokens are chosen and when to stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationConfig {
    /// Stop after this many tokens.
    pub max_new_tokens: usize,
    /// 0 takes the best token each time.
    pub temperature: f64,
    /// Only the best tokens may be drawn; 0: all.
    pub top_k: usize,
    /// Only the smallest set with this share of the probability may be drawn.
    pub top_p: f64,
    /// Divides the positive logits of tokens that were generated before, multiplies the negative ones.
    pub repetition_penalty: f64,
    /// Stop when the text holds one of these; it is cut there.
    pub stop: Vec<String>,
    /// Stop after one of these tokens.
    pub eos_ids: Vec<u32>,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            eos_ids: Vec::new(),
            seed: 0,
        }
    }
}

impl GenerationConfig {
    /// Fails when a value cannot be meant.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: String| Err(Error::Generation(what));
        if !self.temperature.is_finite() || self.temperature < 0.0 {
            return bad(format!("temperature {} is negative", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad(format!("top_p {} is outside 0..1", self.top_p));
        }
        if !self.repetition_penalty.is_finite() || self.repetition_penalty <= 0.0 {
            return bad(format!("repetition_penalty {} is not positive", self.repetition_penalty));
        }
        if self.stop.iter().any(String::is_empty) {
            return bad("an empty stop string stops at once".into());
        }
        Ok(())
    }
}

/// Continues a prompt. `see` gets every new token, an end token included, and may break off.
///
/// # Shapes
/// - `prompt_embeds`: `(1, s, d)`
pub fn generate(
    decoder: &Decoder,
    prompt_embeds: &Tensor,
    cfg: &GenerationConfig,
    see: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<Vec<u32>> {
    generate_after(decoder, &mut KvCache::new(decoder.config()), prompt_embeds, cfg, see)
}

/// As [`generate`], for a prompt whose beginning is in `cache` already: several questions about one video pay for the
/// video once. Cut the cache back with [`KvCache::truncate`] before the next question.
///
/// # Shapes
/// - `prompt_embeds`: `(1, s, d)`, what follows the cached columns
pub fn generate_after(
    decoder: &Decoder,
    cache: &mut KvCache,
    prompt_embeds: &Tensor,
    cfg: &GenerationConfig,
    mut see: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<Vec<u32>> {
    run(decoder, cache, prompt_embeds, cfg, |token| Ok(see(token)))
}

fn run(
    decoder: &Decoder,
    cache: &mut KvCache,
    prompt_embeds: &Tensor,
    cfg: &GenerationConfig,
    mut see: impl FnMut(u32) -> Result<ControlFlow<()>>,
) -> Result<Vec<u32>> {
    let (b, s, _d) = prompt_embeds.dims3()?;
    if b != 1 || s == 0 {
        return Err(Error::Generation(format!("a prompt of {b} rows and {s} tokens cannot be continued")));
    }
    let limit = decoder.config().max_position_embeddings;
    if cache.len() + s > limit {
        return Err(Error::TooLong { wanted: cache.len() + s, limit });
    }
    let mut sampler = Sampler::new(cfg)?;
    let mask = AttentionMask::causal();
    let dev = prompt_embeds.device().clone();
    let mut embeds = prompt_embeds.clone();
    let mut tokens = Vec::new();
    let mut whole = WholeSequence::new(decoder, cache.len());
    while tokens.len() < cfg.max_new_tokens {
        if cache.len() + embeds.dim(1)? > limit {
            return Err(Error::TooLong { wanted: cache.len() + embeds.dim(1)?, limit });
        }
        embeds = whole.extend(embeds, cache)?;
        let (held, new) = (cache.len(), embeds.dim(1)?);
        let positions = Tensor::arange(held as u32, (held + new) as u32, &dev)?.unsqueeze(0)?;
        let hidden = decoder.forward(&embeds, &positions, &mask, Some(&mut *cache))?;
        let logits = decoder.logits(&hidden.narrow(1, new - 1, 1)?)?;
        let logits: Vec<f32> = logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?;
        let token = sampler.draw(&logits)?;
        tokens.push(token);
        if see(token)?.is_break() || cfg.eos_ids.contains(&token) {
            break;
        }
        embeds = decoder.embed(&Tensor::new(&[[token]], &dev)?)?;
    }
    Ok(tokens)
}

/// What a model whose rotation changes with a sequence's length needs to begin again: all embeddings so far.
struct WholeSequence {
    /// The length beyond which the rotation is another one, if there is such a length.
    switches_after: Option<usize>,
    /// Columns that were in the cache before the first embedding.
    unknown: usize,
    embeds: Vec<Tensor>,
}

impl WholeSequence {
    fn new(decoder: &Decoder, unknown: usize) -> Self {
        let scaling = decoder.config().rope_scaling.as_ref();
        Self { switches_after: scaling.and_then(RopeScaling::switches_after), unknown, embeds: Vec::new() }
    }

    /// What is to be run next: `new`, or everything with an emptied cache when the cached columns are rotated as the
    /// longer sequence's are not.
    fn extend(&mut self, new: Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let Some(longest) = self.switches_after else { return Ok(new) };
        let held = cache.len();
        let crosses = held > 0 && held <= longest && held + new.dim(1)? > longest;
        self.embeds.push(new.clone());
        if !crosses {
            return Ok(new);
        }
        if self.unknown > 0 {
            return Err(Error::Generation(format!(
                "beyond {longest} positions this model rotates the whole sequence otherwise: the {} cached ones cannot \
                 be continued, give the whole prompt",
                self.unknown
            )));
        }
        cache.truncate(0);
        Ok(Tensor::cat(&self.embeds, 1)?)
    }
}

/// An answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// All new tokens, an end token included.
    pub tokens: Vec<u32>,
    /// Their text without special tokens, cut before a stop string.
    pub text: String,
}

/// Continues a prompt as text. `see` gets the text in pieces of whole characters, never a part of a stop string, and
/// may break off.
pub fn generate_text(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    prompt_embeds: &Tensor,
    cfg: &GenerationConfig,
    see: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Generated> {
    generate_text_after(decoder, tokenizer, &mut KvCache::new(decoder.config()), prompt_embeds, cfg, see)
}

/// [`generate_text`] for a prompt whose beginning is in `cache` already.
pub fn generate_text_after(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    cache: &mut KvCache,
    prompt_embeds: &Tensor,
    cfg: &GenerationConfig,
    mut see: impl FnMut(&str) -> ControlFlow<()>,
) -> Result<Generated> {
    let mut stream = tokenizer.stream();
    let mut stopper = Stopper::new(&cfg.stop);
    let tokens = run(decoder, cache, prompt_embeds, cfg, |token| {
        let Some(piece) = stream.push(token)? else { return Ok(ControlFlow::Continue(())) };
        let stopped = stopper.push(&piece);
        let new = stopper.release();
        if !new.is_empty() && see(new).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    })?;
    if let Some(piece) = stream.finish()? {
        stopper.push(&piece);
    }
    let rest = stopper.finish();
    if !rest.is_empty() {
        // Generation is over: there is nothing left to break off.
        let _ = see(rest);
    }
    Ok(Generated { tokens, text: stopper.text })
}

/// Text so far, and how much of it cannot become part of a stop string any more.
struct Stopper<'a> {
    stop: &'a [String],
    text: String,
    out: usize,
    stopped: bool,
}

impl<'a> Stopper<'a> {
    fn new(stop: &'a [String]) -> Self {
        Self { stop, text: String::new(), out: 0, stopped: false }
    }

    /// Adds text; true when it holds a stop string, before which it is cut.
    fn push(&mut self, piece: &str) -> bool {
        if self.stopped {
            return true;
        }
        self.text.push_str(piece);
        let found = self.stop.iter().filter_map(|stop| self.text[self.out..].find(stop.as_str())).min();
        if let Some(at) = found {
            self.text.truncate(self.out + at);
            self.stopped = true;
        }
        self.stopped
    }

    /// New text that can be shown.
    fn release(&mut self) -> &str {
        let begun = |stop: &String| {
            let tail = &self.text[self.out..];
            let longest = stop.len().saturating_sub(1).min(tail.len());
            let is_begin = |len: &usize| tail.as_bytes().ends_with(&stop.as_bytes()[..*len]);
            (1..=longest).rev().find(is_begin).unwrap_or(0)
        };
        let held = if self.stopped { 0 } else { self.stop.iter().map(begun).max().unwrap_or(0) };
        let start = std::mem::replace(&mut self.out, self.text.len() - held);
        &self.text[start..self.out]
    }

    /// All that was held back.
    fn finish(&mut self) -> &str {
        let start = std::mem::replace(&mut self.out, self.text.len());
        &self.text[start..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_that_may_become_a_stop_string_is_held_back() {
        let stop = ["</s>".to_string(), "END".to_string()];
        let mut stopper = Stopper::new(&stop);
        let mut shown = Vec::new();
        for piece in ["a<", "/b", "</", "s", ">tail"] {
            stopper.push(piece);
            shown.push(stopper.release().to_string());
        }
        assert_eq!(shown, ["a", "</b", "", "", ""]);
        assert_eq!((stopper.text.as_str(), stopper.stopped), ("a</b", true));
        assert_eq!(stopper.finish(), "");
    }

    #[test]
    fn what_did_not_become_a_stop_string_comes_at_the_end() {
        let stop = ["END".to_string()];
        let mut stopper = Stopper::new(&stop);
        stopper.push("xEN");
        assert_eq!(stopper.release(), "x");
        assert_eq!(stopper.finish(), "EN");
    }

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        let good = GenerationConfig::default();
        assert!(good.validate().is_ok());
        for bad in [
            GenerationConfig { temperature: -1.0, ..good.clone() },
            GenerationConfig { top_p: 0.0, ..good.clone() },
            GenerationConfig { repetition_penalty: 0.0, ..good.clone() },
            GenerationConfig { stop: vec![String::new()], ..good },
        ] {
            assert!(matches!(bad.validate(), Err(Error::Generation(_))), "{bad:?}");
        }
    }
}
