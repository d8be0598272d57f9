//! What a model wants of its weights, found out before any of them is read.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device, Shape, Tensor};
use candle_nn::VarBuilder;
use candle_nn::init::Init;
use candle_nn::var_builder::SimpleBackend;

use super::Weights;
use crate::error::{Error, Result};

/// The parameters that a model asks for while it is built on [`Declared::var_builder`], with their shapes. It gets zeros
/// that need no memory, so that even the largest model is built at once. Clones share what they noted.
#[derive(Debug, Clone, Default)]
pub struct Declared {
    shapes: Arc<Mutex<BTreeMap<String, Vec<usize>>>>,
}

/// Everything in which weights and a model do not fit each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Where the weights come from.
    pub origin: String,
    /// What the model needs and the weights do not hold.
    pub missing: Vec<String>,
    /// What the weights hold and the model does not know.
    pub unexpected: Vec<String>,
    /// What has another shape than the model's.
    pub misshapen: Vec<Misshapen>,
}

/// A tensor of another shape than the model's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misshapen {
    /// The tensor.
    pub name: String,
    /// Its shape in the file.
    pub found: Vec<usize>,
    /// Its shape in the model.
    pub wanted: Vec<usize>,
}

impl fmt::Display for Mismatch {
    /// One line for each tensor.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}: {} tensors are missing, {} unexpected, {} of another shape",
            self.origin,
            self.missing.len(),
            self.unexpected.len(),
            self.misshapen.len()
        )?;
        for Misshapen { name, found, wanted } in &self.misshapen {
            write!(f, "\n  {name:?} has shape {found:?}, the model needs {wanted:?}")?;
        }
        for name in &self.missing {
            write!(f, "\n  {name:?} is missing")?;
        }
        for name in &self.unexpected {
            write!(f, "\n  {name:?} is unexpected")?;
        }
        Ok(())
    }
}

impl Declared {
    /// What the model is built from.
    pub fn var_builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), DType::F32, Device::Cpu)
    }

    /// Names and shapes noted so far.
    pub fn shapes(&self) -> BTreeMap<String, Vec<usize>> {
        self.shapes.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Compares what was asked for with what `weights` hold. Only headers are read.
    ///
    /// # Errors
    /// [`Error::Mismatch`] with every tensor that is missing, left over or of another shape.
    pub fn check(&self, weights: &Weights) -> Result<()> {
        let shapes = self.shapes();
        let mut mismatch = Mismatch {
            origin: weights.origin().to_owned(),
            missing: Vec::new(),
            unexpected: weights
                .names()
                .filter(|name| !shapes.contains_key(*name))
                .map(str::to_owned)
                .collect(),
            misshapen: Vec::new(),
        };
        for (name, wanted) in shapes {
            match weights.shape(&name) {
                None => mismatch.missing.push(name),
                Some(found) if found != wanted => {
                    let found = found.to_vec();
                    mismatch.misshapen.push(Misshapen { name, found, wanted });
                }
                Some(_) => {}
            }
        }
        let fits = [mismatch.missing.len(), mismatch.unexpected.len(), mismatch.misshapen.len()] == [0; 3];
        if fits { Ok(()) } else { Err(Error::Mismatch(Box::new(mismatch))) }
    }
}

impl SimpleBackend for Declared {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        _: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut shapes = self.shapes.lock().unwrap_or_else(PoisonError::into_inner);
        shapes.insert(name.to_owned(), shape.dims().to_vec());
        Tensor::zeros((), dtype, device)?.broadcast_as(shape)
    }

    fn get_unchecked(&self, name: &str, _: DType, _: &Device) -> candle_core::Result<Tensor> {
        candle_core::bail!("{name:?} was asked for without a shape")
    }

    fn contains_tensor(&self, _: &str) -> bool {
        true
    }
}
