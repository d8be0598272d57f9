//! How fast memory is read, which bounds decoding.

use anyhow::Result;
use candle_core::{DType, Tensor};
use rayon::prelude::*;
use serde::Deserialize;

use super::{Place, Prepared};

/// Numbers that one thread sums at a time.
const PORTION: usize = 1 << 16;
/// Sums beside each other, so that additions do not wait for each other.
const LANES: usize = 64;

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Memory {
    mib: usize,
}

impl Memory {
    pub(super) fn prepare(&self, place: &Place) -> Result<Prepared> {
        if place.device.is_cpu() {
            return Ok(self.on_processor());
        }
        // Rows enough for all of a card to have some.
        let values = Tensor::ones((self.mib << 4, 1 << 14), DType::F32, &place.device)?;
        let work = move || {
            values.sum(1)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters: 0 })
    }

    fn on_processor(&self) -> Prepared {
        let values = vec![1.0f32; self.mib << 18];
        let work = move || {
            let sum: f64 = values.par_chunks(PORTION).map(sum).sum();
            anyhow::ensure!(sum == values.len() as f64, "{sum} is not the sum of {} ones", values.len());
            Ok(())
        };
        Prepared { work: Box::new(work), parameters: 0 }
    }
}

fn sum(values: &[f32]) -> f64 {
    let mut sums = [0.0f32; LANES];
    let rows = values.chunks_exact(LANES);
    let rest: f32 = rows.remainder().iter().sum();
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, value)| *sum += value);
    }
    f64::from(sums.iter().sum::<f32>() + rest)
}
