//! The fused operations against the composed ones, in value and gradient, over many shapes; and their independence of
//! the number of threads.

use candle_core::{DType, Device, Result, Tensor, Var};
use strefer_core::Rng;
use strefer_nn::ops::{self, AttentionMask, Heads, Pooled, Rotary, composed};
use strefer_nn::testing::{max_abs_diff, randn, relative_diff};

/// Compares two versions of a function: the results, and the gradients of all inputs under random coefficients.
#[track_caller]
pub(crate) fn assert_same(
    what: &str,
    inputs: &[Tensor],
    tolerance: f64,
    fused: impl Fn(&[Tensor]) -> Result<Tensor>,
    composed: impl Fn(&[Tensor]) -> Result<Tensor>,
) {
    let run = |f: &dyn Fn(&[Tensor]) -> Result<Tensor>| -> Result<Vec<Tensor>> {
        let vars = inputs.iter().map(Var::from_tensor).collect::<Result<Vec<_>>>()?;
        // Through a view, so that inputs are the results of operations as they are in models.
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor() * 1.0).collect::<Result<_>>()?;
        let out = f(&tensors)?;
        let grads = (&out * randn(99, out.dims()))?.sum_all()?.backward()?;
        let grads = vars.iter().map(|var| grads.get(var).cloned().expect("a gradient"));
        Ok(std::iter::once(out.detach()).chain(grads).collect())
    };
    let (found, wanted) = (run(&fused).unwrap(), run(&composed).unwrap());
    for (at, (found, wanted)) in found.iter().zip(&wanted).enumerate() {
        let diff = relative_diff(found, wanted);
        let place = if at == 0 { "result".to_string() } else { format!("gradient {}", at - 1) };
        assert!(diff <= tolerance || max_abs_diff(found, wanted) < 1e-6, "{what}, {place}: {diff:e}");
    }
}

fn shapes() -> Vec<Vec<usize>> {
    let mut rng = Rng::new(3, "shapes");
    let mut shapes = vec![vec![1], vec![1, 1], vec![17], vec![3, 16], vec![2, 3, 15], vec![700, 96]];
    for _ in 0..12 {
        shapes.push(vec![1 + rng.below(5), 1 + rng.below(40), 1 + rng.below(90)]);
    }
    shapes
}

#[test]
fn fused_pointwise_operations_equal_the_composed_ones() {
    for shape in shapes() {
        let xs = (randn(1, &shape) * 3.0).unwrap();
        let up = randn(2, &shape);
        let what = format!("{shape:?}");
        let one = std::slice::from_ref(&xs);
        assert_same(&what, one, 2e-6, |v| ops::gelu_erf(&v[0]), |v| composed::gelu_erf(&v[0]));
        assert_same(&what, one, 2e-6, |v| ops::gelu_tanh(&v[0]), |v| composed::gelu_tanh(&v[0]));
        assert_same(&what, one, 2e-6, |v| ops::silu(&v[0]), |v| composed::silu(&v[0]));
        let swiglu = |v: &[Tensor]| composed::swiglu(&v[0], &v[1]);
        assert_same(&what, &[xs.clone(), up.clone()], 2e-6, |v| ops::swiglu(&v[0], &v[1]), swiglu);
        let both = Tensor::cat(&[xs, up], shape.len() - 1).unwrap();
        let one = std::slice::from_ref(&both);
        let joined = |v: &[Tensor]| composed::swiglu_joined(&v[0]);
        assert_same(&what, one, 2e-6, |v| ops::swiglu_joined(&v[0]), joined);
    }
}

#[test]
fn fused_rows_equal_the_composed_ones() {
    for shape in shapes() {
        let d = shape[shape.len() - 1];
        let (xs, weight, bias) = (randn(1, &shape), randn(2, &[d]), randn(3, &[d]));
        let what = format!("{shape:?}");
        let one = std::slice::from_ref(&xs);
        assert_same(&what, one, 3e-6, |v| ops::softmax_last(&v[0]), |v| composed::softmax_last(&v[0]));
        let inputs = [xs.clone(), weight.clone()];
        let rms = |v: &[Tensor]| composed::rms_norm(&v[0], &v[1], 1e-5);
        assert_same(&what, &inputs, 5e-6, |v| ops::rms_norm(&v[0], &v[1], 1e-5), rms);
        if d > 2 {
            // Over one or two values the norm is a step, whose slopes are rounding.
            let norm = |v: &[Tensor]| composed::layer_norm(&v[0], &v[1], None, 1e-5);
            assert_same(&what, &inputs, 2e-5, |v| ops::layer_norm(&v[0], &v[1], None, 1e-5), norm);
            let norm = |v: &[Tensor]| composed::layer_norm(&v[0], &v[1], Some(&v[2]), 1e-5);
            let fused = |v: &[Tensor]| ops::layer_norm(&v[0], &v[1], Some(&v[2]), 1e-5);
            assert_same(&what, &[xs, weight, bias], 2e-5, fused, norm);
        }
    }
}

