//! Attention between two sequences.

use candle_core::{Result, Tensor};
use candle_nn::VarBuilder;
use strefer_nn::ops::{self, AttentionMask, Heads};
use strefer_nn::{Linear, linear};

/// Queries that run as one piece where few heads would leave threads idle; a multiple of the kernel's block, so that the
/// numbers stay the same to the last bit.
const PIECE: usize = 256;

/// Heads over which a kernel finds enough to do without pieces.
const MANY_HEADS: usize = 16;

/// Attention in which every query sees every key. A long sequence with few heads is cut into pieces that run side by
/// side over the same keys.
///
/// # Shapes
/// - `q`: `(b, s, nh*hd)`, `k`, `v`: `(b, t, nh*hd)` → `(b, s, nh*hd)`
pub(crate) fn attend(q: &Tensor, k: &Tensor, v: &Tensor, heads: Heads) -> Result<Tensor> {
    let (b, s, d) = q.dims3()?;
    let mask = AttentionMask::bidirectional();
    if b * heads.key >= MANY_HEADS || s < 2 * PIECE || !s.is_multiple_of(PIECE) {
        return ops::multi_head_attention(q, k, v, heads, None, &mask);
    }
    let pieces = s / PIECE;
    let rows = |row: usize| -> Result<Tensor> {
        let q = q.narrow(0, row, 1)?.contiguous()?.reshape((pieces, PIECE, d))?;
        // Every piece sees the same keys: a stride of zero, no copy.
        let shared = |xs: &Tensor| {
            let (_, t, width) = xs.dims3()?;
            xs.narrow(0, row, 1)?.broadcast_as((pieces, t, width))
        };
        ops::multi_head_attention(&q, &shared(k)?, &shared(v)?, heads, None, &mask)?.reshape((1, s, d))
    };
    Tensor::cat(&(0..b).map(rows).collect::<Result<Vec<_>>>()?, 0)
}

/// Attention with something added to the scores; the whole matrix of scores exists.
///
/// # Shapes
/// - `q`: `(b, s, nh*hd)`, `k`, `v`: `(b, t, nh*hd)` → `(b, s, nh*hd)`
/// - `add` gets and gives scores, `(b, nh, s, t)`
pub(crate) fn attend_with(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: Heads,
    add: impl FnOnce(Tensor) -> Result<Tensor>,
) -> Result<Tensor> {
    let (b, s, d) = q.dims3()?;
    let split = |xs: &Tensor| -> Result<Tensor> {
        let (b, n, width) = xs.dims3()?;
        xs.reshape((b, n, heads.query, width / heads.query))?.transpose(1, 2)?.contiguous()
    };
    let scores = (split(q)? * heads.scale)?.matmul(&split(k)?.t()?)?;
    let ys = ops::softmax_last(&add(scores)?)?.matmul(&split(v)?)?; // (b, nh, s, hd)
    ys.transpose(1, 2)?.contiguous()?.reshape((b, s, d))
}

/// Attention with its four linear layers.
#[derive(Debug, Clone)]
pub(crate) struct CrossAttention {
    query: Linear,
    key: Linear,
    value: Linear,
    out: Linear,
    heads: Heads,
}

impl CrossAttention {
    /// Over vectors of width `d`, `inner` wide inside; `names` are those of query, key, value and output.
    pub(crate) fn new(
        d: usize,
        inner: usize,
        heads: usize,
        names: [&str; 4],
        vb: VarBuilder,
    ) -> Result<Self> {
        let scale = 1.0 / ((inner / heads.max(1)) as f64).sqrt();
        let [query, key, value, out] = names;
        Ok(Self {
            query: linear(d, inner, vb.pp(query))?,
            key: linear(d, inner, vb.pp(key))?,
            value: linear(d, inner, vb.pp(value))?,
            out: linear(inner, d, vb.pp(out))?,
            heads: Heads { query: heads, key: heads, scale },
        })
    }

    /// Every query sees every key.
    ///
    /// # Shapes
    /// - `q`: `(b, s, d)`, `k`, `v`: `(b, t, d)` → `(b, s, d)`
    pub(crate) fn forward(&self, q: &Tensor, k: &Tensor, v: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (q.apply(&self.query)?, k.apply(&self.key)?, v.apply(&self.value)?);
        attend(&q, &k, &v, self.heads)?.apply(&self.out)
    }

    /// As [`CrossAttention::forward`] with keys hidden.
    pub(crate) fn forward_masked(
        &self,
        q: &Tensor,
        k: &Tensor,
        v: &Tensor,
        mask: &AttentionMask,
    ) -> Result<Tensor> {
        let (q, k, v) = (q.apply(&self.query)?, k.apply(&self.key)?, v.apply(&self.value)?);
        ops::multi_head_attention(&q, &k, &v, self.heads, None, mask)?.apply(&self.out)
    }

    /// A sequence that attends to itself with `bias`, `(b, 1, s, s)`, added to its scores.
    pub(crate) fn forward_biased(&self, xs: &Tensor, bias: &Tensor) -> Result<Tensor> {
        let (q, k, v) = (xs.apply(&self.query)?, xs.apply(&self.key)?, xs.apply(&self.value)?);
        attend_with(&q, &k, &v, self.heads, |scores| scores.broadcast_add(bias))?.apply(&self.out)
    }
}

#[cfg(test)]
mod tests {
    use strefer_nn::testing::{max_abs_diff, randn};

    use super::*;

    #[test]
    fn pieces_change_no_bit() {
        let q = randn(1, &[2, 2 * PIECE, 8]);
        let (k, v) = (randn(2, &[2, 70, 8]), randn(3, &[2, 70, 8]));
        let heads = Heads { query: 2, key: 2, scale: 0.5 };
        let mask = AttentionMask::bidirectional();
        let whole = ops::multi_head_attention(&q, &k, &v, heads, None, &mask).unwrap();
        assert_eq!(max_abs_diff(&attend(&q, &k, &v, heads).unwrap(), &whole), 0.0);
    }
}
