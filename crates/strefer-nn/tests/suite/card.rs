//! On a card: kernels, the same operations composed there, and those on the processor, in value and gradient.
//! `cargo test -p strefer-nn --features cuda --test suite card -- --ignored`

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::quantized::{GgmlDType, QTensor};
use candle_core::{DType, Device, Result, Tensor, Var};
use strefer_core::Rng;
use strefer_nn::ops::{self, AttentionMask, CachedRows, Heads, Kernels, Pooled, Rotary};
use strefer_nn::optim::{AdamW, AdamWConfig, Gradients, MomentType};
use strefer_nn::testing::{max_abs_diff, plain_products, randn, relative_diff};
use strefer_nn::{Carrier, Dropout, Linear, Pass, Recompute, Tape, open_card};

/// Whether kernels are used is a setting of the process.
pub(crate) static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

const FLOATS: [(DType, f64); 3] = [(DType::F32, 2e-5), (DType::F16, 4e-3), (DType::BF16, 3e-2)];

type Operation<'a> = &'a dyn Fn(&[Tensor]) -> Result<Tensor>;

/// Result and gradients of all inputs, back on the processor in f32.
fn run(inputs: &[Tensor], device: &Device, dtype: DType, f: Operation<'_>) -> Result<Vec<Tensor>> {
    let there = |xs: &Tensor| Var::from_tensor(&xs.to_dtype(dtype)?.to_device(device)?);
    let vars = inputs.iter().map(there).collect::<Result<Vec<_>>>()?;
    let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor() * 1.0).collect::<Result<_>>()?;
    let out = f(&tensors)?;
    let coefficients = randn(99, out.dims()).to_dtype(out.dtype())?.to_device(device)?;
    // Of a single number: candle would ask the card for a list of no dimensions.
    let grads = (&out * coefficients)?.flatten_all()?.sum_all()?.backward()?;
    let grads = vars.iter().map(|var| grads.get(var).cloned().expect("a gradient"));
    let back = |xs: Tensor| xs.detach().to_dtype(DType::F32)?.to_device(&Device::Cpu);
    std::iter::once(out.clone()).chain(grads).map(back).collect()
}

/// Fails where there is no card: a comparison that did not happen is none.
pub(crate) fn card() -> Device {
    plain_products();
    open_card(0).expect("a card")
}

/// Does `work` by these kernels, and leaves the process as it was, also when the work fails.
pub(crate) fn by<R>(kernels: Kernels, work: impl FnOnce() -> R) -> R {
    struct Before;
    impl Drop for Before {
        fn drop(&mut self) {
            ops::use_kernels(Kernels::Composed);
        }
    }
    ops::use_kernels(kernels);
    let _before = Before;
    work()
}

/// Compares what `run` finds on the processor with what it finds on a card, by kernels and composed. It gets a device, the type
/// that inputs are rounded to, and the type to compute in.
fn assert_everywhere(what: &str, run: impl Fn(&Device, DType, DType) -> Result<Vec<Tensor>>) {
    assert_by(&[Kernels::Composed, Kernels::Fused], what, run);
}

/// [`assert_everywhere`] of what may be done in other ways.
fn assert_by(ways: &[Kernels], what: &str, run: impl Fn(&Device, DType, DType) -> Result<Vec<Tensor>>) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let card = card();
    for (dtype, tolerance) in FLOATS {
        let wanted = run(&Device::Cpu, dtype, DType::F32).unwrap();
        for &kernels in ways {
            let found = by(kernels, || run(&card, dtype, dtype));
            for (at, (found, wanted)) in found.unwrap().iter().zip(&wanted).enumerate() {
                let diff = relative_diff(found, wanted);
                let near = diff <= tolerance || max_abs_diff(found, wanted) < 1e-6;
                assert!(near, "{what} in {dtype:?}, {kernels:?}, result {at}: {diff:e}");
            }
        }
    }
}

/// Values and gradients of `f`.
fn assert_same(what: &str, inputs: &[Tensor], f: Operation<'_>) {
    assert_everywhere(what, |device, rounded, dtype| {
        let inputs = inputs.iter().map(|xs| xs.to_dtype(rounded)?.to_dtype(DType::F32));
        run(&inputs.collect::<Result<Vec<_>>>()?, device, dtype, f)
    });
}

