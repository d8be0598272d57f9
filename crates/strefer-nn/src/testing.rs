//! Helpers for parity and gradient tests. They panic, as tests should.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use candle_core::backprop::GradStore;
use candle_core::{DType, Device, Tensor, Var};
use serde::de::DeserializeOwned;

use crate::card::open_card;
use crate::weights::Weights;

/// Where tests compute: on the processor, or on the first card where `STREFER_TEST_DEVICE` is `cuda` (one test at a time
/// then: `--test-threads=1`).
///
/// # Panics
/// When there is no card, or the variable says something else.
pub fn device() -> &'static Device {
    static DEVICE: LazyLock<Device> =
        LazyLock::new(|| match std::env::var("STREFER_TEST_DEVICE").as_deref() {
            Err(_) | Ok("cpu") => Device::Cpu,
            Ok("cuda") => {
                plain_products();
                open_card(0).unwrap_or_else(|error| panic!("STREFER_TEST_DEVICE: {error}"))
            }
            Ok(other) => panic!("STREFER_TEST_DEVICE is {other:?}: cpu or cuda"),
        });
    &DEVICE
}

/// With `STREFER_PLAIN_PRODUCTS` set, candle unpacks quantised weights on a card rather than launch products of its own, which
/// `scripts/soft-card` does not have.
pub fn plain_products() {
    #[cfg(feature = "cuda")]
    candle_core::quantized::cuda::set_force_dmmv(std::env::var_os("STREFER_PLAIN_PRODUCTS").is_some());
}

/// One recorded case: tensors from a safetensors file, and the configuration beside it.
#[derive(Debug)]
pub struct Golden {
    dir: PathBuf,
    weights: Weights,
}

impl Golden {
    /// Opens `dir/file.safetensors`.
    pub fn open(dir: &Path, file: &str) -> Self {
        let path = dir.join(format!("{file}.safetensors"));
        let weights = Weights::open(&path).unwrap_or_else(|error| panic!("golden: {error}"));
        Self { dir: dir.to_path_buf(), weights }
    }

    /// A tensor as stored, flags (u8) included, on [`device`]; floating point becomes f32, and i32, which cards hardly know,
    /// i64. One without values stays on the processor.
    pub fn tensor(&self, name: &str) -> Tensor {
        let stored = self.weights.dtype(name);
        let stored = stored.unwrap_or_else(|| panic!("{:?} has no tensor {name:?}", self.weights));
        let dtype = match stored {
            DType::I32 => DType::I64,
            stored if stored.is_float() => DType::F32,
            stored => stored,
        };
        let tensor = self.weights.load(name, dtype, &Device::Cpu);
        let tensor = tensor.unwrap_or_else(|error| panic!("golden: {error}"));
        if tensor.elem_count() == 0 {
            return tensor;
        }
        tensor.to_device(device()).unwrap_or_else(|error| panic!("golden: {error}"))
    }

    /// Whether the case holds a tensor.
    pub fn contains(&self, name: &str) -> bool {
        self.weights.contains(name)
    }

    /// All names.
    pub fn names(&self) -> Vec<String> {
        self.weights.names().map(str::to_string).collect()
    }

    /// The tensors as weights.
    pub fn weights(&self) -> Weights {
        self.weights.clone()
    }

