//! Sequences that are rotated anew from their beginning when they grow beyond a length.

use candle_core::Tensor;

use crate::decoder::{Decoder, KvCache};
use crate::error::{Error, Result};

/// What a model whose rotation changes with a sequence's length needs to begin again: all embeddings so far.
pub(super) struct WholeSequence {
    /// The length beyond which the rotation is another one.
    longest: usize,
    /// Columns that were in the cache before the first embedding.
    unknown: usize,
    embeds: Vec<Tensor>,
}

impl WholeSequence {
    /// Nothing for models whose rotation stays as it is.
    pub fn new(decoder: &Decoder, unknown: usize) -> Option<Self> {
        decoder.switches_after().map(|longest| Self { longest, unknown, embeds: Vec::new() })
    }

    /// What is to be run next: `new`, or everything with an emptied cache when the cached columns are rotated as the
    /// longer sequence's are not.
    pub fn extend(&mut self, new: Tensor, cache: &mut KvCache) -> Result<Tensor> {
        let (longest, held) = (self.longest, cache.len());
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
