//! Token ids become vectors, the added ids from a matrix of their own.

use candle_core::{DType, Module, Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::Embedding;

use super::DecoderConfig;

/// The token table, and the table of added rows.
#[derive(Debug, Clone)]
pub(super) struct TokenEmbedding {
    embed_tokens: Embedding,
    additional: Option<Additional>,
}

#[derive(Debug, Clone)]
struct Additional {
    additional_embedding: Embedding,
    first_id: usize,
}

impl TokenEmbedding {
    pub(super) fn new(cfg: &DecoderConfig, vb: VarBuilder) -> Result<Self> {
        let d = cfg.hidden_size;
        let embed_tokens = Embedding::new(cfg.vocab_size, d, vb.clone())?;
        let additional = match &cfg.extra_rows {
            Some(extra) => Some(Additional {
                additional_embedding: Embedding::new(extra.count, d, vb.pp("additional_embedding"))?,
                first_id: extra.first_id,
            }),
            None => None,
        };
        Ok(Self { embed_tokens, additional })
    }

    /// The original table, to be quantised.
    pub(super) fn table_mut(&mut self) -> &mut Embedding {
        &mut self.embed_tokens
    }

    /// The original table, `(v, d)`.
    pub(super) fn weight(&self) -> &Tensor {
        self.embed_tokens.weight()
    }
}

impl Module for TokenEmbedding {
    /// `ids`: `(b, s)` → `(b, s, d)`
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let ids = ids.to_dtype(DType::U32)?;
        let Some(Additional { additional_embedding, first_id }) = &self.additional else {
            return self.embed_tokens.forward(&ids);
        };
        // Both tables are asked for every id, with a harmless one in place of those they do not have.
        let added = ids.ge(*first_id as u32)?; // (b, s), 1 for added ids
        let zeros = ids.zeros_like()?;
        let shift = Tensor::full(*first_id as u32, ids.shape(), ids.device())?;
        let old = self.embed_tokens.forward(&added.where_cond(&zeros, &ids)?)?;
        let new = added.where_cond(&ids, &shift)?.sub(&shift)?;
        let new = additional_embedding.forward(&new)?;
        added.unsqueeze(2)?.broadcast_as(old.shape())?.where_cond(&new, &old)
    }
}