#[test]
#[ignore = "needs a card"]
fn card_rows_are_those_of_the_processor() {
    for (rows, d) in [(1, 8), (5, 17), (700, 96), (33, 1152), (9, 3584), (3, 5001)] {
        let (xs, weight, bias) = (randn(1, &[rows, d]), randn(2, &[d]), randn(3, &[d]));
        let what = format!("{rows} rows of {d}");
        assert_same(&what, std::slice::from_ref(&xs), &|v| ops::softmax_last(&v[0]));
        let inputs = [xs.clone(), weight.clone()];
        assert_same(&what, &inputs, &|v| ops::rms_norm(&v[0], &v[1], 1e-5));
        assert_same(&what, &inputs, &|v| ops::layer_norm(&v[0], &v[1], None, 1e-5));
        let inputs = [xs, randn(4, &[rows, d]), weight, bias];
        assert_same(&what, &[0, 2, 3].map(|at: usize| inputs[at].clone()), &|v| {
            ops::layer_norm(&v[0], &v[1], Some(&v[2]), 1e-5)
        });
        assert_everywhere(&format!("a sum of {what}"), |device, rounded, dtype| {
            let there = |xs: &Tensor| xs.to_dtype(rounded)?.to_dtype(dtype)?.to_device(device);
            let (sum, normed) =
                ops::sum_rms_norm(&there(&inputs[0])?, &there(&inputs[1])?, &there(&inputs[2])?, 1e-5)?;
            let back = |xs: Tensor| xs.to_dtype(DType::F32)?.to_device(&Device::Cpu);
            Ok(vec![back(sum)?, back(normed)?])
        });
    }
}

#[test]
#[ignore = "needs a card"]
fn card_activations_are_those_of_the_processor() {
    for count in [1, 7, 4096, 100_003] {
        let (xs, up) = ((randn(1, &[count]) * 3.0).unwrap(), randn(2, &[count]));
        let what = format!("{count} values");
        let one = std::slice::from_ref(&xs);
        assert_same(&what, one, &|v| ops::gelu_erf(&v[0]));
        assert_same(&what, one, &|v| ops::gelu_tanh(&v[0]));
        assert_same(&what, one, &|v| ops::silu(&v[0]));
        assert_same(&what, one, &|v| ops::scaled(&v[0], DType::F32, 0.25)?.to_dtype(v[0].dtype()));
        assert_same(&what, &[xs.clone(), up.clone()], &|v| ops::swiglu(&v[0], &v[1]));
        let both = Tensor::stack(&[xs, up], 0).unwrap().reshape((1, 2 * count)).unwrap();
        assert_same(&what, &[both], &|v| ops::swiglu_joined(&v[0]));
    }
}

#[test]
#[ignore = "needs a card"]
fn card_products_with_quantised_weights_are_those_with_what_they_stand_for() {
    let card = card();
    let weight = randn(1, &[24, 512]);
    // Few rows are rounded to 8 bits, and so are rows in f32.
    for (rows, dtype, tolerance) in [
        (3, DType::F32, 3e-2),
        (3, DType::BF16, 3e-2),
        (70, DType::F32, 3e-2),
        (70, DType::F16, 4e-3),
        (70, DType::BF16, 2e-2),
    ] {
        for blocks in [GgmlDType::Q8_0, GgmlDType::Q4K] {
            let inputs = [randn(2, &[2, rows / 2 + 1, 512])];
            let unpacked = QTensor::quantize(&weight, blocks).unwrap().dequantize(&Device::Cpu).unwrap();
            let wanted =
                run(&inputs, &Device::Cpu, DType::F32, &|v| ops::linear(&v[0], &unpacked, None)).unwrap();
            let there = weight.to_device(&card).unwrap();
            let mut layer = Linear::new(there.clone(), None);
            layer.quantise(Arc::new(QTensor::quantize(&there, blocks).unwrap())).unwrap();
            let found = run(&inputs, &card, dtype, &|v| v[0].apply(&layer)).unwrap();
            for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
                let diff = relative_diff(found, wanted);
                assert!(diff <= tolerance, "{rows} rows of {dtype:?} by {blocks:?}, result {at}: {diff:e}");
            }
        }
    }
}

