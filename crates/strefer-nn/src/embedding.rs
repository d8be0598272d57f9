//! A table of vectors looked up by id.

use std::sync::Arc;

use candle_core::quantized::QTensor;
use candle_core::{Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use candle_nn::init::Init;

/// Maps ids to rows of a table.
#[derive(Debug, Clone)]
pub struct Embedding {
    weight: Tensor,
    /// Stands for `weight` where there is one.
    quantised: Option<Arc<QTensor>>,
}

impl Embedding {
    /// A table of `count` vectors of width `dim`; fresh ones are normal with deviation `1 / √dim`, so that a token
    /// weighs as much as what small fresh layers add to it.
    pub fn new(count: usize, dim: usize, vb: VarBuilder) -> Result<Self> {
        let init = Init::Randn { mean: 0.0, stdev: 1.0 / (dim.max(1) as f64).sqrt() };
        Ok(Self { weight: vb.get_with_hints((count, dim), "weight", init)?, quantised: None })
    }

    /// Takes a quantised table in the place of the plain one, for answering.
    ///
    /// # Errors
    /// A table of another shape.
    pub fn quantise(&mut self, table: Arc<QTensor>) -> Result<()> {
        if table.shape() != self.weight.shape() {
            bail!("a quantised table of {:?} for one of {:?}", table.shape(), self.weight.shape());
        }
        self.quantised = Some(table);
        Ok(())
    }

    /// `(count, d)`
    pub fn weight(&self) -> &Tensor {
        &self.weight
    }
}

impl Module for Embedding {
    /// `ids`: `(..)` → `(.., d)`
    fn forward(&self, ids: &Tensor) -> Result<Tensor> {
        if let Some(table) = &self.quantised {
            return table.embedding(ids)?.to_dtype(self.weight.dtype());
        }
        let mut dims = ids.dims().to_vec();
        dims.push(self.weight.dim(1)?);
        self.weight.index_select(&ids.flatten_all()?, 0)?.reshape(dims)
    }
}
