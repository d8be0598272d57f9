//! Attention alone, forward or with its gradients.

use anyhow::Result;
use candle_core::{Tensor, Var};
use serde::Deserialize;
use strefer_nn::ops::{self, AttentionMask, Heads};

use super::{Place, Prepared};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Attention {
    batch: usize,
    heads: usize,
    key_heads: usize,
    tokens: usize,
    head_dim: usize,
    causal: bool,
    /// Whether gradients of all three are wanted.
    backward: bool,
}

impl Attention {
    pub(super) fn prepare(&self, place: &Place) -> Result<Prepared> {
        let Self { batch, tokens, head_dim, backward, .. } = *self;
        // As linear layers leave heads.
        let drawn = |heads: usize| place.normal((batch, tokens, heads * head_dim));
        let inputs = [drawn(self.heads)?, drawn(self.key_heads)?, drawn(self.key_heads)?];
        let grad = drawn(self.heads)?;
        let mask = if self.causal { AttentionMask::causal() } else { AttentionMask::bidirectional() };
        let scale = (head_dim as f64).powf(-0.5);
        let heads = Heads { query: self.heads, key: self.key_heads, scale };
        let vars: Vec<Var> = inputs.iter().map(Var::from_tensor).collect::<candle_core::Result<_>>()?;
        let work = move || {
            let read: Vec<Tensor> = vars
                .iter()
                .map(|var| if backward { var.as_tensor().clone() } else { var.as_detached_tensor() })
                .collect();
            let out = ops::multi_head_attention(&read[0], &read[1], &read[2], heads, None, &mask)?;
            if backward {
                let grads = (out * &grad)?.sum_all()?.backward()?;
                anyhow::ensure!(vars.iter().all(|var| grads.get(var).is_some()), "a gradient is missing");
            }
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters: 0 })
    }
}
