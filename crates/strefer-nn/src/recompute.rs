//! Layers that keep only their inputs and run again in the backward (arXiv 1604.06174). A step then holds one layer's
//! intermediate results at a time, for the price of a second forward.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::backprop::GradStore;
use candle_core::{Result, Tensor, Var};

use crate::known::with_backward;
use crate::optim::Gradients;
use crate::tape::{self, Tape};

/// Which way a step goes through the layers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pass {
    /// From the first to the last.
    Forward,
    /// From the last to the first.
    Backward,
}

/// Whoever must know when a layer's weights are needed: where they lie with other ranks, or are moved.
pub trait LayerWatch: Send + Sync {
    /// The layer of that name runs next.
    fn enter(&self, layer: &str, pass: Pass) -> Result<()>;

    /// It is through. In the backward, gradients of its parameters may be taken out of `found`.
    fn leave(&self, layer: &str, found: Option<&mut GradStore>) -> Result<()>;
}

/// Runs layers so that they run again in the backward, and holds the gradients of their parameters until the step
/// collects them. Clones share what they hold.
#[derive(Clone, Default)]
pub struct Recompute {
    found: Arc<Mutex<Vec<GradStore>>>,
    watch: Option<Arc<dyn LayerWatch>>,
}

impl std::fmt::Debug for Recompute {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Recompute")
    }
}

impl Recompute {
    /// One that tells `watch` of every layer, in the backward of every one that ran, too.
    pub fn watched(watch: Arc<dyn LayerWatch>) -> Self {
        Self { found: Arc::default(), watch: Some(watch) }
    }

    /// `layer(xs)`, whose history is one entry: the backward computes `layer` again, gives `xs` its gradient and keeps
    /// those of the parameters inside for [`Recompute::add_to`]. `name` is the path of the layer's parameters. What the layer
    /// gives in [`Pass::Backward`] is not read: it has to lead gradients alone.
    pub fn run(
        &self,
        name: &str,
        xs: &Tensor,
        layer: impl Fn(&Tensor, Pass) -> Result<Tensor> + Send + Sync + 'static,
    ) -> Result<Tensor> {
        if let Some(watch) = &self.watch {
            watch.enter(name, Pass::Forward)?;
        }
        let taped = tape::is_on();
        let ys = tape::aside(|| layer(&xs.detach(), Pass::Forward))?;
        let tracked = xs.track_op() || ys.track_op() || self.watch.is_some();
        // The history of this pass goes here.
        let ys = if tracked { ys.detach() } else { ys };
        if let Some(watch) = &self.watch {
            watch.leave(name, None)?;
        }
        if !tracked {
            return Ok(ys); // Nothing in the layer or before it learns.
        }
        // An input without history would end the backward before the layer.
        let xs = if xs.track_op() { xs.clone() } else { Var::from_tensor(xs)?.as_tensor().clone() };
        let (found, watch, name) = (Arc::clone(&self.found), self.watch.clone(), name.to_owned());
        with_backward("recompute", &xs, &ys, move |xs, grad| {
            if let Some(watch) = &watch {
                watch.enter(&name, Pass::Backward)?;
            }
            let xs = if xs.is_variable() { xs.clone() } else { Var::from_tensor(&xs.detach())?.into_inner() };
            let tape = Tape::begin_if(taped);
            let ys = layer(&xs, Pass::Backward)?;
            let mut store = tape.backward_from(&ys, grad)?;
            let own = store.remove(&xs);
            if let Some(watch) = &watch {
                watch.leave(&name, Some(&mut store))?;
            }
            found.lock().unwrap_or_else(PoisonError::into_inner).push(store);
            Ok(own)
        })
    }

    /// Adds the gradients found since the last call to those of the rest of the model.
    pub fn add_to(&self, gradients: &mut Gradients, vars: &BTreeMap<String, Var>) -> Result<()> {
        let found = std::mem::take(&mut *self.found.lock().unwrap_or_else(PoisonError::into_inner));
        for store in &found {
            gradients.add(Gradients::collect(vars, store))?;
        }
        Ok(())
    }
}
