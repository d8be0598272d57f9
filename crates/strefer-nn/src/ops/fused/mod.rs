//! Operations for f32 on the CPU, and linear layers whose weight is bf16, each one pass over its data with a backward of
//! its own. Inner loops are written for the compiler to vectorise; rows are spread over threads; every sum has one order,
//! whatever the number of threads.

mod activation;
mod attention;
mod attention_few;
mod attention_kernel;
mod bf16;
mod copy;
mod cross_entropy;
mod data;
mod depthwise;
mod linear;
mod linear_bf16;
mod mask_pool;
mod math;
mod matrix;
mod norm;
mod rotary;
pub(crate) mod simd;
mod softmax;

pub(super) use activation::{gelu_erf, gelu_tanh, silu, swiglu, swiglu_joined};
pub(super) use attention::{attention, multi_head_attention};
pub(super) use copy::contiguous;
pub(super) use cross_entropy::linear_cross_entropy;
pub(super) use depthwise::depthwise;
pub(super) use linear::{linear, linear_gelu, linear_unread};
pub(super) use linear_bf16::{linear_bf16, linear_bf16_unread};
pub(super) use mask_pool::mask_pool;
pub(super) use norm::{layer_norm, rms_norm};
pub(super) use rotary::{rotary, rotary_side_by_side};
pub(super) use softmax::softmax_last;

use candle_core::{DType, Tensor};

/// Whether all of `tensors` are f32 on the CPU.
pub(super) fn applies<'a>(tensors: impl IntoIterator<Item = &'a Tensor>) -> bool {
    tensors.into_iter().all(|xs| xs.dtype() == DType::F32 && xs.device().is_cpu())
}

/// Whether a linear layer has a bf16 weight on the CPU, and f32 or bf16 beside it.
pub(super) fn applies_bf16(xs: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> bool {
    let beside = |xs: &Tensor| matches!(xs.dtype(), DType::F32 | DType::BF16) && xs.device().is_cpu();
    weight.dtype() == DType::BF16 && beside(weight) && beside(xs) && bias.is_none_or(beside)
}
