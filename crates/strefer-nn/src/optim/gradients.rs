//! Gradients by parameter name, always summed in the order of the names.

use std::collections::BTreeMap;

use candle_core::backprop::GradStore;
use candle_core::{DType, Result, Tensor, Var};

use crate::card::moved;
use crate::ops::scaled;

/// Detached gradients of the parameters that got one.
#[derive(Debug, Clone, Default)]
pub struct Gradients(BTreeMap<String, Tensor>);

impl Gradients {
    /// Picks the gradients of `vars` out of what `backward` returned.
    pub fn collect(vars: &BTreeMap<String, Var>, store: &GradStore) -> Self {
        let pick = |(name, var): (&String, &Var)| Some((name.clone(), store.get(var)?.detach()));
        Self(vars.iter().filter_map(pick).collect())
    }

    /// Adds another set, for gradient accumulation.
    pub fn add(&mut self, other: Self) -> Result<()> {
        for (name, grad) in other.0 {
            let sum = match self.0.get(&name) {
                Some(sum) => (sum + grad)?,
                None => grad,
            };
            self.0.insert(name, sum);
        }
        Ok(())
    }

    /// Multiplies every gradient.
    pub fn scale(&mut self, factor: f64) -> Result<()> {
        for grad in self.0.values_mut() {
            *grad = scaled(grad, grad.dtype(), factor)?;
        }
        Ok(())
    }

    /// The root of the sum of all squares.
    pub fn norm(&self) -> Result<f64> {
        Ok(self.squares()?.into_iter().sum::<f64>().sqrt())
    }

    /// Shrinks the gradients to norm `max_norm` if theirs is larger, and returns the norm they had. See
    /// [`Gradients::clip_factor`].
    pub fn clip(&mut self, max_norm: f64) -> Result<f64> {
        let norm = self.norm()?;
        if Self::clip_factor(norm, max_norm) != 1.0 {
            self.scale(Self::clip_factor(norm, max_norm))?;
        }
        Ok(norm)
    }

    /// What gradients of this norm are multiplied with for it to become `max_norm`: `max_norm / (norm + 1e-6)`, and 1 where the
    /// norm is not larger, or not finite: the caller decides.
    pub fn clip_factor(norm: f64, max_norm: f64) -> f64 {
        if norm.is_finite() && norm > max_norm { max_norm / (norm + 1e-6) } else { 1.0 }
    }

    /// The sums of all gradients' squares, in the order of the names. A card is waited for once.
    pub fn squares(&self) -> Result<Vec<f64>> {
        #[cfg(feature = "cuda")]
        if let Some(squares) = crate::ops::squares(&self.0.values().collect::<Vec<_>>())? {
            return Ok(squares);
        }
        let squares = self.0.values().map(sum_of_squares).collect::<Result<Vec<Tensor>>>()?;
        let Some(first) = squares.first() else { return Ok(Vec::new()) };
        let together =
            squares.iter().map(|square| moved(square, first.device())).collect::<Result<Vec<_>>>()?;
        Ok(Tensor::stack(&together, 0)?.to_vec1::<f32>()?.into_iter().map(f64::from).collect())
    }

    /// The gradient of one parameter.
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// Sets the gradient of one parameter.
    pub fn insert(&mut self, name: impl Into<String>, grad: Tensor) {
        self.0.insert(name.into(), grad.detach());
    }

    /// All of them, in the order of the names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, grad)| (name.as_str(), grad))
    }

    /// How many parameters have a gradient.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether no parameter has a gradient.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// In f32. A card sums in two turns: candle gives one sum to one block of threads.
fn sum_of_squares(grad: &Tensor) -> Result<Tensor> {
    // Of a single number, too: candle asks a card for a list of its dimensions, and cards give out no empty ones.
    let flat = grad.flatten_all()?;
    let count = flat.elem_count();
    let width = 1 << count.trailing_zeros().min(12);
    let squares = flat.to_dtype(DType::F32)?.sqr()?;
    if squares.device().is_cpu() || width == 1 || width == count {
        return squares.sum_all();
    }
    squares.reshape((count / width, width))?.sum(1)?.sum_all()
}