#[test]
#[ignore = "needs a card"]
fn card_norms_of_gradients_are_those_of_the_processor() {
    let shapes: [&[usize]; 6] = [&[], &[1], &[15], &[4096], &[96, 131], &[48, 4096]];
    for (dtype, tolerance) in FLOATS {
        let squares = |device: &Device| {
            let mut grads = Gradients::default();
            for (at, shape) in shapes.into_iter().enumerate() {
                let grad = randn(at as u64, shape).to_dtype(dtype).unwrap();
                grads.insert(format!("{at}"), grad.to_device(device).unwrap());
            }
            grads.squares().unwrap()
        };
        for (found, wanted) in squares(&card()).into_iter().zip(squares(&Device::Cpu)) {
            assert!((found / wanted - 1.0).abs() < tolerance, "{dtype:?}: {found} for {wanted}");
        }
    }
}

#[test]
#[ignore = "needs a card"]
fn card_rotations_are_those_of_the_processor_in_both_layouts() {
    for (b, nh, nkv, s, hd) in [(1, 2, 1, 5, 6), (2, 4, 2, 33, 64), (1, 14, 2, 130, 128)] {
        let angles = randn(4, &[1, s, hd / 2]);
        let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
        let there = |table: &Tensor, like: &Tensor| table.to_device(like.device());
        let what = format!("{b} x {nh} heads of {hd} at {s} positions");
        let xs = randn(1, &[b, nh, s, hd]);
        assert_same(&what, &[xs], &|v| ops::rotary(&v[0], &there(&cos, &v[0])?, &there(&sin, &v[0])?));
        let inputs = [randn(1, &[b, s, nh * hd]), randn(2, &[b, s, nkv * hd]), randn(3, &[b, s, nkv * hd])];
        let heads = Heads { query: nh, key: nkv, scale: (hd as f64).powf(-0.5) };
        assert_same(&what, &inputs, &|v| {
            let table = |table: &Tensor| there(table, &v[0])?.to_dtype(v[0].dtype());
            let rotary = Rotary { cos: table(&cos)?, sin: table(&sin)? };
            ops::multi_head_attention(&v[0], &v[1], &v[2], heads, Some(&rotary), &AttentionMask::causal())
        });
    }
}

#[test]
#[ignore = "needs a card"]
fn card_attention_is_that_of_the_processor() {
    let padded: Vec<bool> = (0..2 * 150).map(|at| at % 150 >= 30).collect();
    let segments: Vec<i32> = (0..150).map(|at| at / 40).collect();
    let causal = AttentionMask::causal;
    for (b, nh, nkv, s, t, hd, mask) in [
        (2, 4, 4, 200, 200, 64, AttentionMask::bidirectional()),
        (1, 8, 2, 300, 300, 128, causal()),
        (1, 4, 1, 130, 700, 72, causal()),
        (2, 4, 2, 150, 150, 80, causal().with_padding(2, &padded).unwrap()),
        (1, 4, 2, 150, 150, 96, causal().with_segments(1, &segments).unwrap()),
        (1, 2, 2, 300, 300, 144, causal().with_window(Some(50))),
        (1, 8, 2, 1, 3000, 128, causal()),
    ] {
        let (q, k) = ([b, nh, s, hd], [b, nkv, t, hd]);
        let inputs = [randn(1, &q), randn(2, &k), randn(3, &k)];
        let scale = (hd as f64).powf(-0.5);
        let what = format!("{b} x {nh}/{nkv} heads of {hd}, {s} queries, {t} keys");
        assert_same(&what, &inputs, &|v| ops::attention(&v[0], &v[1], &v[2], scale, &mask));
    }
}

