//! Writes answers, token by token: one with its text as it grows, or several at once.

mod batcher;
mod config;
mod greedy;
mod rows;
mod scored;
mod stop;
mod whole;

use std::ops::ControlFlow;

use candle_core::Tensor;

pub use batcher::Batcher;
pub use config::GenerationConfig;
pub use greedy::Greedy;
pub use scored::{Scored, generate_scored, remember};

use crate::decoder::{Decoder, KvCache};
use crate::error::Result;
use crate::guide::Guide;
use crate::tokenizer::{StreamDecoder, Tokenizer};
use stop::Stopper;

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
    one(decoder, cache, prompt_embeds, cfg, None, |token| Ok(see(token)))
}

/// As [`generate`], held to the form of `guide`: only tokens that may stand there are drawn, and the answer ends when it is
/// whole. One that the most tokens cut off is not.
///
/// # Shapes
/// - `prompt_embeds`: `(1, s, d)`
pub fn generate_guided(
    decoder: &Decoder,
    prompt_embeds: &Tensor,
    cfg: &GenerationConfig,
    guide: Guide,
    mut see: impl FnMut(u32) -> ControlFlow<()>,
) -> Result<Vec<u32>> {
    let cache = &mut KvCache::new(decoder.config());
    one(decoder, cache, prompt_embeds, cfg, Some(guide), |token| Ok(see(token)))
}

fn one(
    decoder: &Decoder,
    cache: &mut KvCache,
    prompt: &Tensor,
    cfg: &GenerationConfig,
    guide: Option<Guide>,
    mut see: impl FnMut(u32) -> Result<ControlFlow<()>>,
) -> Result<Vec<u32>> {
    let (caches, prompts) = (std::slice::from_mut(cache), std::slice::from_ref(prompt));
    let mut answers = rows::run(decoder, caches, prompts, cfg, guide, false, |_, token, _| see(token));
    answers.swap_remove(0)
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
    let mut writer = Writer::new(tokenizer, cfg);
    let tokens = one(decoder, cache, prompt_embeds, cfg, None, |token| writer.push(token, &mut see))?;
    writer.finish(tokens, &mut see)
}

/// Continues several prompts, each in a row of its own: every step reads the weights once for all of them. Rows that
/// end earlier leave the others to go on. All draw with the same settings and seed, each as it would alone.
///
/// Returns a result for each prompt; what goes wrong with one ends that one alone.
///
/// # Shapes
/// - `prompts`: each `(1, s, d)`, of any lengths
pub fn generate_texts(
    decoder: &Decoder,
    tokenizer: &Tokenizer,
    prompts: &[Tensor],
    cfg: &GenerationConfig,
) -> Vec<Result<Generated>> {
    let mut caches: Vec<KvCache> = prompts.iter().map(|_| KvCache::new(decoder.config())).collect();
    let mut writers: Vec<Writer<'_>> = prompts.iter().map(|_| Writer::new(tokenizer, cfg)).collect();
    let mut go_on = |_: &str| ControlFlow::Continue(());
    let answers = rows::run(decoder, &mut caches, prompts, cfg, None, false, |row, token, _| {
        writers[row].push(token, &mut go_on)
    });
    let finish = |(tokens, writer): (Result<Vec<u32>>, Writer<'_>)| writer.finish(tokens?, &mut go_on);
    answers.into_iter().zip(writers).map(finish).collect()
}

/// The text of an answer under way.
struct Writer<'a> {
    stream: StreamDecoder<'a>,
    stopper: Stopper<'a>,
}

impl<'a> Writer<'a> {
    fn new(tokenizer: &'a Tokenizer, cfg: &'a GenerationConfig) -> Self {
        Self { stream: tokenizer.stream(), stopper: Stopper::new(&cfg.stop) }
    }

    fn push(&mut self, token: u32, see: &mut impl FnMut(&str) -> ControlFlow<()>) -> Result<ControlFlow<()>> {
        let Some(piece) = self.stream.push(token)? else { return Ok(ControlFlow::Continue(())) };
        let stopped = self.stopper.push(&piece);
        let new = self.stopper.release();
        if !new.is_empty() && see(new).is_break() {
            return Ok(ControlFlow::Break(()));
        }
        Ok(if stopped { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
    }

    fn finish(
        mut self,
        tokens: Vec<u32>,
        see: &mut impl FnMut(&str) -> ControlFlow<()>,
    ) -> Result<Generated> {
        if let Some(piece) = self.stream.finish()? {
            self.stopper.push(&piece);
        }
        let rest = self.stopper.finish();
        if !rest.is_empty() {
            // Generation is over: there is nothing left to break off.
            let _ = see(rest);
        }
        Ok(Generated { tokens, text: self.stopper.text })
    }
}
