//! A table of vectors looked up by id.

use candle_core::{Module, Result, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;

/// Maps ids to rows of a table.
#[derive(Debug, Clone)]
pub struct Embedding {
    weight: Tensor,
}

impl Embedding {
    /// A table of `count` vectors of width `dim`; fresh ones are normal with deviation `1 / √dim`, so that a token
    /// weighs as much as what small fresh layers add to it.
    pub fn new(count: usize, dim: usize, vb: VarBuilder) -> Result<Self> {
        let init = Init::Randn { mean: 0.0, stdev: 1.0 / (dim.max(1) as f64).sqrt() };
        Ok(Self { weight: vb.get_with_hints((count, dim), "weight", init)? })
    }

    /// `(count, d)`
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}

impl Module for Embedding {
    /// `ids`: `(..)` → `(.., d)`
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        let mut dims = ids.dims().to_vec();
        dims.push(self.weight.dim(1)?);
        self.weight.index_select(&ids.flatten_all()?, 0)?.reshape(dims)
    }
}
