//! Rotation angles of positions.

use candle_core::{DType, Device, Result, Tensor};
use strefer_nn::ops::Rotary;

use super::DecoderConfig;

/// One frequency for each pair of entries of a head.
#[derive(Debug, Clone)]
pub(super) struct Frequencies {
    /// `(1, 1, hd/2)`
    inverse: Tensor,
}

impl Frequencies {
    pub(super) fn new(cfg: &DecoderConfig, device: &Device) -> Result<Self> {
        let hd = cfg.head_dim();
        let inverse: Vec<f32> =
            (0..hd / 2).map(|i| 1.0 / (cfg.rope_theta as f32).powf((2 * i) as f32 / hd as f32)).collect();
        Ok(Self { inverse: Tensor::from_vec(inverse, (1, 1, hd / 2), device)? })
    }

    /// `positions`: `(b|1, s)` → tables `(b|1, s, hd/2)`
    pub(super) fn at(&self, positions: &Tensor, dtype: DType) -> Result<Rotary> {
        let positions = positions.to_dtype(DType::F32)?.unsqueeze(2)?;
        let angles = positions.broadcast_mul(&self.inverse)?;
        Ok(Rotary { cos: angles.cos()?.to_dtype(dtype)?, sin: angles.sin()?.to_dtype(dtype)? })
    }
}