#[test]
fn fused_linear_equals_the_composed_one_for_few_and_many_rows() {
    for (rows, d, o) in [
        (1, 7, 5),
        (2, 64, 33),
        (3, 16, 70),
        (8, 200, 900),
        (9, 8, 8),
        (65, 48, 96),
        (1, 600, 300),
        (300, 1, 1),
    ] {
        let (xs, weight, bias) = (randn(1, &[rows, d]), randn(2, &[o, d]), randn(3, &[o]));
        let what = format!("{rows} rows, {d} to {o}");
        let with = |v: &[Tensor]| composed::linear(&v[0], &v[1], Some(&v[2]));
        let inputs = [xs.clone(), weight.clone(), bias];
        assert_same(&what, &inputs, 5e-6, |v| ops::linear(&v[0], &v[1], Some(&v[2])), with);
        let without = |v: &[Tensor]| composed::linear(&v[0], &v[1], None);
        assert_same(&what, &[xs, weight], 5e-6, |v| ops::linear(&v[0], &v[1], None), without);
    }
    let (xs, weight) = (randn(1, &[2, 3]), randn(2, &[4, 5]));
    assert!(ops::linear(&xs, &weight, None).is_err());
}

#[test]
fn a_linear_layer_with_a_weight_in_bf16_equals_the_composed_one_in_f32() {
    // The last weight has more values than are widened at a time.
    for (rows, d, o) in
        [(1, 7, 5), (1, 600, 300), (3, 64, 33), (8, 48, 3000), (9, 16, 70), (130, 48, 96), (9, 900, 9999)]
    {
        let inputs = [randn(1, &[rows, d]), randn(2, &[o, d]), randn(3, &[o])];
        let half = |xs: &Tensor| xs.to_dtype(DType::BF16);
        let rounded = |xs: &Tensor| half(xs)?.to_dtype(DType::F32);
        for (dtype, tolerance) in [(DType::F32, 1e-5), (DType::BF16, 6e-3)] {
            let what = format!("{rows} rows of {dtype:?}, {d} to {o}");
            let fused = |v: &[Tensor]| {
                let ys = ops::linear(&v[0].to_dtype(dtype)?, &half(&v[1])?, Some(&half(&v[2])?))?;
                assert_eq!(ys.dtype(), dtype);
                ys.to_dtype(DType::F32)
            };
            let composed = |v: &[Tensor]| {
                let xs = if dtype == DType::BF16 { rounded(&v[0])? } else { v[0].clone() };
                composed::linear(&xs, &rounded(&v[1])?, Some(&rounded(&v[2])?))
            };
            let (found, wanted) = (fused(&inputs).unwrap(), composed(&inputs).unwrap());
            let diff = relative_diff(&found, &wanted);
            assert!(diff <= tolerance, "{what}: {diff:e}");
            // Gradients of what is bf16 are rounded to it, up to four times on their way, half a unit of 8 bits each.
            if o * d < 1 << 20 {
                assert_same(&what, &inputs, 4.0 / 512.0, fused, composed);
            }
            let without = ops::linear(&inputs[0], &half(&inputs[1]).unwrap(), None).unwrap();
            let wanted = composed::linear(&inputs[0], &rounded(&inputs[1]).unwrap(), None).unwrap();
            assert!(relative_diff(&without, &wanted) <= 1e-5, "{what}, no bias");
        }
    }
    let weight = randn(2, &[4, 5]).to_dtype(DType::BF16).unwrap();
    assert!(ops::linear(&randn(1, &[2, 3]), &weight, None).is_err());
}

#[test]
fn a_frozen_weight_gets_no_gradient_and_its_input_does() {
    let xs = Var::from_tensor(&randn(1, &[5, 8])).unwrap();
    let weight = randn(2, &[6, 8]);
    let grads = ops::linear(&xs, &weight, None).unwrap().sum_all().unwrap().backward().unwrap();
    assert!(grads.get(&xs).is_some() && grads.get(&weight).is_none());
}

