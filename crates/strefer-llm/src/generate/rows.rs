//! The loop behind every answer: rows of different lengths go through the layers together, a token at a time.

use std::ops::ControlFlow;

use candle_core::{DType, Tensor, bail};
use strefer_nn::ops::AttentionMask;

use super::GenerationConfig;
use super::whole::WholeSequence;
use crate::decoder::{Decoder, KvCache};
use crate::error::{Error, Result};
use crate::guide::Guide;
use crate::sampler::Sampler;

/// So many columns of a prompt go through the layers at a time: what they compute on the way does not grow with the prompt.
const COLUMNS: usize = 1024;

/// One answer under way.
struct Row<'a> {
    cache: &'a mut KvCache,
    sampler: Sampler,
    /// What its answer may become, where that is not anything.
    guide: Option<Guide>,
    whole: WholeSequence,
    /// What the layers have not seen yet, `(1, s, d)`.
    new: Tensor,
    tokens: Vec<u32>,
    /// What the last token was drawn from.
    logits: Vec<f32>,
    /// Why it is over, if it is.
    ended: Option<Result<()>>,
}

/// Continues prompts until each has ended, the first few each held to a guide. `see` gets the row, every new token of it, an end token included, and the logits
/// it was drawn from, and may break the row off. What goes wrong with one row ends that row alone.
pub(super) fn run(
    decoder: &Decoder,
    caches: &mut [KvCache],
    prompts: &[Tensor],
    cfg: &GenerationConfig,
    guides: impl IntoIterator<Item = Guide>,
    mut see: impl FnMut(usize, u32, &[f32]) -> Result<ControlFlow<()>>,
) -> Vec<Result<Vec<u32>>> {
    let mut guides = guides.into_iter();
    let mut rows: Vec<Result<Row<'_>>> = caches
        .iter_mut()
        .zip(prompts)
        .map(|(cache, prompt)| Row::new(decoder, cache, prompt, cfg, guides.next()))
        .collect();
    loop {
        let mut active: Vec<(usize, &mut Row<'_>)> = (0..)
            .zip(&mut rows)
            .filter_map(|(at, row)| Some((at, row.as_mut().ok()?)))
            .filter(|(_, row)| row.ended.is_none())
            .collect();
        if active.is_empty() {
            break;
        }
        // Prompts, and sequences that begin anew, go alone.
        let (single, long): (Vec<_>, Vec<_>) =
            active.iter_mut().map(|(_, row)| &mut **row).partition(|row| row.new.dims()[1] == 1);
        let alone = long.into_iter().map(|row| vec![row]);
        for mut rows in alone.chain([single].into_iter().filter(|rows| !rows.is_empty())) {
            advance(decoder, &mut rows);
        }
        for (at, row) in active {
            row.finish_step(decoder, cfg, |token, logits| see(at, token, logits));
        }
    }
    rows.into_iter().map(|row| row.and_then(|row| row.ended.unwrap_or(Ok(())).map(|()| row.tokens))).collect()
}

/// Runs what is new of the rows through the layers, equally much of each, and draws a token for each.
fn advance(decoder: &Decoder, rows: &mut [&mut Row<'_>]) {
    match logits(decoder, rows) {
        Ok(logits) => {
            for (row, logits) in rows.iter_mut().zip(logits) {
                row.draw(logits).unwrap_or_else(|error| row.ended = Some(Err(error)));
            }
        }
        Err(error) => {
            // An error cannot be cloned: one row gets it as it is, the others what it says.
            let (said, mut error) = (error.to_string(), Some(error));
            for row in rows {
                let shared = || Error::Generation(said.clone());
                row.ended = Some(Err(error.take().map_or_else(shared, Error::from)));
            }
        }
    }
}

/// The logits behind the last column of every row.
fn logits(decoder: &Decoder, rows: &mut [&mut Row<'_>]) -> candle_core::Result<Vec<Vec<f32>>> {
    let new: Vec<&Tensor> = rows.iter().map(|row| &row.new).collect();
    let embeds = Tensor::cat(&new, 0)?; // (b, s, d)
    let s = embeds.dim(1)?;
    let mut caches: Vec<&mut KvCache> = rows.iter_mut().map(|row| &mut *row.cache).collect();
    // A sequence that is rotated by its own length must be seen whole once it is longer than that.
    let longest = decoder.switches_after();
    let is_long = longest.is_some_and(|longest| caches.iter().any(|cache| cache.len() + s > longest));
    let at_a_time = if is_long { s.max(1) } else { COLUMNS };
    let mut last = None;
    for start in (0..s).step_by(at_a_time) {
        let columns = embeds.narrow(1, start, at_a_time.min(s - start))?;
        last = Some(see_columns(decoder, &columns, &mut caches)?);
    }
    let Some(last) = last else { bail!("rows without a new column have no logits") };
    decoder.logits(&last)?.to_dtype(DType::F32)?.squeeze(1)?.to_vec2()
}

/// Runs the beginning that several prompts have in common through the layers, behind what `cache` holds.
pub(super) fn remember(decoder: &Decoder, cache: &mut KvCache, embeds: &Tensor) -> candle_core::Result<()> {
    let (b, s, _d) = embeds.dims3()?;
    if b != 1 {
        bail!("a beginning of {b} rows, one is wanted");
    }
    for start in (0..s).step_by(COLUMNS) {
        see_columns(decoder, &embeds.narrow(1, start, COLUMNS.min(s - start))?, &mut [&mut *cache])?;
    }
    Ok(())
}

/// Runs columns through the layers behind those that the caches hold; the state of the last one, `(b, 1, d)`.
fn see_columns(
    decoder: &Decoder,
    columns: &Tensor,
    caches: &mut [&mut KvCache],
) -> candle_core::Result<Tensor> {
    let (b, s, _d) = columns.dims3()?;
    let positions: Vec<u32> =
        caches.iter().flat_map(|cache| (cache.len()..cache.len() + s).map(|at| at as u32)).collect();
    let positions = Tensor::from_vec(positions, (b, s), columns.device())?;
    let hidden = decoder.forward_rows(columns, &positions, &AttentionMask::causal(), caches)?;
    hidden.narrow(1, s - 1, 1)
}

impl<'a> Row<'a> {
    fn new(
        decoder: &Decoder,
        cache: &'a mut KvCache,
        prompt: &Tensor,
        cfg: &GenerationConfig,
        guide: Option<Guide>,
    ) -> Result<Self> {
        let (b, s, _d) = prompt.dims3()?;
        if b != 1 || s == 0 {
            return Err(Error::Generation(format!(
                "a prompt of {b} rows and {s} tokens cannot be continued"
            )));
        }
        let (sampler, whole) = (Sampler::new(cfg)?, WholeSequence::new(decoder, cache.len()));
        let (tokens, logits) = (Vec::new(), Vec::new());
        let mut row = Self { cache, sampler, guide, whole, new: prompt.clone(), tokens, logits, ended: None };
        row.prepare(decoder, prompt.clone())?;
        if cfg.max_new_tokens == 0 {
            row.ended = Some(Ok(()));
        }
        Ok(row)
    }

    /// Draws its next token.
    fn draw(&mut self, mut logits: Vec<f32>) -> Result<()> {
        if let Some(guide) = &mut self.guide {
            guide.allow(&mut logits)?;
        }
        let token = self.sampler.draw(&logits)?;
        if let Some(guide) = &mut self.guide {
            guide.take(token)?;
        }
        self.tokens.push(token);
        self.logits = logits;
        Ok(())
    }

    /// Sets what is run next.
    fn prepare(&mut self, decoder: &Decoder, new: Tensor) -> Result<()> {
        let (wanted, limit) = (self.cache.len() + new.dim(1)?, decoder.config().max_position_embeddings);
        if wanted > limit {
            return Err(Error::TooLong { wanted, limit });
        }
        self.new = self.whole.extend(new, self.cache)?;
        Ok(())
    }

    /// Shows the token that was drawn, and ends the row or prepares its next step.
    fn finish_step(
        &mut self,
        decoder: &Decoder,
        cfg: &GenerationConfig,
        see: impl FnOnce(u32, &[f32]) -> Result<ControlFlow<()>>,
    ) {
        let (None, Some(&token)) = (&self.ended, self.tokens.last()) else { return };
        let next = || -> Result<Option<Tensor>> {
            let broken = see(token, &self.logits)?.is_break();
            let is_whole = self.guide.as_ref().is_some_and(Guide::is_over);
            if broken || is_whole || cfg.eos_ids.contains(&token) || self.tokens.len() >= cfg.max_new_tokens {
                return Ok(None);
            }
            Ok(Some(decoder.embed(&Tensor::new(&[[token]], self.new.device())?)?))
        };
        self.ended = match next() {
            Ok(None) => Some(Ok(())),
            Ok(Some(new)) => self.prepare(decoder, new).err().map(Err),
            Err(error) => Some(Err(error)),
        };
    }
}
