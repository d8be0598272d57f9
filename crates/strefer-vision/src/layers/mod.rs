//! What several vision models are built from. Maps have their channels last, `(b, h, w, c)`, so that a 1×1 convolution is
//! a linear layer and a channel-wise norm is a layer norm.

mod attention;
mod conv;
mod convnext;
mod deformable;
mod group_norm;
mod mlp;
mod patches;
mod pixels;
mod resize;
mod sine;
mod window;

pub(crate) use attention::{CrossAttention, attend, attend_with};
pub(crate) use conv::{Conv2d, PatchConv, UpConv, pointwise};
pub(crate) use convnext::{BlockNames, ConvNextBlock};
pub(crate) use deformable::deformable;
pub(crate) use group_norm::GroupNorm;
pub(crate) use mlp::Mlp;
pub(crate) use patches::PatchEmbedding;
pub(crate) use pixels::planes;
pub(crate) use resize::{Filter, dense_weights, resize};
pub(crate) use sine::{Waves, sine_grid};
pub(crate) use window::Windows;