#[test]
fn nothing_in_gives_nothing_out() {
    let none = |dims: &[usize]| Var::from_tensor(&randn(1, dims)).unwrap();
    let (xs, weight, scale) = (none(&[0, 8]), randn(2, &[6, 8]), randn(3, &[8]));
    let ys = ops::rms_norm(&ops::gelu_erf(&xs).unwrap(), &scale, 1e-6).unwrap();
    let ys = ops::linear(&ops::softmax_last(&ys).unwrap(), &weight, None).unwrap();
    assert_eq!(ys.dims(), [0, 6]);
    assert_eq!(ys.sum_all().unwrap().backward().unwrap().get(&xs).unwrap().dims(), [0, 8]);
    let q = none(&[2, 2, 3, 4]);
    let keys = none(&[2, 2, 0, 4]);
    let ys = ops::attention(&q, &keys, &keys, 1.0, &AttentionMask::bidirectional()).unwrap();
    assert_eq!(max_abs_diff(&ys, &ys.zeros_like().unwrap()), 0.0);
    assert!(ys.sum_all().unwrap().backward().is_ok());
}

#[test]
fn fused_rotation_equals_the_composed_one() {
    for (b, tables, nh, s, hd) in [(1, 1, 1, 1, 2), (2, 1, 3, 5, 8), (3, 3, 2, 7, 6), (2, 2, 8, 300, 64)] {
        let angles = randn(2, &[tables, s, hd / 2]);
        let (cos, sin) = (angles.cos().unwrap(), angles.sin().unwrap());
        let xs = randn(1, &[b, s, nh, hd]);
        let turn = |v: &[Tensor]| v[0].transpose(1, 2);
        assert_same(
            &format!("{b} {nh} {s} {hd}"),
            &[xs],
            1e-6,
            |v| ops::rotary(&turn(v)?, &cos, &sin),
            |v| composed::rotary(&turn(v)?.contiguous()?, &cos, &sin),
        );
    }
}

#[test]
fn fused_rotation_of_heads_side_by_side_equals_the_composed_one() {
    for (b, nh, s, hd, own) in
        [(1, 1, 1, 2, false), (2, 3, 5, 16, true), (3, 14, 1, 64, true), (2, 2, 40, 96, false)]
    {
        let xs = randn(1, &[b, s, nh * hd]);
        let angles = randn(2, &[if own { b } else { 1 }, s, hd / 2]);
        let rotary = Rotary { cos: angles.cos().unwrap(), sin: angles.sin().unwrap() };
        let what = format!("{b} rows of {nh} heads of {hd} at {s} positions");
        let fused = |v: &[Tensor]| ops::rotary_side_by_side(&v[0], nh, &rotary);
        let composed = |v: &[Tensor]| composed::rotary_side_by_side(&v[0], nh, &rotary);
        assert_same(&what, std::slice::from_ref(&xs), 2e-6, fused, composed);
    }
    let rotary = Rotary { cos: randn(1, &[1, 2, 4]), sin: randn(1, &[1, 2, 4]) };
    assert!(ops::rotary_side_by_side(&randn(1, &[1, 2, 24]), 5, &rotary).is_err());
    assert!(ops::swiglu_joined(&randn(1, &[2, 3])).is_err());
}

#[test]
fn tracked_angles_keep_their_gradients() {
    let angles = Var::from_tensor(&randn(2, &[1, 4, 3])).unwrap();
    let ys = ops::rotary(&randn(1, &[1, 2, 4, 6]), &angles.cos().unwrap(), &angles.sin().unwrap()).unwrap();
    assert!(ys.sum_all().unwrap().backward().unwrap().get(&angles).is_some());
}

fn masks(b: usize, t: usize, rng: &mut Rng) -> Vec<AttentionMask> {
    let valid: Vec<bool> = (0..b * t).map(|_| rng.chance(0.7)).collect();
    let segments: Vec<i32> = (0..b * t).map(|at| ((at % t) / 5) as i32 - 1).collect();
    let mixed: Vec<i32> = (0..b * t).map(|_| rng.below(4) as i32 - 1).collect();
    let beginnings: Vec<i32> = (0..b * t).map(|at| ((at % t) / 7) as i32).collect();
    vec![
        AttentionMask::bidirectional(),
        AttentionMask::causal(),
        AttentionMask::causal().with_window(Some(1 + rng.below(t))),
        AttentionMask::bidirectional().with_padding(b, &valid).unwrap(),
        AttentionMask::causal().with_padding(b, &valid).unwrap(),
        AttentionMask::causal().with_segments(b, &segments).unwrap(),
        AttentionMask::causal().with_segments(b, &mixed).unwrap().with_window(Some(4)),
        AttentionMask::bidirectional().with_segments(b, &mixed).unwrap(),
        AttentionMask::causal().with_branches(b, &segments).unwrap(),
        AttentionMask::causal().with_branches(b, &mixed).unwrap(),
        AttentionMask::causal().with_packed_branches(b, &beginnings, &mixed).unwrap(),
    ]
}