#[test]
#[ignore = "needs a card"]
fn card_attention_by_cudnn_is_that_of_the_processor() {
    let causal = AttentionMask::causal;
    let ids: Vec<i32> = (0..2 * 300).map(|at| [4, 4, 9, -1, 0, 7][at / 100]).collect();
    let padded: Vec<i32> =
        (0..2 * 300).map(|at| if at % 300 < 170 + at / 300 * 130 { 0 } else { -1 }).collect();
    for (b, nh, nkv, s, t, hd, mask) in [
        (2, 4, 4, 200, 200, 64, AttentionMask::bidirectional()),
        (1, 8, 2, 300, 300, 128, causal()),
        (2, 14, 2, 129, 129, 64, causal()),
        (2, 4, 2, 300, 300, 96, causal().with_segments(2, &ids).unwrap()),
        (2, 4, 2, 300, 300, 64, causal().with_segments(2, &padded).unwrap()),
        (3, 4, 2, 300, 300, 64, AttentionMask::bidirectional().with_segments(1, &ids[..300]).unwrap()),
        (1, 4, 4, 90, 250, 128, AttentionMask::bidirectional()),
        (1, 8, 2, 100, 700, 128, causal()),
    ] {
        let (q, k) = ([b, s, nh * hd], [b, t, nkv * hd]);
        let inputs = [randn(1, &q), randn(2, &k), randn(3, &k)];
        let heads = Heads { query: nh, key: nkv, scale: (hd as f64).powf(-0.5) };
        let what = format!("{b} x {nh}/{nkv} heads of {hd}, {s} queries, {t} keys");
        let ways = [Kernels::Composed, Kernels::Fused, Kernels::Cudnn];
        let runs = ops::cudnn_runs();
        assert_by(&ways, &what, |device, rounded, dtype| {
            let inputs = inputs.iter().map(|xs| xs.to_dtype(rounded)?.to_dtype(DType::F32));
            run(&inputs.collect::<Result<Vec<_>>>()?, device, dtype, &|v| {
                ops::multi_head_attention(&v[0], &v[1], &v[2], heads, None, &mask)
            })
        });
        // Both directions in both narrow types; another way of attending is no comparison.
        assert_eq!(ops::cudnn_runs() - runs, 4, "{what}");
    }
}

#[test]
#[ignore = "needs a card"]
fn card_attention_by_cudnn_reads_views_where_they_lie() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let card = card();
    let there = |xs: &Tensor| xs.to_dtype(DType::BF16).unwrap().to_device(&card).unwrap();
    // A width of heads that only the forward takes.
    let heads = Heads { query: 8, key: 2, scale: 0.1 };
    let (q, buffer) = (randn(1, &[2, 100, 8 * 72]), randn(2, &[2, 1024, 2 * 72]));
    let (q, cache) = (there(&q), there(&buffer).narrow(1, 0, 700).unwrap());
    let joined = there(&randn(3, &[2, 200, 12 * 72]));
    let [own_q, own_k, own_v] =
        [(0, 8), (8, 2), (10, 2)].map(|(at, heads)| joined.narrow(2, at * 72, heads * 72).unwrap());
    for (what, q, k, v) in [("a cache", &q, &cache, &cache), ("one product", &own_q, &own_k, &own_v)] {
        let run = |kernels: Kernels| {
            let ys =
                by(kernels, || ops::multi_head_attention(q, k, v, heads, None, &AttentionMask::causal()));
            ys.unwrap().to_dtype(DType::F32).unwrap().to_device(&Device::Cpu).unwrap()
        };
        let runs = ops::cudnn_runs();
        let diff = relative_diff(&run(Kernels::Cudnn), &run(Kernels::Composed));
        assert!(diff < 3e-2, "{what}: {diff:e}");
        assert_eq!(ops::cudnn_runs() - runs, 1, "{what}");
    }
}

#[test]
#[ignore = "needs a card"]
fn card_attention_reads_a_cache_where_it_lies() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let card = card();
    let there = |xs: &Tensor| xs.to_dtype(DType::BF16).unwrap().to_device(&card).unwrap();
    let (q, buffer) = (randn(1, &[1, 8, 1, 128]), randn(2, &[1, 2, 1024, 128]));
    let (q, cache) = (there(&q), there(&buffer).narrow(2, 0, 700).unwrap());
    let run = |kernels: Kernels| {
        let ys = by(kernels, || ops::attention(&q, &cache, &cache, 0.1, &AttentionMask::causal())).unwrap();
        ys.to_dtype(DType::F32).unwrap().to_device(&Device::Cpu).unwrap()
    };
    let diff = relative_diff(&run(Kernels::Fused), &run(Kernels::Composed));
    assert!(diff < 3e-2, "{diff:e}");
}

