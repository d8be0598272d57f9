//! Layers whose weights lie on the ranks by turns (ZeRO-3, arXiv 1910.02054): each tensor has one owner, comes to the others
//! for its layer's turn, and its gradient goes to the owner alone. The next layer's weights come while a layer
//! computes.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use candle_core::backprop::GradStore;
use candle_core::{DType, Tensor, Var, bail};
use strefer_nn::optim::Gradients;
use strefer_nn::{LayerWatch, Pass, host_copy, let_go, refill};

use crate::error::Result;
use crate::ranks::{Owners, Ranks};

/// The layers that are shared. Every rank goes through them in the same order, so that what they exchange fits together; who
/// exchanges something else must call [`Layers::settle`] first.
pub(crate) struct Layers {
    inner: Arc<Inner>,
    jobs: Mutex<Option<Sender<Job>>>,
    worker: Option<JoinHandle<()>>,
}

struct Inner {
    ranks: Ranks,
    owners: Owners,
    layers: Vec<Layer>,
    state: Mutex<State>,
    changed: Condvar,
}

struct Layer {
    name: String,
    /// All parameters, by name.
    tensors: BTreeMap<String, Tensor>,
    /// Those that learn.
    vars: BTreeMap<String, Var>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Only what this rank owns is here.
    Away,
    /// The rest was asked for.
    Asked,
    Here,
}

struct State {
    places: Vec<Place>,
    /// Whether all layers stay where they are.
    held: bool,
    /// Work that is not done.
    open: usize,
    sums: Gradients,
    fault: Option<String>,
}

enum Job {
    Gather(usize),
    Reduce(usize, BTreeMap<String, Tensor>),
}

/// The layer that a parameter belongs to: its path up to the number behind `layers`, below `path`.
pub(crate) fn layer_of<'a>(path: &str, name: &'a str) -> Option<&'a str> {
    let rest = name.strip_prefix(path)?.strip_prefix('.')?;
    let number = rest.split('.').next()?;
    number.parse::<usize>().ok()?;
    Some(&name[..path.len() + 1 + number.len()])
}

impl Layers {
    /// The layers below `path` out of a model's tensors and those of them that learn. What other ranks own has no values
    /// yet; tensors without an owner stay on every rank.
    pub(crate) fn new(
        ranks: Ranks,
        owners: Owners,
        path: &str,
        tensors: &BTreeMap<String, Tensor>,
        vars: &BTreeMap<String, Var>,
    ) -> Self {
        let mut found: BTreeMap<usize, Layer> = BTreeMap::new();
        for (name, tensor) in tensors.iter().filter(|(name, _)| owners.of(name).is_some()) {
            let Some(layer) = layer_of(path, name) else { continue };
            let number = layer.rsplit('.').next().and_then(|number| number.parse().ok()).unwrap_or_default();
            let entry = found.entry(number).or_insert_with(|| Layer {
                name: layer.to_owned(),
                tensors: BTreeMap::new(),
                vars: BTreeMap::new(),
            });
            entry.tensors.insert(name.clone(), tensor.clone());
            entry.vars.extend(vars.get(name).map(|var| (name.clone(), var.clone())));
        }
        let layers: Vec<Layer> = found.into_values().collect();
        let state = State {
            places: vec![Place::Away; layers.len()],
            held: false,
            open: 0,
            sums: Gradients::default(),
            fault: None,
        };
        let inner =
            Arc::new(Inner { ranks, owners, layers, state: Mutex::new(state), changed: Condvar::new() });
        let (jobs, received) = channel();
        let worker = Arc::clone(&inner);
        let worker = std::thread::spawn(move || worker.work(&received));
        Self { inner, jobs: Mutex::new(Some(jobs)), worker: Some(worker) }
    }

    /// Whether a parameter comes and goes.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.inner.layers.iter().any(|layer| layer.tensors.contains_key(name))
    }

    /// Waits for everything that is under way, and gives the gradients that came to this rank.
    pub(crate) fn settle(&self) -> Result<Gradients> {
        let mut state = self.inner.wait(|state| state.open == 0)?;
        Ok(std::mem::take(&mut state.sums))
    }

    /// Brings all layers here until `work` is done, which all ranks do.
    pub(crate) fn all_here<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let count = self.inner.layers.len();
        (0..count).for_each(|at| self.ask(at));
        drop(self.inner.wait(|state| state.places.iter().all(|place| *place == Place::Here))?);
        self.settle()?;
        self.inner.state().held = true;
        let done = work();
        self.inner.state().held = false;
        (0..count).try_for_each(|at| self.inner.release(at))?;
        Ok(done)
    }

    /// Copies of all parameters of the layers, on the first rank's host; nothing on the others.
    pub(crate) fn collect(&self) -> Result<BTreeMap<String, Tensor>> {
        let mut all = BTreeMap::new();
        for (at, layer) in self.inner.layers.iter().enumerate() {
            self.ask(at);
            drop(self.inner.wait(|state| state.places[at] == Place::Here)?);
            if self.inner.ranks.is_first() {
                for (name, tensor) in &layer.tensors {
                    all.insert(name.clone(), host_copy(tensor)?);
                }
            }
            self.inner.release(at)?;
        }
        self.settle()?;
        Ok(all)
    }

    fn ask(&self, at: usize) {
        let mut state = self.inner.state();
        if state.places.get(at) == Some(&Place::Away) {
            state.places[at] = Place::Asked;
            drop(state);
            self.send(Job::Gather(at));
        }
    }

    fn send(&self, job: Job) {
        self.inner.state().open += 1;
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.as_ref().is_none_or(|jobs| jobs.send(job).is_err()) {
            self.inner.state().fault.get_or_insert_with(|| "the exchange of layers has ended".to_owned());
        }
    }
}