    /// `file` of the same folder, parsed.
    pub fn config<T: DeserializeOwned>(&self, file: &str) -> T {
        let path = self.dir.join(file);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// All values as f64.
pub fn values(xs: &Tensor) -> Vec<f64> {
    let flat = xs.detach().to_dtype(DType::F64).and_then(|xs| xs.flatten_all()).and_then(|xs| xs.to_vec1());
    flat.unwrap_or_else(|error| panic!("{error}"))
}

/// The largest difference between two tensors of one shape.
pub fn max_abs_diff(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.dims(), b.dims(), "shapes differ");
    let diff = |(a, b): (f64, f64)| if a.is_nan() || b.is_nan() { f64::INFINITY } else { (a - b).abs() };
    values(a).into_iter().zip(values(b)).map(diff).fold(0.0, f64::max)
}

/// The largest difference, relative to the largest value of `wanted` (0 when both are zero everywhere).
pub fn relative_diff(found: &Tensor, wanted: &Tensor) -> f64 {
    let diff = max_abs_diff(found, wanted);
    let largest = values(wanted).into_iter().map(f64::abs).fold(0.0, f64::max);
    if diff == 0.0 { 0.0 } else { diff / largest.max(f64::MIN_POSITIVE) }
}

/// Fails unless the tensors agree to `tolerance`, relative to the largest value of `wanted`.
#[track_caller]
pub fn assert_close(found: &Tensor, wanted: &Tensor, tolerance: f64) {
    let diff = relative_diff(found, wanted);
    assert!(diff <= tolerance, "differ by {diff:e} of the largest value, {tolerance:e} allowed");
}

/// Fails unless every variable has a gradient with a finite, non-zero value.
#[track_caller]
pub fn assert_all_grads(vars: &BTreeMap<String, Var>, grads: &GradStore) {
    assert!(!vars.is_empty(), "no variables");
    let flows = |var: &Var| {
        grads.get(var).is_some_and(|grad| {
            let grad = values(grad);
            grad.iter().all(|x| x.is_finite()) && grad.iter().any(|x| *x != 0.0)
        })
    };
    let dry: Vec<&String> = vars.iter().filter(|(_, var)| !flows(var)).map(|(name, _)| name).collect();
    assert!(dry.is_empty(), "no gradient reaches {dry:?}");
}

/// Compares the gradient of `sum(f(inputs) * coefficients)` with central differences at a few entries of each input.
/// Inputs should be of order one.
#[track_caller]
pub fn assert_gradients_by_differences(
    inputs: &[Tensor],
    tolerance: f64,
    f: impl Fn(&[Tensor]) -> candle_core::Result<Tensor>,
) {
    let run = || -> candle_core::Result<()> {
        let mut rng = strefer_core::Rng::new(11, "differences");
        let vars = inputs.iter().map(Var::from_tensor).collect::<candle_core::Result<Vec<_>>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let out = f(&tensors)?;
        let coefficients: Vec<f32> = (0..out.elem_count()).map(|_| rng.normal() as f32).collect();
        let coefficients = Tensor::from_vec(coefficients, out.shape(), out.device())?;
        let grads = (out * &coefficients)?.sum_all()?.backward()?;
        let objective = |inputs: &[Tensor]| -> candle_core::Result<f64> {
            let out = values(&f(inputs)?);
            Ok(out.iter().zip(values(&coefficients)).map(|(x, c)| x * c).sum())
        };
        for (at, input) in inputs.iter().enumerate() {
            let grad = grads.get(&vars[at]).unwrap_or_else(|| panic!("input {at} has no gradient"));
            let grad = values(grad);
            let largest = grad.iter().fold(1e-3f64, |m, x| m.max(x.abs()));
            let base: Vec<f32> = input.flatten_all()?.to_vec1()?;
            for _ in 0..8 {
                let entry = rng.below(base.len());
                let step = 2e-2f32;
                let shifted = |by: f32| -> candle_core::Result<f64> {
                    let mut moved = base.clone();
                    moved[entry] += by;
                    let mut all = inputs.to_vec();
                    all[at] = Tensor::from_vec(moved, input.shape(), input.device())?;
                    objective(&all)
                };
                // Fourth order, so that the step may be large against rounding.
                let slope = (8.0 * (shifted(step)? - shifted(-step)?)
                    - (shifted(2.0 * step)? - shifted(-2.0 * step)?))
                    / (12.0 * f64::from(step));
                let error = (slope - grad[entry]).abs() / largest;
                assert!(
                    error <= tolerance,
                    "input {at}, entry {entry}: {slope} by differences, {}",
                    grad[entry]
                );
            }
        }
        Ok(())
    };
    run().unwrap_or_else(|error| panic!("{error}"));
}

/// Normal numbers, the same on every machine.
pub fn randn(seed: u64, dims: &[usize]) -> Tensor {
    let mut rng = strefer_core::Rng::new(seed, "test values");
    let values: Vec<f32> = (0..dims.iter().product()).map(|_| rng.normal() as f32).collect();
    Tensor::from_vec(values, dims, device()).unwrap_or_else(|error| panic!("{error}"))
}
