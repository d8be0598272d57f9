//! A product of two square matrices, which says what a machine can do at most, and linear layers over a few rows, which read
//! as much as they can.

use anyhow::Result;
use serde::Deserialize;

use strefer_nn::ops;

use super::{Place, Prepared};

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Product {
    side: usize,
}

impl Product {
    pub(super) fn prepare(&self, place: &Place) -> Result<Prepared> {
        let (a, b) = (place.normal((self.side, self.side))?, place.normal((self.side, self.side))?);
        let work = move || {
            a.matmul(&b)?;
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters: 0 })
    }
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Layer {
    rows: usize,
    input: usize,
    output: usize,
    /// How often it is applied, one time after the other.
    times: usize,
}

impl Layer {
    pub(super) fn prepare(&self, place: &Place) -> Result<Prepared> {
        let (xs, weight) = (place.normal((self.rows, self.input))?, place.normal((self.output, self.input))?);
        let times = self.times;
        let work = move || {
            for _ in 0..times {
                ops::linear(&xs, &weight, None)?;
            }
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters: 0 })
    }
}
