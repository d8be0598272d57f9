//! Depthwise convolution out of shifted products, one for each tap: patches are never gathered.

use candle_core::{Result, Tensor};

use super::wide;

/// See [`crate::ops::depthwise`].
pub fn depthwise(xs: &Tensor, weight: &Tensor, k: usize) -> Result<Tensor> {
    let (b, h, w, c) = xs.dims4()?;
    let reach = k / 2;
    let taps = wide(weight)?.reshape((c, k * k))?.t()?.contiguous()?; // (k*k, c)
    // With zeros at both ends of a row, every shift of the map is one slice of its pixels.
    let row = w + 2 * reach;
    let rows = wide(xs)?.pad_with_zeros(2, reach, reach)?.reshape((b, h * row, c))?;
    let pixels = rows.pad_with_zeros(1, reach * row, reach * row + 2 * reach)?;
    let product = |tap: usize| {
        let shift = tap / k * row + tap % k;
        pixels.narrow(1, shift, h * row)?.broadcast_mul(&taps.get(tap)?)
    };
    let sum = (1..k * k).try_fold(product(0)?, |sum, tap| sum + product(tap)?)?;
    sum.reshape((b, h, row, c))?.narrow(2, 0, w)?.contiguous()?.to_dtype(xs.dtype())
}

#[cfg(test)]
mod tests {
    use candle_core::DType;

    use super::*;
    use crate::testing::{assert_close, assert_gradients_by_differences, randn};

    /// The same by candle's grouped convolution, which wants the channels first.
    fn grouped(xs: &Tensor, weight: &Tensor) -> Result<Tensor> {
        let ys = xs.permute((0, 3, 1, 2))?.contiguous()?.conv2d(
            weight,
            weight.dim(3)? / 2,
            1,
            1,
            weight.dim(0)?,
        )?;
        ys.permute((0, 2, 3, 1))
    }

    #[test]
    fn shifted_products_equal_a_grouped_convolution() -> Result<()> {
        for dims in [[2, 5, 4, 3], [1, 1, 1, 2], [1, 1, 6, 1], [1, 9, 2, 2]] {
            for k in [1, 3, 7] {
                let (xs, weight) = (randn(1, &dims), randn(2, &[dims[3], 1, k, k]));
                assert_close(&depthwise(&xs, &weight, k)?, &grouped(&xs, &weight)?, 1e-6);
            }
        }
        Ok(())
    }

    #[test]
    fn gradients_reach_the_map_and_the_filters() {
        let inputs = [randn(3, &[2, 3, 4, 3]), randn(4, &[3, 1, 3, 3])];
        assert_gradients_by_differences(&inputs, 2e-3, |v| depthwise(&v[0], &v[1], 3));
    }

    #[test]
    fn half_types_are_summed_in_f32() -> Result<()> {
        let round = |xs: Tensor| xs.to_dtype(DType::BF16);
        let (xs, weight) = (round(randn(5, &[1, 4, 4, 2]))?, round(randn(6, &[2, 1, 3, 3]))?);
        let exact = depthwise(&xs.to_dtype(DType::F32)?, &weight.to_dtype(DType::F32)?, 3)?;
        let found = depthwise(&xs, &weight, 3)?;
        assert_eq!(found.dtype(), DType::BF16);
        assert_close(&found.to_dtype(DType::F32)?, &round(exact)?.to_dtype(DType::F32)?, 0.0);
        Ok(())
    }
}