/// Prompts of rows one after the other, then steps of all rows: everything that was read.
fn answered(
    heads: Heads,
    hd: usize,
    window: Option<usize>,
    there: &dyn Fn(Tensor) -> Result<Tensor>,
) -> Result<Vec<Tensor>> {
    let mask = AttentionMask::causal().with_window(window);
    let attend = |rows: &CachedRows, layer: usize, seed: usize, [b, s]: [usize; 2]| -> Result<Tensor> {
        // As one product leaves them.
        let qkv = there(randn(seed as u64, &[b, s, (heads.query + 2 * heads.key) * hd]))?;
        let part = |start: usize, heads: usize| qkv.narrow(2, start * hd, heads * hd);
        let (q, k) = (part(0, heads.query)?, part(heads.query, heads.key)?);
        let v = part(heads.query + heads.key, heads.key)?;
        let angles = randn(seed as u64 + 1, &[b, s, hd / 2]);
        let rotary = Rotary { cos: there(angles.cos()?)?, sin: there(angles.sin()?)? };
        let ys = rows.attend(layer, [&q, &k, &v], heads, &rotary, &mask)?;
        ys.to_dtype(DType::F32)?.to_device(&Device::Cpu)
    };
    let lens = [700, 3, 130];
    let buffer = || there(Tensor::zeros((1, 1024, heads.key * hd), DType::F32, &Device::Cpu)?);
    let kept = (0..2 * lens.len()).map(|_| Ok([buffer()?, buffer()?])).collect::<Result<Vec<_>>>()?;
    let mut found = Vec::new();
    for (row, &s) in lens.iter().enumerate() {
        let alone = CachedRows::new(vec![0], vec![kept[row].clone(), kept[lens.len() + row].clone()])?;
        for layer in 0..2 {
            found.push(attend(&alone, layer, 10 * row + 100 * layer, [1, s])?);
        }
    }
    for step in 0..3 {
        let rows = CachedRows::new(lens.map(|len| len + step).to_vec(), kept.clone())?;
        for layer in 0..2 {
            found.push(attend(&rows, layer, 1000 + 10 * step + 100 * layer, [lens.len(), 1])?);
        }
    }
    Ok(found)
}

#[test]
#[ignore = "needs a card"]
fn card_steps_of_several_rows_are_those_of_the_processor() {
    for (query, key, hd, window) in [(28, 4, 128, None), (8, 8, 96, Some(64)), (14, 2, 64, None)] {
        let heads = Heads { query, key, scale: (hd as f64).powf(-0.5) };
        assert_everywhere(&format!("{query}/{key} heads of {hd}"), |device, rounded, dtype| {
            let there = |xs: Tensor| xs.to_dtype(rounded)?.to_dtype(dtype)?.to_device(device);
            answered(heads, hd, window, &there)
        });
    }
}

#[test]
#[ignore = "needs a card"]
fn card_products_of_few_rows_are_those_of_the_processor() {
    for (rows, d, o) in
        [(1, 8, 5), (1, 3584, 4608), (3, 200, 70), (8, 1000, 33), (16, 3584, 1025), (12, 72, 64)]
    {
        let inputs = [randn(1, &[rows, d]), (randn(2, &[o, d]) * 0.1).unwrap(), randn(3, &[o])];
        for bias in [true, false] {
            assert_everywhere(
                &format!("{rows} rows of {d} to {o}, bias {bias}"),
                |device, rounded, dtype| {
                    let there = |xs: &Tensor| xs.to_dtype(rounded)?.to_dtype(dtype)?.to_device(device);
                    let bias = if bias { Some(there(&inputs[2])?) } else { None };
                    let ys = ops::linear(&there(&inputs[0])?, &there(&inputs[1])?, bias.as_ref())?;
                    Ok(vec![ys.to_dtype(DType::F32)?.to_device(&Device::Cpu)?])
                },
            );
        }
    }
}

