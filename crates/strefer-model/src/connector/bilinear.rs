//! Bilinear resizing of maps of features, with half-pixel centres and no antialiasing.

use candle_core::{Result, Tensor};
use strefer_nn::ops;

/// Resizes maps; gradients flow.
///
/// # Shapes
/// - `maps`: `(b, h, w, d)`
/// - returns: `(b, height, width, d)`
pub(crate) fn resize(maps: &Tensor, height: usize, width: usize) -> Result<Tensor> {
    let (_, h, w, _) = maps.dims4()?;
    if (h, w) == (height, width) {
        return Ok(maps.clone());
    }
    let weights = |from: usize, to: usize| {
        Tensor::from_vec(weights(from, to), (to, from), maps.device())?.to_dtype(maps.dtype())
    };
    let xs = maps.permute((0, 3, 1, 2))?.contiguous()?; // (b, d, h, w)
    let xs = ops::linear(&xs, &weights(w, width)?, None)?; // (b, d, h, width)
    let xs = xs.transpose(2, 3)?.contiguous()?; // (b, d, width, h)
    let xs = ops::linear(&xs, &weights(h, height)?, None)?; // (b, d, width, height)
    xs.permute((0, 3, 2, 1))?.contiguous()
}

/// The weights `(to, from)` along one axis.
fn weights(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; to * from];
    let scale = from as f64 / to as f64;
    for target in 0..to {
        let at = (scale * (target as f64 + 0.5) - 0.5).max(0.0);
        let first = (at as usize).min(from - 1);
        let second = (first + 1).min(from - 1);
        let part = at - first as f64;
        weights[target * from + first] += (1.0 - part) as f32;
        weights[target * from + second] += part as f32;
    }
    weights
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use strefer_nn::testing::{assert_gradients_by_differences, randn};

    use super::*;

    #[test]
    fn halving_a_grid_averages_four_patches() {
        assert_eq!(weights(4, 2), [0.5, 0.5, 0.0, 0.0, 0.0, 0.0, 0.5, 0.5]);
        // 27 to 14, as LLaVA-OneVision pools: the first target lies at (0 + 0.5) * 27 / 14 - 0.5 = 0.4643.
        let weights = weights(27, 14);
        assert!((weights[0] - 0.535_714).abs() < 1e-5 && (weights[1] - 0.464_286).abs() < 1e-5);
        for row in weights.chunks(27) {
            assert!((row.iter().sum::<f32>() - 1.0).abs() < 1e-6);
        }
    }

    #[test]
    fn rows_and_columns_keep_their_places() -> Result<()> {
        let rows = Tensor::new(&[0f32, 2.0, 4.0, 6.0], &Device::Cpu)?.reshape((1, 4, 1, 1))?;
        let columns = Tensor::new(&[0f32, 10.0], &Device::Cpu)?.reshape((1, 1, 2, 1))?;
        let resized = resize(&rows.broadcast_add(&columns)?, 2, 1)?;
        assert_eq!(resized.flatten_all()?.to_vec1::<f32>()?, [6.0, 10.0]);
        assert_gradients_by_differences(&[randn(1, &[2, 5, 3, 2])], 1e-3, |maps| resize(&maps[0], 2, 4));
        Ok(())
    }
}
