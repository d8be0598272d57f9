//! Layers that keep only their inputs and run again in the backward (arXiv 1604.06174). A step then holds one layer's
//! intermediate results at a time, for the price of a second forward.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use crate::known::with_backward;
use crate::optim::Gradients;

/// Runs layers so that they run again in the backward, and holds the gradients of their parameters until the step
/// collects them. Clones share what they hold.
#[derive(Clone, Default)]
pub struct Recompute {
    found: Arc<Mutex<Vec<GradStore>>>,
}

impl std::fmt::Debug for Recompute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recompute")
    }
}

impl Recompute {
    /// `layer(xs)`, whose history is one entry: the backward computes `layer` again, gives `xs` its gradient and keeps
    /// those of the parameters inside for [`Recompute::add_to`].
    pub fn run(
        &self,
        xs: &Tensor,
        layer: impl Fn(&Tensor) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Tensor> {
        let ys = layer(&xs.detach())?;
        if !xs.track_op() && !ys.track_op() {
            return Ok(ys); // Nothing in the layer or before it learns.
        }
        // The history of this pass goes here.
        let ys = ys.detach().force_contiguous()?;
        // An input without history would end the backward before the layer.
        let xs = if xs.track_op() { xs.clone() } else { Var::from_tensor(xs)?.as_tensor().clone() };
        let found = Arc::clone(&self.found);
        with_backward("recompute", &xs, &ys, move |xs, grad| {
            let xs = Var::from_tensor(&xs.detach())?;
            let ys = layer(xs.as_tensor())?;
            let mut store = (ys * grad.detach())?.sum_all()?.backward()?;
            let own = store.remove(xs.as_tensor()).map(|grad| grad.detach());
            found.lock().unwrap_or_else(PoisonError::into_inner).push(store);
            Ok(own)
        })
    }

    /// Adds the gradients found since the last call to those of the rest of the model.
    pub fn add_to(
        &self,
        gradients: &mut Gradients,
        vars: &std::collections::BTreeMap<String, Var>,
    ) -> Result<()> {
        let found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        for store in &found {
            gradients.add(Gradients::collect(vars, store))?;
        }
        Ok(())
    }
}
