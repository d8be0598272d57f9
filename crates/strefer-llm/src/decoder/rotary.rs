//! Rotation angles of positions.

use candle_core::{DType, Device, Error, Result, Tensor};
use strefer_nn::ops::Rotary;

use super::DecoderConfig;
use super::rope_scaling::frequencies;

/// One frequency for each pair of entries of a head.
#[derive(Debug, Clone)]
pub(super) struct Frequencies {
    /// `(1, 1, hd/2)`
    usual: Tensor,
    /// Those of sequences longer than so many positions, as `usual`.
    long: Option<(usize, Tensor)>,
    /// Multiplies sines and cosines.
    scale: f64,
}

impl Frequencies {
    pub(super) fn new(cfg: &DecoderConfig, device: &Device) -> Result<Self> {
        let hd = cfg.head_dim();
        let found = frequencies(cfg.rope_scaling.as_ref(), cfg.rope_theta, hd);
        let tensor = |values: Vec<f32>| Tensor::from_vec(values, (1, 1, hd / 2), device);
        let long = found.long.map(|(longest, values)| Ok::<_, Error>((longest, tensor(values)?)));
        Ok(Self { usual: tensor(found.usual)?, long: long.transpose()?, scale: found.scale })
    }

    /// `positions`: `(b|1, s)` → tables `(b|1, s, hd/2)`
    pub(super) fn at(&self, positions: &Tensor, dtype: DType) -> Result<Rotary> {
        let inverse = self.of_rows(positions)?;
        let angles = positions.to_dtype(DType::F32)?.unsqueeze(2)?.broadcast_mul(&inverse)?;
        let table = |values: Tensor| {
            let values = if self.scale == 1.0 { values } else { (values * self.scale)? };
            values.to_dtype(dtype)
        };
        Ok(Rotary { cos: table(angles.cos()?)?, sin: table(angles.sin()?)? })
    }

    /// The frequencies of every row, `(1|b, 1, hd/2)`: a row's last position says whether it is long.
    fn of_rows(&self, positions: &Tensor) -> Result<Tensor> {
        let Some((longest, long)) = &self.long else { return Ok(self.usual.clone()) };
        let last = positions.to_dtype(DType::U32)?.max(1)?.to_vec1::<u32>()?;
        let rows = last.iter().map(|&last| if last as usize >= *longest { long } else { &self.usual });
        Tensor::cat(&rows.collect::<Vec<_>>(), 0)
    }
}
