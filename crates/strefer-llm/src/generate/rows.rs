//! The loop behind every answer: rows of different lengths go through the layers together, a token at a time.

use std::ops::ControlFlow;

use candle_core::{DType, Tensor, bail};
use strefer_nn::ops::AttentionMask;

use super::GenerationConfig;
use super::greedy::Greedy;
use super::whole::WholeSequence;
use crate::decoder::{Decoder, KvCache, Steps};
use crate::error::{Error, Result};
use crate::guide::Guide;
use crate::sampler::Sampler;

/// So many columns of a prompt go through the layers at a time: what they compute on the way does not grow with the prompt.
const COLUMNS: usize = 1024;

/// The cache of a row: its own, or one that lives on behind it.
pub(super) enum Held<'a> {
    Own(Box<KvCache>),
    Lent(&'a mut KvCache),
}

impl Held<'_> {
    fn len(&self) -> usize {
        match self {
            Self::Own(cache) => cache.len(),
            Self::Lent(cache) => cache.len(),
        }
    }

    fn get(&mut self) -> &mut KvCache {
        match self {
            Self::Own(cache) => cache,
            Self::Lent(cache) => cache,
        }
    }
}

/// What the layers have not seen of a row yet.
#[derive(Clone)]
enum New {
    /// `(1, s, d)`
    Embeds(Tensor),
    /// The token that was drawn last.
    Token(u32),
}

impl New {
    fn columns(&self) -> usize {
        match self {
            Self::Embeds(embeds) => embeds.dims()[1],
            Self::Token(_) => 1,
        }
    }

    fn embeds(&self, decoder: &Decoder) -> candle_core::Result<Tensor> {
        match self {
            Self::Embeds(embeds) => Ok(embeds.clone()),
            Self::Token(token) => decoder.embed(&Tensor::new(&[[*token]], decoder.device())?),
        }
    }

    /// What is new of several rows, `(b, s, d)`. Tokens are looked up together.
    fn together(all: &[&Self], decoder: &Decoder) -> candle_core::Result<Tensor> {
        let token = |new: &&Self| match new {
            Self::Token(token) => Some(*token),
            Self::Embeds(_) => None,
        };
        if let Some(tokens) = all.iter().map(token).collect::<Option<Vec<u32>>>() {
            return decoder.embed(&Tensor::from_vec(tokens, (all.len(), 1), decoder.device())?);
        }
        let embeds = all.iter().map(|new| new.embeds(decoder)).collect::<candle_core::Result<Vec<_>>>()?;
        Tensor::cat(&embeds, 0)
    }
}

/// One answer under way.
pub(super) struct Row<'a> {
    cache: Held<'a>,
    sampler: Sampler,
    /// What its answer may become, where that is not anything.
    guide: Option<Guide>,
    whole: Option<WholeSequence>,
    new: New,
    tokens: Vec<u32>,
    most: usize,
    eos_ids: Vec<u32>,
    /// Whether somebody wants to see what each token was drawn from.
    scored: bool,
    /// What the last token was drawn from, if it was drawn here.
    logits: Vec<f32>,
    /// Why it is over, if it is.
    ended: Option<Result<()>>,
}

/// Continues prompts until each has ended, the first few each held to a guide. `see` gets the row, every new token of it, an end token included, and
/// if it is `scored` the logits that it was drawn from, and may break the row off. What goes wrong with one row ends that row alone.
pub(super) fn run(
    decoder: &Decoder,
    caches: &mut [KvCache],
    prompts: &[Tensor],
    cfg: &GenerationConfig,
    guides: impl IntoIterator<Item = Guide>,
    scored: bool,
    mut see: impl FnMut(usize, u32, &[f32]) -> Result<ControlFlow<()>>,
) -> Vec<Result<Vec<u32>>> {
    let mut guides = guides.into_iter();
    let mut rows = Rows::new(decoder);
    let mut answers = Vec::new();
    for (at, (cache, prompt)) in caches.iter_mut().zip(prompts).enumerate() {
        answers.push(None);
        match Row::new(decoder, Held::Lent(cache), prompt, cfg, guides.next()) {
            Ok(row) => rows.join(at, Row { scored, ..row }),
            Err(error) => answers[at] = Some(Err(error)),
        }
    }
    while !rows.is_empty() {
        for (at, answer) in rows.step(decoder, &mut see) {
            answers[at] = Some(answer);
        }
    }
    answers.into_iter().flatten().collect()
}