impl Drop for Layers {
    fn drop(&mut self) {
        *self.jobs.lock().unwrap_or_else(PoisonError::into_inner) = None;
        // Where another rank has failed, what is under way may never end.
        if self.inner.state().open == 0
            && let Some(worker) = self.worker.take()
        {
            // Its panics were caught, and it has nothing left to tell.
            let _ = worker.join();
        }
    }
}

impl LayerWatch for Layers {
    fn enter(&self, layer: &str, pass: Pass) -> candle_core::Result<()> {
        let inner = &self.inner;
        let Some(at) = inner.layers.iter().position(|own| own.name == layer) else { return Ok(()) };
        if inner.state().held {
            return Ok(());
        }
        self.ask(at);
        match pass {
            Pass::Forward => self.ask(at + 1),
            Pass::Backward => at.checked_sub(1).map_or((), |before| self.ask(before)),
        }
        drop(inner.wait(|state| state.places[at] == Place::Here)?);
        Ok(())
    }

    fn leave(&self, layer: &str, found: Option<&mut GradStore>) -> candle_core::Result<()> {
        let inner = &self.inner;
        let Some(at) = inner.layers.iter().position(|own| own.name == layer) else { return Ok(()) };
        if inner.state().held {
            return Ok(());
        }
        if let Some(found) = found {
            let mut own = BTreeMap::new();
            for (name, var) in &inner.layers[at].vars {
                let grad = found.remove(var.as_tensor()).map(|grad| grad.detach());
                let zeros = || Tensor::zeros(var.shape(), DType::F32, &inner.ranks.device());
                let grad = grad.map_or_else(zeros, Ok)?;
                own.insert(name.clone(), grad);
            }
            self.send(Job::Reduce(at, own));
        }
        inner.release(at)
    }
}

impl Inner {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait(&self, done: impl Fn(&State) -> bool) -> candle_core::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        loop {
            if let Some(fault) = &state.fault {
                bail!("{fault}");
            }
            if done(&state) {
                return Ok(state);
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// What others own goes away again.
    fn release(&self, at: usize) -> candle_core::Result<()> {
        for (name, tensor) in &self.layers[at].tensors {
            if !self.owners.owns(name) {
                let_go(tensor)?;
            }
        }
        self.state().places[at] = Place::Away;
        Ok(())
    }

    fn work(&self, jobs: &Receiver<Job>) {
        while let Ok(job) = jobs.recv() {
            // Whoever waits for it must hear of a panic, too.
            let done = catch_unwind(AssertUnwindSafe(|| match job {
                Job::Gather(at) => self.gather(at).map_err(|error| error.to_string()),
                Job::Reduce(at, own) => self.reduce(at, own).map_err(|error| error.to_string()),
            }));
            let done = done.unwrap_or_else(|_| Err("the exchange of layers has panicked".to_owned()));
            let mut state = self.state();
            state.open -= 1;
            if let Err(fault) = done {
                state.fault.get_or_insert(fault);
            }
            drop(state);
            self.changed.notify_all();
        }
    }

    fn gather(&self, at: usize) -> Result<()> {
        for (name, tensor) in &self.layers[at].tensors {
            let Some(owner) = self.owners.of(name) else { continue };
            let own = self.owners.owns(name);
            let values = match own {
                true => tensor.detach().flatten_all()?.to_device(&self.ranks.device())?,
                false => Tensor::zeros(tensor.elem_count(), tensor.dtype(), &self.ranks.device())?,
            };
            let values = self.ranks.broadcast(&format!("weights {name}"), &values, owner)?;
            if !own {
                refill(tensor, &values.reshape(tensor.shape())?.to_device(tensor.device())?)?;
            }
        }
        self.state().places[at] = Place::Here;
        Ok(())
    }

    fn reduce(&self, at: usize, mut own: BTreeMap<String, Tensor>) -> Result<()> {
        for (name, var) in &self.layers[at].vars {
            let (Some(owner), Some(grad)) = (self.owners.of(name), own.remove(name)) else { continue };
            let grad = grad.flatten_all()?.to_dtype(DType::F32)?.to_device(&self.ranks.device())?;
            if let Some(sum) = self.ranks.reduce(&format!("gradient of {name}"), &grad, owner)? {
                let sum = sum.reshape(var.shape())?.to_dtype(var.dtype())?.to_device(var.device())?;
                let mut part = Gradients::default();
                part.insert(name.clone(), sum);
                self.state().sums.add(part)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::layer_of;

    #[test]
    fn a_parameter_belongs_to_the_layer_of_its_number() {
        let path = "language_model.model.layers";
        let of = |name| layer_of(path, name);
        assert_eq!(
            of("language_model.model.layers.11.mlp.up_proj.weight"),
            Some("language_model.model.layers.11")
        );
        assert_eq!(of("language_model.model.norm.weight"), None);
        assert_eq!(of("language_model.model.layers_of.1.weight"), None);
        assert_eq!(of("language_model.model.layers.first.weight"), None);
    }
}
