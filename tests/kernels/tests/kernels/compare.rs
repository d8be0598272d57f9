//! How results of kernels are compared.

use candle_core::{DType, Result, Tensor, Var};
use strefer_kernel_tests::{Memory, Processor};
use strefer_nn::testing::{randn, values};

/// The types that kernels take.
pub const FLOATS: [DType; 3] = [DType::F32, DType::BF16, DType::F16];

/// Rows and widths: one of each, odd, those of packs and warps, wider than a block has threads.
pub const ROWS: [(usize, usize); 16] = [
    (1, 1),
    (3, 1),
    (1, 7),
    (5, 17),
    (2, 32),
    (4, 64),
    (3, 129),
    (70, 8),
    (300, 3),
    (37, 96),
    (1, 1031),
    (2, 1024),
    (3, 2056),
    (1, 5000),
    (0, 16),
    (2, 4352),
];

/// The same values, as `dtype` holds them.
pub fn rounded(xs: &Tensor, dtype: DType) -> Tensor {
    xs.to_dtype(dtype).unwrap()
}

/// Normal numbers that `dtype` holds.
pub fn numbers(seed: u64, dims: &[usize], dtype: DType) -> Tensor {
    rounded(&randn(seed, dims), dtype)
}

/// The values and gradients of `f` at f32 copies of `inputs`, under `grad`: the result, then a gradient for each input.
pub fn reference(inputs: &[&Tensor], grad: &Tensor, f: impl Fn(&[Tensor]) -> Result<Tensor>) -> Vec<Tensor> {
    let run = || -> Result<Vec<Tensor>> {
        let wide = |xs: &Tensor| xs.to_dtype(DType::F32);
        let vars = inputs.iter().map(|xs| Var::from_tensor(&wide(xs)?)).collect::<Result<Vec<_>>>()?;
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor() * 1.0).collect::<Result<_>>()?;
        let out = f(&tensors)?;
        let grads = (&out * wide(grad)?.reshape(out.shape())?)?.sum_all()?.backward()?;
        let grads = vars.iter().map(|var| grads.get(var).cloned().expect("a gradient"));
        Ok(std::iter::once(out.detach()).chain(grads).collect())
    };
    run().unwrap()
}

/// Runs kernels in several orders of their threads, once on values that lie crooked, and compares what they find with what is
/// wanted: up to the rounding of their type, and `tolerance` of the largest value, or of one.
#[track_caller]
pub fn assert_kernels(
    what: &str,
    tolerance: f64,
    wanted: &[Tensor],
    run: impl Fn(&Processor) -> Result<Vec<Memory>>,
) {
    assert_even_kernels(what, tolerance, wanted, &run);
    let crooked = results(what, Processor { order: 1, crooked: true }, run);
    assert_results(&format!("{what}, crooked"), &crooked, wanted, tolerance);
}

/// As [`assert_kernels`], for kernels that take no values that lie crooked.
#[track_caller]
pub fn assert_even_kernels(
    what: &str,
    tolerance: f64,
    wanted: &[Tensor],
    run: impl Fn(&Processor) -> Result<Vec<Memory>>,
) {
    let in_order = |order: u32| results(what, Processor { order, crooked: false }, &run);
    let bits = |found: &[Tensor]| -> Vec<u64> {
        found.iter().flat_map(|xs| values(xs).into_iter().map(f64::to_bits)).collect()
    };
    let (found, again) = (in_order(0), in_order(7));
    assert_eq!(bits(&found), bits(&again), "{what}: depends on the order of threads");
    assert_results(what, &found, wanted, tolerance);
}

fn results(what: &str, processor: Processor, run: impl Fn(&Processor) -> Result<Vec<Memory>>) -> Vec<Tensor> {
    let found = run(&processor).unwrap_or_else(|error| panic!("{what}: {error}"));
    found.iter().map(|memory| processor.download(memory).unwrap()).collect()
}

#[track_caller]
fn assert_results(what: &str, found: &[Tensor], wanted: &[Tensor], tolerance: f64) {
    assert_eq!(found.len(), wanted.len(), "{what}");
    for (at, (found, wanted)) in found.iter().zip(wanted).enumerate() {
        assert_near(&format!("{what}, result {at}"), found, wanted, tolerance);
    }
}

/// Up to the rounding of the type of `found`, and `tolerance` of the largest value of `wanted`, or of one.
#[track_caller]
pub fn assert_near(what: &str, found: &Tensor, wanted: &Tensor, tolerance: f64) {
    let half_digit = match found.dtype() {
        DType::BF16 => 2f64.powi(-8),
        DType::F16 => 2f64.powi(-11),
        _ => 0.0,
    };
    let (found, wanted) = (values(found), values(wanted));
    assert_eq!(found.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(0f64, |most, x| most.max(x.abs()));
    for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        // The smallest f16 lie 6e-8 apart.
        let allowed = wanted.abs() * half_digit * 1.01 + tolerance * largest.max(1.0) + half_digit * 1e-4;
        let near = (found - wanted).abs() <= allowed || (found.is_nan() && wanted.is_nan());
        assert!(near, "{what}, value {at}: {found:e} instead of {wanted:e}, {allowed:e} allowed");
    }
}