#[test]
#[ignore = "needs a card"]
fn card_layers_are_those_of_the_processor() {
    for (rows, d, o, rank) in [(20, 72, 40, 8), (300, 1152, 4304, 16), (33, 96, 8, 64)] {
        let shapes = [vec![2, rows, d], vec![o, d], vec![o], vec![2, rows, rank], vec![o, rank]];
        let inputs: Vec<Tensor> =
            (1..).zip(&shapes).map(|(seed, dims)| (randn(seed, dims) * 0.2).unwrap()).collect();
        let what = format!("{rows} rows of {d} to {o} by {rank}");
        assert_same(&what, &inputs[..3], &|v| ops::linear(&v[0], &v[1], Some(&v[2])));
        assert_same(&what, &inputs[..3], &|v| ops::linear_gelu(&v[0], &v[1], Some(&v[2]), ops::Gelu::Tanh));
        // Of a product that nobody reads only the gradients are there.
        assert_everywhere(&format!("unread, {what}"), |device, rounded, dtype| {
            let inputs = inputs[..3].iter().map(|xs| xs.to_dtype(rounded)?.to_dtype(DType::F32));
            let f = |v: &[Tensor]| ops::linear_unread(&v[0], &v[1], Some(&v[2]));
            Ok(run(&inputs.collect::<Result<Vec<_>>>()?, device, dtype, &f)?.split_off(1))
        });
        let (weight, bias) = (inputs[1].clone(), inputs[2].clone());
        let learns = [0, 3, 4].map(|at: usize| inputs[at].clone());
        assert_same(&what, &learns, &|v| {
            let there = |xs: &Tensor| xs.to_dtype(v[0].dtype())?.to_device(v[0].device());
            ops::linear_updated(&v[0], &there(&weight)?, Some(&there(&bias)?), &v[1], &v[2])
        });
        assert_everywhere(&format!("GELU of {what}"), |device, rounded, dtype| {
            let there = |xs: &Tensor| xs.to_dtype(rounded)?.to_dtype(dtype)?.to_device(device);
            let (xs, weight, bias) = (there(&inputs[0])?, there(&weight)?, there(&bias)?);
            let ys = ops::linear_gelu(&xs, &weight, Some(&bias), ops::Gelu::Tanh)?;
            Ok(vec![ys.to_dtype(DType::F32)?.to_device(&Device::Cpu)?])
        });
    }
}

#[test]
#[ignore = "needs a card"]
fn card_filters_are_those_of_the_processor() {
    for (dims, k) in [([2, 5, 4, 3], 3), ([1, 27, 27, 96], 3), ([1, 14, 14, 40], 7)] {
        let inputs = [randn(1, &dims), randn(2, &[dims[3], 1, k, k])];
        assert_same(&format!("{dims:?} under {k}"), &inputs, &|v| ops::depthwise(&v[0], &v[1]));
    }
}

#[test]
#[ignore = "needs a card"]
fn card_pooling_is_that_of_the_processor() {
    for (frames, patches, d) in [(1, 9, 5), (4, 729, 1152)] {
        let mut pooled = Pooled::over(patches);
        for nth in 0..7usize {
            let mask: Vec<f32> = (0..patches).map(|at| ((at + nth) % 3) as f32 / 2.0).collect();
            pooled.push((nth % frames) as u32, &mask);
        }
        let feats = randn(1, &[frames, patches, d]);
        assert_same(&format!("{frames} frames"), &[feats], &|v| ops::mask_pool(&v[0], pooled.clone()));
    }
}

#[test]
#[ignore = "needs a card"]
fn card_cross_entropy_is_that_of_the_processor() {
    for (n, d, v, chunk) in [(5, 8, 11, 2), (300, 64, 5003, 128)] {
        let inputs = [randn(1, &[n, d]), (randn(2, &[v, d]) * 0.2).unwrap(), randn(3, &[v])];
        let labels: Vec<i64> =
            (0..n).map(|row| if row % 4 == 1 { -100 } else { (row * 7 % v) as i64 }).collect();
        assert_same(&format!("{n} rows over {v}"), &inputs, &|t| {
            let labels = Tensor::new(&labels[..], t[0].device())?;
            Ok(ops::linear_cross_entropy(&t[0], &t[1], Some(&t[2]), &labels, -100, chunk)?.sum)
        });
    }
}

