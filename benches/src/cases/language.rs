//! A decoder that reads a prompt, or writes one token after it.

use anyhow::Result;
use candle_core::{DType, Tensor};
use serde::Deserialize;
use strefer_llm::decoder::Steps;
use strefer_llm::{Decoder, DecoderConfig, Greedy, KvCache};
use strefer_nn::ops::AttentionMask;

use super::{Place, Prepared, parameters};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Prompt {
    decoder: DecoderConfig,
    tokens: usize,
    /// Prompts at a time.
    #[serde(default = "one")]
    batch: usize,
    /// Whether steps that are known are launched as one.
    #[serde(default = "yes")]
    replayed: bool,
}

fn yes() -> bool {
    true
}

fn one() -> usize {
    1
}

/// Reads `ids`, `(b, s)`, after what is in the cache, as generation does; gives the best tokens after the last ones.
fn read(decoder: &Decoder, cache: &mut KvCache, ids: &Tensor, greedy: &mut Greedy) -> Result<()> {
    let (held, (b, new)) = (cache.len(), ids.dims2()?);
    let positions = Tensor::arange(held as u32, (held + new) as u32, ids.device())?;
    let positions = positions.unsqueeze(0)?.broadcast_as((b, new))?.contiguous()?;
    let hidden = decoder.forward(&decoder.embed(ids)?, &positions, &AttentionMask::causal(), Some(cache))?;
    draw(decoder, &hidden.narrow(1, new - 1, 1)?, greedy)
}

/// Writes one token, `ids`, `(b, 1)`, behind what each row has seen, as generation does.
fn write(
    decoder: &Decoder,
    caches: &mut [KvCache],
    ids: &Tensor,
    steps: &mut Steps,
    greedy: &mut Greedy,
) -> Result<()> {
    let held: Vec<u32> = caches.iter().map(|cache| cache.len() as u32).collect();
    let positions = Tensor::from_vec(held, ids.shape(), ids.device())?;
    let mut rows: Vec<&mut KvCache> = caches.iter_mut().collect();
    draw(decoder, &steps.step(&decoder.embed(ids)?, &positions, &mut rows)?, greedy)
}

/// The best tokens behind states of `(b, 1, d)`.
fn draw(decoder: &Decoder, hidden: &Tensor, greedy: &mut Greedy) -> Result<()> {
    let logits = decoder.logits(hidden)?.to_dtype(DType::F32)?.squeeze(1)?;
    anyhow::ensure!(greedy.best(&logits)?.iter().all(Option::is_some), "logits that are no numbers");
    Ok(())
}

impl Prompt {
    fn model(&self, place: &Place) -> Result<(Decoder, Tensor, usize)> {
        let store = place.store();
        let mut decoder = Decoder::new(&self.decoder, store.var_builder())?;
        let parameters = parameters(&store);
        // As a checkpoint is loaded for answering.
        drop(store);
        if !place.device.is_cpu() {
            decoder.join_products()?;
        }
        Ok((decoder, place.token_ids(self.batch, self.tokens, self.decoder.vocab_size)?, parameters))
    }

    pub(super) fn prepare_prefill(&self, place: &Place) -> Result<Prepared> {
        let (decoder, ids, parameters) = self.model(place)?;
        let mut greedy = Greedy::default();
        let work = move || read(&decoder, &mut KvCache::new(decoder.config()), &ids, &mut greedy);
        Ok(Prepared { work: Box::new(work), parameters })
    }

    pub(super) fn prepare_decode(&self, place: &Place) -> Result<Prepared> {
        let (decoder, ids, parameters) = self.model(place)?;
        let mut greedy = Greedy::default();
        let read_row = |row: usize| {
            let mut cache = KvCache::new(decoder.config());
            read(&decoder, &mut cache, &ids.narrow(0, row, 1)?, &mut greedy)?;
            Ok(cache)
        };
        let mut caches = (0..self.batch).map(read_row).collect::<Result<Vec<_>>>()?;
        let next = Tensor::full(11u32, (self.batch, 1), &place.device)?;
        let (tokens, mut steps) = (self.tokens, Steps::new(&decoder));
        let replayed = self.replayed;
        let mut work = move || {
            caches.iter_mut().for_each(|cache| cache.truncate(tokens));
            if !replayed {
                steps = Steps::new(&decoder);
            }
            write(&decoder, &mut caches, &next, &mut steps, &mut greedy)
        };
        // As an answer of some length has been under way for a while.
        for _ in 0..4 {
            work()?;
        }
        Ok(Prepared { work: Box::new(work), parameters })
    }
}
