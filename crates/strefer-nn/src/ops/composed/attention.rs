//! Attention out of candle's operations; holds the whole score matrix.

use candle_core::{D, DType, Result, Tensor, bail};

use crate::ops::{AttentionMask, Heads, Rotary};

/// See [`crate::ops::attention`].
pub fn attention(q: &Tensor, k: &Tensor, v: &Tensor, scale: f64, mask: &AttentionMask) -> Result<Tensor> {
    let (b, nh, s, hd) = q.dims4()?;
    let (_b, nkv, t, _hd) = k.dims4()?;
    mask.check(b, s, t)?;
    if nkv == 0 || !nh.is_multiple_of(nkv) {
        bail!("{nh} query heads cannot share {nkv} key heads");
    }
    let group = nh / nkv;
    // Heads of one group become rows of one product, so keys and values are not repeated.
    let q = (q.contiguous()?.reshape((b, nkv, group * s, hd))? * scale)?;
    let scores = q.matmul(&k.transpose(2, 3)?.contiguous()?)?; // (b, nkv, group*s, t)
    let dtype = scores.dtype();
    let mut scores = scores.reshape((b, nh, s, t))?;
    if matches!(dtype, DType::F16 | DType::BF16) {
        scores = scores.to_dtype(DType::F32)?;
    }
    let probs = if mask.sees_all() {
        super::softmax_last(&scores)?
    } else {
        let visible = mask.to_tensor(s, t, q.device())?; // (b|1, 1, s, t)
        let hidden = Tensor::full(-1e30f32, (), q.device())?.to_dtype(scores.dtype())?;
        let hidden = hidden.broadcast_as(scores.shape())?;
        let scores = visible.broadcast_as(scores.shape())?.where_cond(&scores, &hidden)?;
        let probs = super::softmax_last(&scores)?;
        // Rows that see nothing would share themselves out evenly.
        probs.broadcast_mul(&visible.max_keepdim(D::Minus1)?.to_dtype(probs.dtype())?)?
    };
    let probs = probs.to_dtype(dtype)?.reshape((b, nkv, group * s, t))?;
    probs.matmul(&v.contiguous()?)?.reshape((b, nh, s, hd))
}

/// See [`crate::ops::multi_head_attention`].
pub fn multi_head_attention(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    heads: Heads,
    rotary: Option<&Rotary>,
    mask: &AttentionMask,
) -> Result<Tensor> {
    let split = |xs: &Tensor, n: usize| {
        let (b, s, _) = xs.dims3()?;
        xs.reshape((b, s, n, ()))?.transpose(1, 2)
    };
    let (mut q, mut k, v) = (split(q, heads.query)?, split(k, heads.key)?, split(v, heads.key)?);
    if let Some(Rotary { cos, sin }) = rotary {
        q = super::rotary(&q, cos, sin)?;
        k = super::rotary(&k, cos, sin)?;
    }
    let ys = attention(&q, &k, &v, heads.scale, mask)?; // (b, nh, s, hd)
    ys.transpose(1, 2)?.flatten_from(2)
}
