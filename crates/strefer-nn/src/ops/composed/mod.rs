//! Every operation out of candle's differentiable ones: correct for any device and float type, and the yardstick for
//! the fused versions.

mod attention;
mod cross_entropy;
mod depthwise;

pub use attention::{attention, multi_head_attention};
pub use cross_entropy::linear_cross_entropy;
#[cfg(feature = "cuda")]
pub(super) use cross_entropy::{Chunked, by_chunks as cross_entropy_by_chunks};
pub use depthwise::depthwise;

use candle_core::{D, DType, Result, Tensor};

use crate::ops::{Pooled, Rotary};

/// Half types compute in f32 and return what they got.
pub(super) fn wide(xs: &Tensor) -> Result<Tensor> {
    match xs.dtype() {
        DType::F16 | DType::BF16 => xs.to_dtype(DType::F32),
        _ => Ok(xs.clone()),
    }
}

/// See [`crate::ops::rms_norm`].
pub fn rms_norm(xs: &Tensor, weight: &Tensor, eps: f64) -> Result<Tensor> {
    let wide = wide(xs)?;
    let mean_square = wide.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = wide.broadcast_div(&(mean_square + eps)?.sqrt()?)?;
    normed.to_dtype(xs.dtype())?.broadcast_mul(weight)
}

/// See [`crate::ops::layer_norm`].
pub fn layer_norm(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>, eps: f64) -> Result<Tensor> {
    let wide = wide(xs)?;
    let centred = wide.broadcast_sub(&wide.mean_keepdim(D::Minus1)?)?;
    let variance = centred.sqr()?.mean_keepdim(D::Minus1)?;
    let normed = centred.broadcast_div(&(variance + eps)?.sqrt()?)?;
    let scaled = normed.to_dtype(xs.dtype())?.broadcast_mul(weight)?;
    match bias {
        Some(bias) => scaled.broadcast_add(bias),
        None => Ok(scaled),
    }
}

/// See [`crate::ops::softmax_last`].
pub fn softmax_last(xs: &Tensor) -> Result<Tensor> {
    let wide = wide(xs)?;
    // The largest value only shifts, so it needs no gradient.
    let exps = wide.broadcast_sub(&wide.detach().max_keepdim(D::Minus1)?)?.exp()?;
    exps.broadcast_div(&exps.sum_keepdim(D::Minus1)?)?.to_dtype(xs.dtype())
}

/// See [`crate::ops::gelu_erf`].
pub fn gelu_erf(xs: &Tensor) -> Result<Tensor> {
    xs.gelu_erf()
}

/// See [`crate::ops::gelu_tanh`].
pub fn gelu_tanh(xs: &Tensor) -> Result<Tensor> {
    xs.gelu()
}

/// See [`crate::ops::silu`].
pub fn silu(xs: &Tensor) -> Result<Tensor> {
    xs.silu()
}

/// See [`crate::ops::swiglu`].
pub fn swiglu(gate: &Tensor, up: &Tensor) -> Result<Tensor> {
    gate.silu()? * up
}

/// See [`crate::ops::swiglu_joined`].
pub fn swiglu_joined(both: &Tensor) -> Result<Tensor> {
    let halves = both.chunk(2, D::Minus1)?;
    match &halves[..] {
        [gate, up] => swiglu(gate, up),
        _ => candle_core::bail!("rows of {:?} have no halves", both.shape()),
    }
}

/// See [`crate::ops::rotary_side_by_side`].
pub fn rotary_side_by_side(xs: &Tensor, heads: usize, angles: &Rotary) -> Result<Tensor> {
    let (b, s, _width) = xs.dims3()?;
    let ys = rotary(&xs.reshape((b, s, heads, ()))?.transpose(1, 2)?, &angles.cos, &angles.sin)?;
    ys.transpose(1, 2)?.flatten_from(2)
}

/// See [`crate::ops::rotary`].
pub fn rotary(xs: &Tensor, cos: &Tensor, sin: &Tensor) -> Result<Tensor> {
    let (_b, _nh, _s, hd) = xs.dims4()?;
    let half = hd / 2;
    let table = |values: &Tensor| values.narrow(D::Minus1, 0, half)?.unsqueeze(1)?.to_dtype(xs.dtype());
    let (cos, sin) = (table(cos)?, table(sin)?); // (b|1, 1, s, hd/2)
    let (x1, x2) = (xs.narrow(3, 0, half)?, xs.narrow(3, half, half)?);
    let y1 = (x1.broadcast_mul(&cos)? - x2.broadcast_mul(&sin)?)?;
    let y2 = (x2.broadcast_mul(&cos)? + x1.broadcast_mul(&sin)?)?;
    Tensor::cat(&[y1, y2], 3)
}

/// See [`crate::ops::linear`].
pub fn linear(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let mut dims = xs.dims().to_vec();
    let Some(d) = dims.pop() else { candle_core::bail!("a linear layer needs a vector, got a number") };
    let rows = dims.iter().product::<usize>();
    let ys = xs.reshape((rows, d))?.matmul(&weight.t()?)?;
    let ys = match bias {
        Some(bias) => ys.broadcast_add(bias)?,
        None => ys,
    };
    dims.push(weight.dim(0)?);
    ys.reshape(dims)
}

/// See [`crate::ops::mask_pool`].
pub fn mask_pool(feats: &Tensor, pooled: &Pooled) -> Result<Tensor> {
    let (device, k) = (feats.device(), pooled.rows.len());
    let frames = feats.contiguous()?.index_select(&Tensor::from_slice(&pooled.rows, k, device)?, 0)?;
    let shares = Tensor::from_vec(pooled.shares(), (k, 1, pooled.patches), device)?;
    shares.to_dtype(feats.dtype())?.matmul(&frames)?.squeeze(1)
}

/// See [`crate::ops::scaled`].
pub fn scaled(xs: &Tensor, dtype: DType, factor: f64) -> Result<Tensor> {
    (wide(xs)? * factor)?.to_dtype(dtype)
}