#[test]
#[ignore = "needs a card"]
fn card_updates_are_those_of_the_processor() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let shapes: [(&str, &[usize]); 3] = [("a", &[7]), ("b", &[70, 300]), ("c", &[4099])];
    let stepped = |device: &Device, dtype: DType, cfg: AdamWConfig| -> Result<BTreeMap<String, Tensor>> {
        let there = |seed, shape| randn(seed, shape).to_dtype(dtype)?.to_device(device);
        let var = |(name, shape): (&str, _)| Ok((name.to_owned(), Var::from_tensor(&there(1, shape)?)?));
        let vars = shapes.into_iter().map(var).collect::<Result<BTreeMap<_, _>>>()?;
        let mut optimiser = AdamW::new(&vars, cfg, &[])?;
        for step in 0..3 {
            let mut grads = Gradients::default();
            // One gets no gradient in one step, and so its own number of steps.
            for (name, shape) in shapes.into_iter().filter(|(name, _)| *name != "c" || step != 1) {
                grads.insert(name, there(2 + step, shape)?);
            }
            optimiser.step_scaled(&grads, 0.01, 0.5)?;
        }
        let own = vars.iter().map(|(name, var)| (name.clone(), var.as_detached_tensor()));
        let state = optimiser.state_dict()?;
        // It continues where it was.
        let own: Vec<(String, Tensor)> =
            own.map(|(name, xs)| Ok((name, xs.copy()?))).collect::<Result<_>>()?;
        let others = own.iter().map(|(name, xs)| Ok((name.clone(), Var::from_tensor(xs)?)));
        let others = others.collect::<Result<BTreeMap<_, _>>>()?;
        let mut other = AdamW::new(&others, cfg, &[])?;
        other.load_state_dict(&state).unwrap();
        let mut grads = Gradients::default();
        shapes.into_iter().try_for_each(|(name, shape)| {
            grads.insert(name, there(9, shape)?);
            Ok::<_, candle_core::Error>(())
        })?;
        let next = |optimiser: &mut AdamW| {
            optimiser.step_scaled(&grads, 0.01, 0.5)?;
            let numbers = |xs: &Tensor| xs.to_dtype(DType::F32)?.flatten_all()?.to_vec1::<f32>();
            optimiser.state_dict()?.values().map(numbers).collect::<Result<Vec<_>>>()
        };
        assert!(next(&mut optimiser)? == next(&mut other)?, "{cfg:?} in {dtype:?} does not continue");
        own.into_iter().chain(state).map(|(name, xs)| Ok((name, xs.to_device(&Device::Cpu)?))).collect()
    };
    let usual = AdamWConfig::default();
    let eight = AdamWConfig { moments: MomentType::EightBit, ..usual };
    for (dtype, _) in FLOATS {
        for (kernels, cfg) in [(Kernels::Composed, usual), (Kernels::Fused, usual), (Kernels::Fused, eight)] {
            let wanted = stepped(&Device::Cpu, dtype, cfg).unwrap();
            let card = card();
            let found = by(kernels, || stepped(&card, dtype, cfg)).unwrap();
            assert_eq!(found.len(), wanted.len());
            for (name, wanted) in &wanted {
                // Rounded in other places, a number lies next to another value's name.
                let names = wanted.dtype() == DType::U8;
                let found = found[name].to_dtype(DType::F32).unwrap();
                let wanted = wanted.to_dtype(DType::F32).unwrap();
                let diff = if names { max_abs_diff(&found, &wanted) } else { relative_diff(&found, &wanted) };
                let allowed = match (names, dtype) {
                    (true, _) => 1.0,
                    // What one other name is worth.
                    (false, _) if cfg.moments == MomentType::EightBit => 4e-3,
                    (false, DType::F32) => 2e-6,
                    // The weight itself is rounded.
                    (false, _) if !name.contains('.') => 4e-3,
                    (false, _) => 2e-6,
                };
                assert!(diff <= allowed, "{name} in {dtype:?}, {kernels:?}, {cfg:?}: {diff:e}");
            }
        }
    }
    let var = Var::from_tensor(&randn(1, &[5000]).to_device(&card()).unwrap()).unwrap();
    let error = AdamW::new(&BTreeMap::from([("w".to_owned(), var)]), eight, &[]).err().unwrap();
    assert!(error.to_string().contains("STREFER_KERNELS=fused"), "{error}");
}

