//! The best tokens, found where the logits lie: a card would send a whole vocabulary of numbers for each otherwise, and wait for the
//! host to look through them.

use candle_core::{D, DType, Result, Tensor};

/// The first of the largest of each row, as [`Sampler::draw`](crate::Sampler::draw) takes it without temperature; none for a row
/// with a number that is not finite.
///
/// # Shapes
/// - `logits`: `(b, v)`, f32
pub(super) fn best(logits: &Tensor) -> Result<Vec<Option<u32>>> {
    let (b, v) = logits.dims2()?;
    let largest = logits.max_keepdim(D::Minus1)?;
    // Of equals, which are frequent in bf16, the first; every index is exact in f32.
    let places = Tensor::arange(0u32, v as u32, logits.device())?.to_dtype(DType::F32)?;
    let places = places.unsqueeze(0)?.broadcast_as((b, v))?;
    let none = Tensor::full(v as f32, (b, v), logits.device())?;
    let first = logits.broadcast_eq(&largest)?.where_cond(&places, &none)?.min(D::Minus1)?;
    let sums = logits.sum(D::Minus1)?;
    let found = Tensor::stack(&[first, sums], 1)?.to_vec2::<f32>()?;
    let token = |row: Vec<f32>| (row[1].is_finite() && row[0] < v as f32).then_some(row[0] as u32);
    Ok(found.into_iter().map(token).collect())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;
    use strefer_nn::testing::randn;

    use super::*;
    use crate::generate::GenerationConfig;
    use crate::sampler::Sampler;

    #[test]
    fn the_best_are_those_that_the_sampler_takes() {
        // Rounded, many of a thousand numbers are equal.
        let logits = (randn(7, &[20, 1000]) * 2.0).unwrap().round().unwrap();
        let rows: Vec<Vec<f32>> = logits.to_vec2().unwrap();
        let wanted: Vec<Option<u32>> = rows
            .iter()
            .map(|row| Some(Sampler::new(&GenerationConfig::default()).unwrap().draw(row).unwrap()))
            .collect();
        assert_eq!(best(&logits).unwrap(), wanted);
        assert!(rows.iter().any(|row| {
            let largest = row.iter().copied().fold(f32::MIN, f32::max);
            row.iter().filter(|logit| **logit == largest).count() > 1
        }));
    }

    #[test]
    fn numbers_that_are_not_finite_have_no_best() {
        let rows =
            [[1.0, f32::NAN], [f32::INFINITY, 0.0], [2.0, f32::NEG_INFINITY], [f32::NAN; 2], [3.0, 4.0]];
        let logits = Tensor::new(&rows, &Device::Cpu).unwrap();
        assert_eq!(best(&logits).unwrap(), [None, None, None, None, Some(1)]);
    }
}
