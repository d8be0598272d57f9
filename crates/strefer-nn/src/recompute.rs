//! Layers that keep only their inputs and run again in the backward (arXiv 1604.06174). A step then holds one layer's
//! intermediate results at a time, for the price of a second forward.

use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::backprop::GradStore;
use candle_core::{CpuStorage, CustomOp2, Layout, Result, Shape, Tensor, Var};

use crate::optim::Gradients;

/// What a layer computes.
type Layer = dyn Fn(&Tensor) -> Result<Tensor> + Send + Sync;

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
        xs.apply_op2(&ys, Again { layer: Arc::new(layer), found: Arc::clone(&self.found) })
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

/// Gives its second input, which is what the layer makes of the first.
struct Again {
    layer: Arc<Layer>,
    found: Arc<Mutex<Vec<GradStore>>>,
}

impl CustomOp2 for Again {
    fn name(&self) -> &'static str {
        "recompute"
    }

    fn cpu_fwd(
        &self,
        _xs: &CpuStorage,
        _xs_layout: &Layout,
        ys: &CpuStorage,
        ys_layout: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        Ok((ys.try_clone(ys_layout)?, ys_layout.shape().clone()))
    }

    #[cfg(feature = "cuda")]
    fn cuda_fwd(
        &self,
        _xs: &candle_core::CudaStorage,
        _xs_layout: &Layout,
        ys: &candle_core::CudaStorage,
        ys_layout: &Layout,
    ) -> Result<(candle_core::CudaStorage, Shape)> {
        Ok((ys.try_clone(ys_layout)?, ys_layout.shape().clone()))
    }

    fn bwd(
        &self,
        xs: &Tensor,
        _ys: &Tensor,
        _res: &Tensor,
        grad: &Tensor,
    ) -> Result<(Option<Tensor>, Option<Tensor>)> {
        let xs = Var::from_tensor(&xs.detach())?;
        let ys = (self.layer)(xs.as_tensor())?;
        let mut store = (ys * grad.detach())?.sum_all()?.backward()?;
        let own = store.remove(xs.as_tensor()).map(|grad| grad.detach());
        self.found.lock().unwrap_or_else(PoisonError::into_inner).push(store);
        Ok((own, None))
    }
}
