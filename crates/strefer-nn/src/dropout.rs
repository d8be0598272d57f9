//! Dropout whose draws can be made again: a layer that runs twice in a step drops the same.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{Result, Tensor};
use strefer_core::Rng;

use crate::ops;

/// Sets numbers to zero with a probability, and scales the rest up by as much, while a pass of training is announced. Clones
/// hear of the same passes.
#[derive(Debug, Clone)]
pub struct Dropout {
    probability: f64,
    pass: Arc<Mutex<Option<Rng>>>,
    place: String,
}

impl Dropout {
    /// With a probability of at least 0 and less than 1. Nothing is dropped before [`Dropout::begin`].
    pub fn new(probability: f64) -> Self {
        Self { probability, pass: Arc::default(), place: String::new() }
    }

    /// The same for a place in the model, which draws for itself.
    #[must_use]
    pub fn at(&self, place: impl Into<String>) -> Self {
        Self { place: place.into(), ..self.clone() }
    }

    /// A pass begins, forward and backward, that draws from `rng`; without one, nothing is dropped.
    pub fn begin(&self, rng: Option<Rng>) {
        *self.pass.lock().unwrap_or_else(PoisonError::into_inner) = rng;
    }

    /// `xs` with some numbers dropped.
    pub fn forward(&self, xs: &Tensor) -> Result<Tensor> {
        let pass = self.pass.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(pass) = pass.filter(|_| self.probability > 0.0) else { return Ok(xs.clone()) };
        ops::dropout(xs, &pass.named(&self.place), self.probability)
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    #[test]
    fn a_share_is_dropped_the_mean_stays_and_a_pass_can_be_repeated() {
        let xs = Tensor::ones((100, 100), DType::F32, &Device::Cpu).unwrap();
        let values = |dropout: &Dropout| {
            dropout.forward(&xs).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
        };
        let dropout = Dropout::new(0.2);
        let (one, other) = (dropout.at("q_proj"), dropout.at("v_proj"));
        assert!(values(&one).iter().all(|value| *value == 1.0));
        dropout.begin(Some(Rng::new(3, "test")));
        let first = values(&one);
        let zeros = first.iter().filter(|value| **value == 0.0).count();
        assert!((1850..2150).contains(&zeros), "{zeros}");
        assert!(first.iter().all(|value| *value == 0.0 || *value == 1.25));
        assert_eq!(first, values(&one));
        assert_ne!(first, values(&other));
        dropout.begin(Some(Rng::new(4, "test")));
        assert_ne!(first, values(&one));
        dropout.begin(None);
        assert!(values(&one).iter().all(|value| *value == 1.0));
    }
}
