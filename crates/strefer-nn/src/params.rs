//! Named parameters: values from a checkpoint or a seeded initialisation, some of them trainable.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Device, Shape, Tensor, Var};
use candle_nn::VarBuilder;
use candle_nn::init::{Init, NormalOrUniform};
use candle_nn::var_builder::SimpleBackend;
use strefer_core::Rng;

use crate::error::{Error, Result};
use crate::storage::let_go;
use crate::weights::Weights;

type Predicate = Arc<dyn Fn(&str) -> bool + Send + Sync>;

/// The parameters of a model under construction. Clones share the parameters.
///
/// Values come from [`ParamStore::with_weights`] where it has them, and otherwise from the seed, the parameter's name
/// and the layer's hint, so they do not depend on the order in which layers are built. Names chosen by
/// [`ParamStore::trainable`] become variables; all others are constants, and no gradient is computed for them.
#[derive(Clone)]
pub struct ParamStore {
    seed: u64,
    device: Device,
    dtype: DType,
    weights: Option<Arc<Weights>>,
    trainable: Predicate,
    hollow: Predicate,
    elsewhere: Predicate,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    vars: BTreeMap<String, Var>,
    constants: BTreeMap<String, Tensor>,
    initialised: Vec<String>,
}

impl std::fmt::Debug for ParamStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let state = self.state();
        write!(f, "ParamStore({} variables, {} constants)", state.vars.len(), state.constants.len())
    }
}

impl ParamStore {
    /// An empty store in which nothing is trainable yet.
    pub fn new(seed: u64, device: &Device, dtype: DType) -> Self {
        Self {
            seed,
            device: device.clone(),
            dtype,
            weights: None,
            trainable: Arc::new(|_| false),
            hollow: Arc::new(|_| false),
            elsewhere: Arc::new(|_| false),
            state: Arc::default(),
        }
    }

    /// Takes values from `weights` where it has the name.
    #[must_use]
    pub fn with_weights(mut self, weights: Weights) -> Self {
        self.weights = Some(Arc::new(weights));
        self
    }

    /// Chooses which names become variables.
    #[must_use]
    pub fn trainable(mut self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.trainable = Arc::new(predicate);
        self
    }

    /// Chooses names whose values are put into the model otherwise: they take no memory and are all zero.
    #[must_use]
    pub fn hollow(mut self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.hollow = Arc::new(predicate);
        self
    }

    /// Chooses names whose values come later: they have a shape and no memory until [`crate::refill`].
    #[must_use]
    pub fn elsewhere(mut self, predicate: impl Fn(&str) -> bool + Send + Sync + 'static) -> Self {
        self.elsewhere = Arc::new(predicate);
        self
    }

    /// Lets go of the weights that values were taken from, and of their files.
    #[must_use]
    pub fn without_weights(mut self) -> Self {
        self.weights = None;
        self
    }

