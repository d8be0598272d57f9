//! A product of two square matrices, which says what a machine can do at most.

use anyhow::Result;
use serde::Deserialize;

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