#[test]
fn fused_attention_equals_the_composed_one_under_every_mask() {
    let mut rng = Rng::new(8, "attention");
    let sizes = [
        (1, 1, 1, 1, 1, 4),
        (2, 4, 2, 6, 6, 8),
        (1, 6, 2, 5, 9, 6),
        (2, 3, 1, 70, 70, 16),
        (1, 2, 2, 130, 150, 32),
        // More keys than are looked at together.
        (1, 2, 1, 300, 1300, 8),
        (2, 2, 2, 20, 700, 8),
    ];
    for (b, nh, nkv, s, t, hd) in sizes {
        for mask in masks(b, t, &mut rng) {
            let inputs = [randn(1, &[b, nh, s, hd]), randn(2, &[b, nkv, t, hd]), randn(3, &[b, nkv, t, hd])];
            assert_same(
                &format!("{b} {nh} {nkv} {s} {t} {hd} {mask:?}"),
                &inputs,
                1e-5,
                |v| ops::attention(&v[0], &v[1], &v[2], 0.4, &mask),
                |v| composed::attention(&v[0], &v[1], &v[2], 0.4, &mask),
            );
        }
    }
}

#[test]
fn fused_attention_over_flat_heads_with_rotation_equals_the_composed_one() {
    let mut rng = Rng::new(9, "attention");
    for (b, nh, nkv, s, hd) in [(1, 1, 1, 3, 2), (2, 4, 2, 7, 8), (2, 6, 2, 100, 16)] {
        for mask in masks(b, s, &mut rng) {
            // Parts of one tensor, as a fused projection leaves them: their rows are far apart.
            let qkv = randn(1, &[b, s, (nh + 2 * nkv) * hd]);
            let angles = randn(2, &[b, s, hd / 2]);
            let rotary = Rotary { cos: angles.cos().unwrap(), sin: angles.sin().unwrap() };
            let heads = Heads { query: nh, key: nkv, scale: 0.3 };
            let parts = |qkv: &Tensor| -> Result<[Tensor; 3]> {
                let part = |start: usize, n: usize| qkv.narrow(2, start * hd, n * hd);
                Ok([part(0, nh)?, part(nh, nkv)?, part(nh + nkv, nkv)?])
            };
            for rotary in [None, Some(&rotary)] {
                assert_same(
                    &format!("{b} {nh} {nkv} {s} {hd} {mask:?}"),
                    std::slice::from_ref(&qkv),
                    1e-5,
                    |v| {
                        let [q, k, v] = parts(&v[0])?;
                        ops::multi_head_attention(&q, &k, &v, heads, rotary, &mask)
                    },
                    |v| {
                        let [q, k, v] = parts(&v[0])?;
                        composed::multi_head_attention(&q, &k, &v, heads, rotary, &mask)
                    },
                );
            }
        }
    }
}

#[test]
fn the_fused_loss_equals_the_composed_one() {
    for (n, v, d, chunk) in [(1, 2, 1, 1), (9, 33, 8, 4), (200, 1000, 24, 64), (40, 17, 16, 1000)] {
        let inputs = [randn(1, &[n, d]), randn(2, &[v, d]), randn(3, &[v])];
        let labels: Vec<u32> = (0..n).map(|row| (row * 7 % v) as u32).collect();
        let labels = Tensor::from_vec(labels, n, &Device::Cpu).unwrap();
        assert_same(
            &format!("{n} rows, {v} words"),
            &inputs,
            3e-6,
            |x| Ok(ops::linear_cross_entropy(&x[0], &x[1], Some(&x[2]), &labels, -100, chunk)?.sum),
            |x| Ok(composed::linear_cross_entropy(&x[0], &x[1], Some(&x[2]), &labels, chunk)?.0),
        );
    }
}

