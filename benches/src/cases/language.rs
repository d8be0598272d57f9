//! A decoder that reads a prompt, or writes one token after it.

use anyhow::Result;
use candle_core::{DType, Device, Tensor};
use serde::Deserialize;
use strefer_llm::{Decoder, DecoderConfig, KvCache};
use strefer_nn::ops::AttentionMask;

use super::{Precision, Prepared, parameters, store, token_ids};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Prompt {
    decoder: DecoderConfig,
    tokens: usize,
    #[serde(default)]
    dtype: Precision,
}

/// Reads `ids`, `(1, s)`, after what is in the cache, as generation does; gives the logits of the last.
fn read(decoder: &Decoder, cache: &mut KvCache, ids: &Tensor) -> Result<Vec<f32>> {
    let (held, new) = (cache.len(), ids.dim(1)?);
    let positions = Tensor::arange(held as u32, (held + new) as u32, &Device::Cpu)?.unsqueeze(0)?;
    let hidden = decoder.forward(&decoder.embed(ids)?, &positions, &AttentionMask::causal(), Some(cache))?;
    let logits = decoder.logits(&hidden.narrow(1, new - 1, 1)?)?;
    Ok(logits.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
}

impl Prompt {
    fn model(&self) -> Result<(Decoder, Tensor, usize)> {
        let store = store(false, self.dtype);
        let decoder = Decoder::new(&self.decoder, store.var_builder())?;
        Ok((decoder, token_ids(1, self.tokens, self.decoder.vocab_size)?, parameters(&store)))
    }

    pub(super) fn prepare_prefill(&self) -> Result<Prepared> {
        let (decoder, ids, parameters) = self.model()?;
        let work = move || {
            read(&decoder, &mut KvCache::new(decoder.config()), &ids)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters })
    }

    pub(super) fn prepare_decode(&self) -> Result<Prepared> {
        let (decoder, ids, parameters) = self.model()?;
        let mut cache = KvCache::new(decoder.config());
        read(&decoder, &mut cache, &ids)?;
        let next = Tensor::new(&[[11u32]], &Device::Cpu)?;
        let tokens = self.tokens;
        let work = move || {
            cache.truncate(tokens);
            read(&decoder, &mut cache, &next)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters })
    }
}