#[test]
#[ignore = "needs a card"]
fn card_gradients_of_a_tape_are_those_of_candle() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let card = card();
    // A layer's ways: a sum past a norm, one input of several products, candle's own operations on both sides.
    let net = |vars: &BTreeMap<String, Var>, recompute: Option<&Recompute>| -> Result<Tensor> {
        let (up, down, scale) = (
            vars["up"].as_tensor().clone(),
            vars["down"].as_tensor().clone(),
            vars["scale"].as_tensor().clone(),
        );
        let xs = (vars["xs"].as_tensor().narrow(0, 1, 6)? * 0.5)?;
        let dropout = Dropout::new(0.3);
        dropout.begin(Some(Rng::new(1, "card")));
        let layer = move |xs: &Tensor, _: Pass| {
            let normed = ops::rms_norm(xs, &scale, 1e-6)?;
            let (gate, beside) = (ops::linear(&normed, &up, None)?, ops::linear(&normed, &up, None)?);
            let inner = ops::swiglu(&gate, &beside.reshape((2, 3, 64))?.reshape((6, 64))?)?;
            let inner = dropout.forward(&inner)?;
            ops::sum(xs, &ops::linear(&inner, &down, None)?)
        };
        let mut xs = xs;
        for _ in 0..2 {
            xs = match recompute {
                Some(recompute) => recompute.run("layer", &xs, layer.clone())?,
                None => layer(&xs, Pass::Forward)?,
            };
        }
        let labels = Tensor::new(&[1i64, 5, -100, 63, 0, 7], &Device::Cpu)?;
        Ok(ops::linear_cross_entropy(&xs, vars["up"].as_tensor(), None, &labels, -100, 2)?.sum)
    };
    for (dtype, tolerance) in FLOATS {
        let grads = |taped: bool, again: bool| -> Result<Gradients> {
            let shapes: [(&str, &[usize]); 4] =
                [("xs", &[8, 32]), ("up", &[64, 32]), ("down", &[32, 64]), ("scale", &[32])];
            let var = |(at, (name, shape)): (usize, (&str, &[usize]))| {
                let values = (randn(at as u64, shape) * 0.2)?.to_dtype(dtype)?.to_device(&card)?;
                Ok((name.to_owned(), Var::from_tensor(&values)?))
            };
            let vars = shapes.into_iter().enumerate().map(var).collect::<Result<BTreeMap<_, _>>>()?;
            let recompute = again.then(Recompute::default);
            let store = if taped {
                let tape = Tape::begin(&card);
                tape.backward(&net(&vars, recompute.as_ref())?)?
            } else {
                net(&vars, recompute.as_ref())?.backward()?
            };
            let mut found = Gradients::collect(&vars, &store);
            if let Some(recompute) = recompute {
                recompute.add_to(&mut found, &vars)?;
            }
            Ok(found)
        };
        let ways = [(false, false), (true, false), (false, true), (true, true)];
        let all = by(Kernels::Fused, || ways.map(|(taped, again)| grads(taped, again)));
        let [wanted, others @ ..] = all.map(Result::unwrap);
        for found in others {
            assert_eq!(found.len(), 4);
            for (name, wanted) in wanted.iter() {
                let diff = relative_diff(found.get(name).unwrap(), wanted);
                assert!(diff < tolerance, "{name} in {dtype:?}: {diff:e}");
            }
        }
    }
}

#[test]
#[ignore = "needs a card"]
fn card_gets_what_is_brought_to_it() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let card = card();
    let mut carrier = Carrier::to(&card).unwrap().unwrap();
    assert!(carrier.take().is_err() && carrier.bring(&[]).is_err());
    // More, less, and what nobody took in between.
    for (turn, counts) in
        [vec![3usize, 700], vec![5000], vec![1, 2, 3], vec![9000, 1]].into_iter().enumerate()
    {
        let all: Vec<Tensor> =
            counts.iter().map(|&count| randn((turn + count) as u64, &[count, 2])).collect();
        carrier.bring(&[&randn(77, &[4, 4])]).unwrap();
        carrier.bring(&all.iter().collect::<Vec<_>>()).unwrap();
        let found = carrier.take().unwrap();
        assert_eq!(found.len(), all.len());
        for (found, wanted) in found.iter().zip(&all) {
            assert!(found.device().same_device(&card) && found.dims() == wanted.dims());
            let found = found.to_device(&Device::Cpu).unwrap();
            assert_eq!(max_abs_diff(&found, wanted), 0.0);
        }
        assert!(carrier.take().is_err());
    }
    let strided = randn(1, &[3, 4]).t().unwrap();
    assert!(carrier.bring(&[&strided]).is_err() && carrier.take().is_err());
    assert!(Carrier::to(&Device::Cpu).unwrap().is_none());
}
