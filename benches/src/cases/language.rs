//! A decoder that reads a prompt, or writes one token after it.

use anyhow::Result;
use candle_core::{DType, Tensor};
use serde::Deserialize;
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
    let logits = decoder.logits(&hidden.narrow(1, new - 1, 1)?)?.to_dtype(DType::F32)?.squeeze(1)?;
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
        let (mut cache, mut greedy) = (KvCache::new(decoder.config()), Greedy::default());
        read(&decoder, &mut cache, &ids, &mut greedy)?;
        let next = Tensor::full(11u32, (self.batch, 1), &place.device)?;
        let tokens = self.tokens;
        let work = move || {
            cache.truncate(tokens);
            read(&decoder, &mut cache, &next, &mut greedy)
        };
        Ok(Prepared { work: Box::new(work), parameters })
    }
}