    /// What models are built from.
    pub fn var_builder(&self) -> VarBuilder<'static> {
        VarBuilder::from_backend(Box::new(self.clone()), self.dtype, self.device.clone())
    }

    /// The variables made so far, by name.
    pub fn vars(&self) -> BTreeMap<String, Var> {
        self.state().vars.clone()
    }

    /// All parameters made so far, variables and constants, detached.
    pub fn tensors(&self) -> BTreeMap<String, Tensor> {
        let state = self.state();
        let vars = state.vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor()));
        let constants = state.constants.iter().map(|(name, tensor)| (name.clone(), tensor.clone()));
        vars.chain(constants).collect()
    }

    /// Parameters that were initialised although weights were given.
    pub fn missing(&self) -> Vec<String> {
        if self.weights.is_none() { Vec::new() } else { self.state().initialised.clone() }
    }

    /// Tensors of the weights that no layer asked for.
    pub fn unexpected(&self) -> Vec<String> {
        let state = self.state();
        let known = |name: &str| state.vars.contains_key(name) || state.constants.contains_key(name);
        let names = self.weights.iter().flat_map(|weights| weights.names());
        names.filter(|name| !known(name)).map(str::to_string).collect()
    }

    /// Fails when a parameter was missing from the weights, or a tensor of the weights was not used.
    pub fn check_complete(&self) -> Result<()> {
        self.check_missing(|_| false)?;
        let names = self.unexpected();
        if names.is_empty() { Ok(()) } else { Err(Error::UnexpectedTensors { origin: self.origin(), names }) }
    }

    /// Fails when a parameter was missing from the weights, save those for which `allowed` holds.
    pub fn check_missing(&self, allowed: impl Fn(&str) -> bool) -> Result<()> {
        let names: Vec<String> = self.missing().into_iter().filter(|name| !allowed(name)).collect();
        if names.is_empty() { Ok(()) } else { Err(Error::MissingTensors { origin: self.origin(), names }) }
    }

    fn origin(&self) -> String {
        self.weights.as_ref().map_or_else(String::new, |weights| weights.origin().to_string())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn make(
        &self,
        shape: &Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> Result<(Tensor, bool)> {
        match &self.weights {
            // Zeros that nobody touches are no memory yet.
            _ if (self.elsewhere)(name) => Ok((Tensor::zeros(shape, dtype, device)?, false)),
            _ if (self.hollow)(name) => Ok((Tensor::zeros((), dtype, device)?.broadcast_as(shape)?, false)),
            Some(weights) if weights.contains(name) => {
                Ok((weights.load_shaped(name, shape.dims(), dtype, device)?, false))
            }
            _ => Ok((initialise(self.seed, name, shape, init, dtype, device)?, true)),
        }
    }
}

impl SimpleBackend for ParamStore {
    fn get(
        &self,
        shape: Shape,
        name: &str,
        init: Init,
        dtype: DType,
        device: &Device,
    ) -> candle_core::Result<Tensor> {
        let mut state = self.state();
        let known = state.vars.get(name).map(|var| var.as_tensor()).or_else(|| state.constants.get(name));
        if let Some(tensor) = known {
            if tensor.shape() != &shape {
                candle_core::bail!(
                    "parameter {name:?} was made as {:?}, asked for as {shape:?}",
                    tensor.shape()
                );
            }
            return Ok(tensor.clone());
        }
        let (tensor, initialised) =
            self.make(&shape, name, init, dtype, device).map_err(Error::into_candle)?;
        if initialised {
            state.initialised.push(name.to_string());
        }
        let tensor = if (self.trainable)(name) {
            let var = Var::from_tensor(&tensor)?;
            let tensor = var.as_tensor().clone();
            state.vars.insert(name.to_string(), var);
            tensor
        } else {
            state.constants.insert(name.to_string(), tensor.clone());
            tensor
        };
        if (self.elsewhere)(name) {
            let_go(&tensor)?;
        }
        Ok(tensor)
    }

    fn get_unchecked(&self, name: &str, dtype: DType, device: &Device) -> candle_core::Result<Tensor> {
        let shape = self.weights.as_ref().and_then(|weights| weights.shape(name).map(<[usize]>::to_vec));
        match shape {
            Some(shape) => self.get(shape.into(), name, Init::Const(0.), dtype, device),
            None => Err(Error::MissingTensor { origin: self.origin(), name: name.to_string() }.into_candle()),
        }
    }

    fn contains_tensor(&self, name: &str) -> bool {
        let state = self.state();
        state.vars.contains_key(name)
            || state.constants.contains_key(name)
            || self.weights.as_ref().is_some_and(|weights| weights.contains(name))
    }
}

/// Fresh values for one parameter, a pure function of seed, name, shape and hint.
fn initialise(
    seed: u64,
    name: &str,
    shape: &Shape,
    init: Init,
    dtype: DType,
    device: &Device,
) -> candle_core::Result<Tensor> {
    let mut rng = Rng::new(seed, "parameters").named(name);
    let count = shape.elem_count();
    let mut normal = |mean: f64, std: f64| (0..count).map(|_| (mean + std * rng.normal()) as f32).collect();
    let values: Vec<f32> = match init {
        Init::Const(value) => vec![value as f32; count],
        Init::Randn { mean, stdev } => normal(mean, stdev),
        Init::Uniform { lo, up } => (0..count).map(|_| rng.range(lo, up) as f32).collect(),
        Init::Kaiming { dist, fan, non_linearity } => {
            let std = non_linearity.gain() / (fan.for_shape(shape).max(1) as f64).sqrt();
            let bound = 3f64.sqrt() * std;
            match dist {
                NormalOrUniform::Normal => normal(0.0, std),
                NormalOrUniform::Uniform => (0..count).map(|_| rng.range(-bound, bound) as f32).collect(),
            }
        }
    };
    Tensor::from_vec(values, shape.clone(), &Device::Cpu)?.to_dtype(dtype)?.to_device(device)
}
