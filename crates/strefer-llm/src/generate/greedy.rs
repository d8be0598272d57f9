//! The best tokens, found where the logits lie: a card would send a whole vocabulary of numbers for each otherwise, and wait for the
//! host to look through them.

use candle_core::{D, DType, Result, Tensor};

/// Finds the best tokens, as [`Sampler::draw`](crate::Sampler::draw) does without temperature, where the logits lie.
#[derive(Debug, Default)]
pub struct Greedy {
    /// Of logits of this shape, and on their device: the number of every column, and the number of columns in every place.
    places: Option<(Tensor, Tensor)>,
}

impl Greedy {
    /// The first of the largest of each row; none for a row with a number that is not finite.
    ///
    /// # Shapes
    /// - `logits`: `(b, v)`, f32
    ///
    /// # Errors
    /// Those of the device.
    pub fn best(&mut self, logits: &Tensor) -> Result<Vec<Option<u32>>> {
        let (places, none) = self.places(logits)?;
        let v = logits.dim(1)? as f32;
        let largest = logits.max_keepdim(D::Minus1)?;
        // Of equals, which are frequent in bf16, the first; every index is exact in f32.
        let first = logits.broadcast_eq(&largest)?.where_cond(&places, &none)?.min(D::Minus1)?;
        // Nothing but zeros, or a number that is none.
        let nothing = (logits * 0.0)?.sum(D::Minus1)?;
        let found = Tensor::stack(&[first, nothing], 1)?.to_vec2::<f32>()?;
        let token = |row: Vec<f32>| (row[1] == 0.0 && row[0] < v).then_some(row[0] as u32);
        Ok(found.into_iter().map(token).collect())
    }

    /// They are made once for all steps: a card would be sent them each time.
    fn places(&mut self, logits: &Tensor) -> Result<(Tensor, Tensor)> {
        let fits = |(_, none): &&(Tensor, Tensor)| {
            none.shape() == logits.shape() && none.device().same_device(logits.device())
        };
        if let Some(places) = self.places.as_ref().filter(fits) {
            return Ok(places.clone());
        }
        let ((b, v), device) = (logits.dims2()?, logits.device());
        let places = Tensor::arange(0u32, v as u32, device)?.to_dtype(DType::F32)?.unsqueeze(0)?;
        let none = Tensor::full(v as f32, (b, v), device)?;
        Ok(self.places.insert((places.broadcast_as((b, v))?.contiguous()?, none)).clone())
    }
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
        let mut greedy = Greedy::default();
        assert_eq!(greedy.best(&logits).unwrap(), wanted);
        assert_eq!(greedy.best(&logits.narrow(0, 3, 2).unwrap()).unwrap(), wanted[3..5]);
        assert!(rows.iter().any(|row| {
            let largest = row.iter().copied().fold(f32::MIN, f32::max);
            row.iter().filter(|logit| **logit == largest).count() > 1
        }));
    }

    #[test]
    fn numbers_that_are_not_finite_have_no_best() {
        let (no, up, down) = (f32::NAN, f32::INFINITY, f32::NEG_INFINITY);
        let rows = [[1.0, no], [up, 0.0], [2.0, down], [no, no], [3.0, 4.0], [f32::MIN, f32::MIN]];
        let logits = Tensor::new(&rows, &Device::Cpu).unwrap();
        assert_eq!(Greedy::default().best(&logits).unwrap(), [None, None, None, None, Some(1), Some(0)]);
    }
}