#[test]
fn the_loss_of_half_types_equals_the_composed_one_of_rounded_values() {
    // The last weight has more values than are widened at a time.
    for (n, v, d, chunk) in [(1, 2, 1, 1), (9, 33, 8, 4), (150, 700, 24, 64), (5, 9999, 900, 8)] {
        let inputs = [randn(1, &[n, d]), randn(2, &[v, d]), randn(3, &[v])];
        let labels: Vec<u32> = (0..n).map(|row| (row * 7 % v) as u32).collect();
        let labels = Tensor::from_vec(labels, n, &Device::Cpu).unwrap();
        for types in [[DType::F32, DType::BF16], [DType::BF16; 2], [DType::F16; 2], [DType::F32, DType::F16]]
        {
            if v > 1000 && types[1] == DType::F16 {
                continue;
            }
            let of = |at: usize| types[at.min(1)];
            let half = |x: &[Tensor], at: usize| x[at].to_dtype(of(at));
            let rounded = |x: &[Tensor], at: usize| half(x, at)?.to_dtype(DType::F32);
            let fused = |x: &[Tensor]| {
                let (hidden, weight, bias) = (half(x, 0)?, half(x, 1)?, half(x, 2)?);
                Ok(ops::linear_cross_entropy(&hidden, &weight, Some(&bias), &labels, -100, chunk)?.sum)
            };
            let composed = |x: &[Tensor]| {
                let (hidden, weight, bias) = (rounded(x, 0)?, rounded(x, 1)?, rounded(x, 2)?);
                Ok(composed::linear_cross_entropy(&hidden, &weight, Some(&bias), &labels, chunk)?.0)
            };
            let what = format!("{n} rows, {v} words, {types:?}");
            let (found, wanted) = (fused(&inputs).unwrap(), composed(&inputs).unwrap());
            assert_eq!(found.dtype(), DType::F32);
            let diff = relative_diff(&found, &wanted);
            assert!(diff <= 3e-6, "{what}: {diff:e}");
            // Gradients are rounded to the type of what they belong to, half a unit of 8 bits.
            assert_same(&what, &inputs, 1.0 / 256.0, fused, composed);
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let run = || -> Result<Vec<Tensor>> {
        let make = |seed, dims: &[usize]| Var::from_tensor(&randn(seed, dims));
        let (xs, weight, norm) = (make(1, &[2, 300, 64])?, make(2, &[192, 64])?, make(3, &[64])?);
        let bias = make(4, &[192])?;
        let ys = ops::layer_norm(&xs, &norm, Some(&norm), 1e-5)?;
        let qkv = ops::linear(&ys, &weight, Some(&bias))?;
        let part = |at: usize| qkv.narrow(2, at * 64, 64);
        let heads = Heads { query: 4, key: 4, scale: 0.25 };
        let mask = AttentionMask::causal();
        let ys = ops::multi_head_attention(&part(0)?, &part(1)?, &part(2)?, heads, None, &mask)?;
        let ys = ops::rms_norm(&ops::gelu_erf(&ys)?, &norm, 1e-5)?.reshape((600, 64))?;
        let labels = Tensor::zeros(600, DType::I64, &Device::Cpu)?;
        let loss = ops::linear_cross_entropy(&ys, &weight, Some(&bias), &labels, -100, 128)?.sum;
        let grads = loss.backward()?;
        let vars = [&xs, &weight, &norm, &bias];
        // One row, some rows, and many, with weights of either type.
        let large = randn(5, &[600, 400]);
        let mut rows = Vec::new();
        for (n, dtype) in [(1, DType::F32), (1, DType::BF16), (5, DType::BF16), (50, DType::BF16)] {
            rows.push(ops::linear(&randn(6, &[n, 400]), &large.to_dtype(dtype)?, None)?);
        }
        Ok(vars
            .iter()
            .map(|var| grads.get(var).cloned().expect("a gradient"))
            .chain([loss.detach()])
            .chain(rows)
            .collect())
    };
    let with = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| run().unwrap())
    };
    let wanted = with(1);
    for threads in [2, 3, 8] {
        for (at, (found, wanted)) in with(threads).iter().zip(&wanted).enumerate() {
            assert_eq!(max_abs_diff(found, wanted), 0.0, "result {at} with {threads} threads");
        }
    }
}