/// Rows that go through the layers together. Others may join between steps.
pub(super) struct Rows<'a> {
    rows: Vec<(usize, Row<'a>)>,
    way: Way,
}

/// How steps are taken, and tokens drawn.
struct Way {
    steps: Steps,
    /// Whether logits are looked through where they lie, if nobody wants to see more of them.
    on_card: bool,
    greedy: Greedy,
}

impl Way {
    fn of(decoder: &Decoder) -> Self {
        let on_card = !decoder.device().is_cpu();
        Self { steps: Steps::new(decoder), on_card, greedy: Greedy::default() }
    }
}

impl<'a> Rows<'a> {
    /// None yet.
    pub fn new(decoder: &Decoder) -> Self {
        Self { rows: Vec::new(), way: Way::of(decoder) }
    }

    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// The numbers that rows joined with.
    pub fn numbers(&self) -> impl ExactSizeIterator<Item = usize> {
        self.rows.iter().map(|(at, _)| *at)
    }

    /// Adds a row under a number that no other has.
    pub fn join(&mut self, at: usize, row: Row<'a>) {
        self.rows.push((at, row));
    }

    /// A new token for every row; those that have ended leave.
    pub fn step(
        &mut self,
        decoder: &Decoder,
        mut see: impl FnMut(usize, u32, &[f32]) -> Result<ControlFlow<()>>,
    ) -> Vec<(usize, Result<Vec<u32>>)> {
        let way = &mut self.way;
        let mut active: Vec<&mut (usize, Row<'a>)> =
            self.rows.iter_mut().filter(|(_, row)| row.ended.is_none()).collect();
        // Prompts, and sequences that begin anew, go alone.
        let (mut single, long): (Vec<_>, Vec<_>) = active
            .iter_mut()
            .map(|(_, row)| row)
            .partition(|row| row.new.columns() == 1 && row.cache.len() > 0);
        for row in long {
            advance(decoder, &mut [row], way);
        }
        advance(decoder, &mut single, way);
        for (at, row) in active {
            row.finish_step(decoder, |token, logits| see(*at, token, logits));
        }
        let ended = self.rows.extract_if(.., |(_, row)| row.ended.is_some());
        let answers = ended.map(|(at, row)| (at, row.ended.unwrap_or(Ok(())).map(|()| row.tokens))).collect();
        if self.rows.is_empty() {
            // What is written down of steps keeps memory.
            self.way.steps = Steps::new(decoder);
        }
        answers
    }
}

/// Runs what is new of the rows through the layers, equally much of each, and draws a token for each. What cannot be done for all
/// is done for each alone.
fn advance(decoder: &Decoder, rows: &mut [&mut Row<'_>], way: &mut Way) {
    if rows.is_empty() {
        return;
    }
    let held: Vec<usize> = rows.iter().map(|row| row.cache.len()).collect();
    let drawn = logits(decoder, rows, &mut way.steps).and_then(|logits| draw(rows, &logits, way));
    match (drawn, rows) {
        (Ok(()), _) => {}
        (Err(error), [row]) => row.ended = Some(Err(error.into())),
        (Err(_), rows) => {
            for (row, held) in rows.iter_mut().zip(held) {
                row.cache.get().truncate(held);
                advance(decoder, &mut [row], way);
            }
        }
    }
}

/// Draws a token for each row from its logits, `(b, v)`.
fn draw(rows: &mut [&mut Row<'_>], logits: &Tensor, way: &mut Way) -> candle_core::Result<()> {
    let drawn: Vec<Result<()>> = if way.on_card && rows.iter().all(|row| row.takes_best()) {
        rows.iter_mut().zip(way.greedy.best(logits)?).map(|(row, best)| row.take(best)).collect()
    } else {
        rows.iter_mut().zip(logits.to_vec2()?).map(|(row, logits)| row.draw(logits)).collect()
    };
    for (row, drawn) in rows.iter_mut().zip(drawn) {
        row.ended = drawn.err().map(Err);
    }
    Ok(())
}

/// The logits behind the last column of every row, `(b, v)`.
fn logits(decoder: &Decoder, rows: &mut [&mut Row<'_>], steps: &mut Steps) -> candle_core::Result<Tensor> {
    let new: Vec<&New> = rows.iter().map(|row| &row.new).collect();
    let embeds = New::together(&new, decoder)?; // (b, s, d)
    let s = embeds.dim(1)?;
    let mut caches: Vec<&mut KvCache> = rows.iter_mut().map(|row| row.cache.get()).collect();
    // A sequence that is rotated by its own length must be seen whole once it is longer than that.
    let longest = decoder.switches_after();
    let is_long = longest.is_some_and(|longest| caches.iter().any(|cache| cache.len() + s > longest));
    let at_a_time = if is_long { s.max(1) } else { COLUMNS };
    let mut last = None;
    for start in (0..s).step_by(at_a_time) {
        let columns = embeds.narrow(1, start, at_a_time.min(s - start))?;
        last = Some(see_columns(decoder, &columns, &mut caches, Some(&mut *steps))?);
    }
    let Some(last) = last else { bail!("rows without a new column have no logits") };
    decoder.logits(&last)?.to_dtype(DType::F32)?.squeeze(1)
}

/// Runs the beginning that several prompts have in common through the layers, behind what `cache` holds.
pub(super) fn remember(decoder: &Decoder, cache: &mut KvCache, embeds: &Tensor) -> candle_core::Result<()> {
    let (b, s, _d) = embeds.dims3()?;
    if b != 1 {
        bail!("a beginning of {b} rows, one is wanted");
    }
    for start in (0..s).step_by(COLUMNS) {
        let columns = embeds.narrow(1, start, COLUMNS.min(s - start))?;
        see_columns(decoder, &columns, &mut [&mut *cache], None)?;
    }
    Ok(())
}

/// Runs columns through the layers behind those that the caches hold; the state of the last one, `(b, 1, d)`.
fn see_columns(
    decoder: &Decoder,
    columns: &Tensor,
    caches: &mut [&mut KvCache],
    steps: Option<&mut Steps>,
) -> candle_core::Result<Tensor> {
    let (b, s, _d) = columns.dims3()?;
    let positions: Vec<u32> =
        caches.iter().flat_map(|cache| (cache.len()..cache.len() + s).map(|at| at as u32)).collect();
    let positions = Tensor::from_vec(positions, (b, s), columns.device())?;
    let hidden = match steps.filter(|_| s == 1) {
        Some(steps) => steps.step(columns, &positions, caches)?,
        None => decoder.forward_rows(columns, &positions, &AttentionMask::causal(), caches)?,
    };
    hidden.narrow(1, s - 1, 1)
}

impl<'a> Row<'a> {
    pub(super) fn new(
        decoder: &Decoder,
        cache: Held<'a>,
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
        let whole = WholeSequence::new(decoder, cache.len());
        let mut row = Self {
            cache,
            sampler: Sampler::new(cfg)?,
            guide,
            whole,
            new: New::Embeds(prompt.clone()),
            tokens: Vec::new(),
            most: cfg.max_new_tokens,
            eos_ids: cfg.eos_ids.clone(),
            scored: false,
            logits: Vec::new(),
            ended: None,
        };
        row.prepare(decoder, New::Embeds(prompt.clone()))?;
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

    /// Whether it takes the best token, so that no other logit matters.
    fn takes_best(&self) -> bool {
        self.guide.is_none() && !self.scored && self.sampler.takes_best()
    }

    /// Takes the best token, where there is one.
    fn take(&mut self, best: Option<u32>) -> Result<()> {
        self.tokens.push(self.sampler.take(best)?);
        Ok(())
    }

    /// Sets what is run next.
    fn prepare(&mut self, decoder: &Decoder, new: New) -> Result<()> {
        let cache = self.cache.get();
        let (wanted, limit) = (cache.len() + new.columns(), decoder.config().max_position_embeddings);
        if wanted > limit {
            return Err(Error::TooLong { wanted, limit });
        }
        self.new = match &mut self.whole {
            Some(whole) => New::Embeds(whole.extend(new.embeds(decoder)?, cache)?),
            None => new,
        };
        Ok(())
    }

    /// Shows the token that was drawn, and ends the row or prepares its next step.
    fn finish_step(&mut self, decoder: &Decoder, see: impl FnOnce(u32, &[f32]) -> Result<ControlFlow<()>>) {
        let (None, Some(&token)) = (&self.ended, self.tokens.last()) else { return };
        let next = || -> Result<Option<New>> {
            let broken = see(token, &self.logits)?.is_break();
            let is_whole = self.guide.as_ref().is_some_and(Guide::is_over);
            if broken || is_whole || self.eos_ids.contains(&token) || self.tokens.len() >= self.most {
                return Ok(None);
            }
            Ok(Some(New::Token(token)))
        };
        self.ended = match next() {
            Ok(None) => Some(Ok(())),
            Ok(Some(new)) => self.prepare(decoder, new).err().map(Err),
            Err(error) => Some(Err(error)),
        };
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use strefer_nn::ParamStore;
    use strefer_nn::testing::randn;

    use super::*;
    use crate::decoder::DecoderConfig;

    fn decoder() -> Decoder {
        let store = ParamStore::new(5, &Device::Cpu, DType::F32);
        Decoder::new(&DecoderConfig::tiny(40), store.var_builder()).unwrap()
    }

    fn answers(decoder: &Decoder, prompts: &[Tensor], on_card: bool) -> Vec<Result<Vec<u32>>> {
        let mut rows = Rows::new(decoder);
        rows.way.on_card = on_card;
        for (at, prompt) in prompts.iter().enumerate() {
            // One that draws is among those that take the best.
            let temperature = if at == 1 { 1.0 } else { 0.0 };
            let cfg = GenerationConfig { max_new_tokens: 3 + at, temperature, ..GenerationConfig::default() };
            let cache = Held::Own(Box::new(KvCache::new(decoder.config())));
            rows.join(at, Row::new(decoder, cache, prompt, &cfg, None).unwrap());
        }
        let mut answers: Vec<(usize, Result<Vec<u32>>)> = Vec::new();
        while !rows.is_empty() {
            answers.extend(rows.step(decoder, |_, _, _| Ok(ControlFlow::Continue(()))));
        }
        answers.sort_by_key(|(at, _)| *at);
        answers.into_iter().map(|(_, answer)| answer).collect()
    }

    #[test]
    fn logits_that_a_card_looks_through_give_the_same_answers() {
        let decoder = decoder();
        let prompts: Vec<Tensor> = [4, 1, 7, 2].iter().map(|&s| randn(s as u64, &[1, s, 128])).collect();
        let here: Vec<Vec<u32>> =
            answers(&decoder, &prompts, false).into_iter().map(Result::unwrap).collect();
        let there: Vec<Vec<u32>> =
            answers(&decoder, &prompts, true).into_iter().map(Result::unwrap).collect();
        assert_eq!(here, there);
        let broken = [(&prompts[0] * f64::NAN).unwrap()];
        assert!(matches!(answers(&decoder, &broken, true)[0], Err(Error::NonFiniteLogits { step: 0 })));
    }

    #[test]
    fn what_cannot_be_done_for_all_rows_is_done_for_each() {
        let decoder = decoder();
        // Of another width: no layer takes it.
        let prompts = [randn(1, &[1, 1, 128]), randn(2, &[1, 1, 128]), randn(3, &[1, 1, 64])];
        let found = answers(&decoder, &prompts, false);
        assert!(matches!(found[2], Err(Error::Tensor(_))));
        let alone = answers(&decoder, &prompts[..2], false);
        for (found, alone) in found.iter().zip(&alone) {
            assert_eq!(found.as_ref().unwrap(), alone.as_ref().unwrap());
        }
        // Rows that joined late, or lost their step, go on from what they had seen.
        let cfg = GenerationConfig { max_new_tokens: 4, ..GenerationConfig::default() };
        let row = |prompt: &Tensor| {
            let cache = Held::Own(Box::new(KvCache::new(decoder.config())));
            Row::new(&decoder, cache, prompt, &cfg, None).unwrap()
        };
        let mut rows = [row(&prompts[0]), row(&prompts[2])];
        let mut both: Vec<&mut Row<'_>> = rows.iter_mut().collect();
        advance(&decoder, &mut both, &mut Rows::new(&decoder).way);
        let [good, bad] = rows;
        assert!(good.ended.is_none() && good.tokens == found[0].as_ref().unwrap()[..1]);
        assert!(matches!(bad.ended, Some(Err(_))));
    }
}
