//! The video connector: patch features of all frames become tokens of the language model.
//!
//! One connector each of the published families, and one file each: [`MlpConnector`] (LLaVA-OneVision),
//! [`Perceiver`] with or without the temporal encoder [`Gttm`] (BLIP-3-Strefer), [`Stc`] in two variants (VideoLLaMA 2,
//! VideoRefer). [`ConnectorConfig`] names one, [`Connector`] is whichever was named.

pub(crate) mod bilinear;
mod feed_forward;
mod gttm;
mod kind;
mod mlp;
mod perceiver;
mod reg_block;
mod stc;

pub use gttm::{Gttm, GttmConfig};
pub use kind::{Connector, ConnectorConfig};
pub use mlp::{MlpConfig, MlpConnector, Newline};
pub use perceiver::{Perceiver, PerceiverConfig};
pub use stc::{Stc, StcConfig};

/// What both references add to a variance: PyTorch's default.
const NORM_EPS: f64 = 1e-5;