#[test]
fn fused_pooling_equals_the_composed_one() {
    let mut rng = Rng::new(8, "pooling");
    for (f, n, d, k) in [(1, 1, 1, 1), (3, 4, 5, 7), (6, 64, 48, 90), (2, 9, 33, 4)] {
        let mut pooled = Pooled::over(n);
        for nth in 0..k {
            let share = [0.0, 0.3, 1.0][nth % 3];
            let mask: Vec<f32> = (0..n).map(|_| f32::from(u8::from(rng.chance(share)))).collect();
            pooled.push(rng.below(f) as u32, &mask);
        }
        let feats = [randn(5, &[f, n, d])];
        let fused = |v: &[Tensor]| ops::mask_pool(&v[0], pooled.clone());
        assert_same(&format!("{f} {n} {d} {k}"), &feats, 2e-6, fused, |v| {
            composed::mask_pool(&v[0], &pooled)
        });
    }
}

#[test]
fn fused_depthwise_convolutions_equal_the_composed_ones() {
    for dims in [[1, 1, 1, 1], [2, 5, 4, 3], [1, 1, 6, 17], [1, 7, 1, 16], [3, 24, 24, 40]] {
        for k in [3, 7] {
            let inputs = [randn(6, &dims), randn(7, &[dims[3], 1, k, k])];
            let composed = |v: &[Tensor]| composed::depthwise(&v[0], &v[1], k);
            assert_same(&format!("{dims:?}"), &inputs, 3e-6, |v| ops::depthwise(&v[0], &v[1]), composed);
            let view = inputs[0].transpose(1, 2).unwrap();
            let (found, wanted) =
                (ops::depthwise(&view, &inputs[1]), composed::depthwise(&view, &inputs[1], k));
            assert!(relative_diff(&found.unwrap(), &wanted.unwrap()) < 3e-6);
        }
    }
    assert!(ops::depthwise(&randn(1, &[1, 4, 4, 2]), &randn(2, &[2, 1, 3, 2])).is_err());
}

#[test]
fn half_types_give_the_rounded_result_and_gradients_of_their_type() {
    let half = |xs: Tensor| xs.to_dtype(DType::BF16).unwrap();
    let inputs =
        [&[2, 3, 4, 8][..], &[8], &[8], &[2, 3, 4, 8], &[2, 3, 4, 8], &[8, 1, 3, 3], &[1, 4, 8], &[1, 4, 8]];
    let inputs: Vec<Tensor> =
        inputs.iter().enumerate().map(|(at, dims)| half(randn(at as u64, dims))).collect();
    type Op = fn(&[Tensor]) -> Result<Tensor>;
    let ops: [(&str, &[usize], Op); 10] = [
        ("rms_norm", &[0, 1], |v| ops::rms_norm(&v[0], &v[1], 1e-6)),
        ("layer_norm", &[0, 1, 2], |v| ops::layer_norm(&v[0], &v[1], Some(&v[2]), 1e-6)),
        ("softmax_last", &[0], |v| ops::softmax_last(&v[0])),
        ("gelu_erf", &[0], |v| ops::gelu_erf(&v[0])),
        ("gelu_tanh", &[0], |v| ops::gelu_tanh(&v[0])),
        ("silu", &[0], |v| ops::silu(&v[0])),
        ("swiglu", &[0, 3], |v| ops::swiglu(&v[0], &v[1])),
        ("rotary", &[0, 6, 7], |v| ops::rotary(&v[0], &v[1].detach(), &v[2].detach())),
        ("attention", &[0, 3, 4], |v| ops::attention(&v[0], &v[1], &v[2], 0.3, &AttentionMask::causal())),
        ("depthwise", &[0, 5], |v| ops::depthwise(&v[0], &v[1])),
    ];
    for (what, takes, op) in ops {
        let vars: Vec<Var> = takes.iter().map(|&at| Var::from_tensor(&inputs[at]).unwrap()).collect();
        let tensors: Vec<Tensor> = vars.iter().map(|var| var.as_tensor().clone()).collect();
        let wide: Vec<Tensor> = tensors.iter().map(|xs| xs.detach().to_dtype(DType::F32).unwrap()).collect();
        let (found, exact) = (op(&tensors).unwrap(), op(&wide).unwrap());
        assert_eq!(found.dtype(), DType::BF16, "{what}");
        assert_eq!(max_abs_diff(&found, &half(exact)), 0.0, "{what}");
        let grads = found.sum_all().unwrap().backward().unwrap();
        let constants = if what == "rotary" { 1 } else { vars.len() };
        for var in &vars[..constants] {
            assert_eq!(grads.get(var).map(Tensor::dtype), Some(DType::BF16), "{what}");
        }
    }
}
