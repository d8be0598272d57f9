//! Norms, activations, rotation and pooling.

use candle_core::{D, DType, Tensor};
use strefer_nn::ops::{self, Pooled, composed};
use strefer_nn::testing::{assert_close, assert_gradients_by_differences, device, randn, values};

#[test]
fn norms_give_zero_mean_and_unit_spread() {
    let xs = randn(1, &[3, 5, 16]);
    let (ones, zeros) = (Tensor::ones(16, DType::F32, device()).unwrap(), randn(2, &[16]));
    let rms = ops::rms_norm(&xs, &ones, 0.0).unwrap();
    let squares = rms.sqr().unwrap().mean(D::Minus1).unwrap();
    assert_close(&squares, &squares.ones_like().unwrap(), 1e-5);
    let normed = ops::layer_norm(&xs, &ones, Some(&zeros), 0.0).unwrap();
    let means = normed.broadcast_sub(&zeros).unwrap().mean(D::Minus1).unwrap();
    assert!(values(&means).iter().all(|mean| mean.abs() < 1e-5));
}

#[test]
fn norms_carry_gradients_to_all_inputs() {
    let (xs, weight, bias) = (randn(3, &[4, 9]), randn(4, &[9]), randn(5, &[9]));
    assert_gradients_by_differences(&[xs.clone(), weight.clone()], 2e-3, |v| {
        ops::rms_norm(&v[0], &v[1], 1e-6)
    });
    assert_gradients_by_differences(&[xs.clone(), weight.clone(), bias], 2e-3, |v| {
        ops::layer_norm(&v[0], &v[1], Some(&v[2]), 1e-6)
    });
    assert_gradients_by_differences(&[xs, weight], 2e-3, |v| ops::layer_norm(&v[0], &v[1], None, 1e-6));
}

#[test]
fn activations_carry_gradients() {
    let (xs, up) = (randn(6, &[5, 21]), randn(7, &[5, 21]));
    for f in [ops::gelu_erf, ops::gelu_tanh, ops::silu, ops::softmax_last] {
        assert_gradients_by_differences(std::slice::from_ref(&xs), 2e-3, |v| f(&v[0]));
    }
    assert_gradients_by_differences(&[xs, up], 2e-3, |v| ops::swiglu(&v[0], &v[1]));
}

#[test]
fn activations_take_known_values() {
    let xs = Tensor::new(&[-100f32, -1.0, 0.0, 1.0, 3.0, 100.0], device()).unwrap();
    let expect = |found: Tensor, wanted: [f64; 6]| {
        for (found, wanted) in values(&found).into_iter().zip(wanted) {
            assert!((found - wanted).abs() <= 1e-6 * wanted.abs().max(1.0), "{found} instead of {wanted}");
        }
    };
    expect(ops::gelu_erf(&xs).unwrap(), [0.0, -0.158_655_25, 0.0, 0.841_344_75, 2.995_950_3, 100.0]);
    expect(ops::gelu_tanh(&xs).unwrap(), [0.0, -0.158_808_01, 0.0, 0.841_191_99, 2.996_362_6, 100.0]);
    expect(ops::silu(&xs).unwrap(), [0.0, -0.268_941_42, 0.0, 0.731_058_58, 2.857_722_4, 100.0]);
}

#[test]
fn softmax_survives_large_and_hidden_scores() {
    let xs = Tensor::new(&[[1e4f32, 1e4, f32::NEG_INFINITY], [-1e4, -1e4, -1e4]], device()).unwrap();
    let found = values(&ops::softmax_last(&xs).unwrap());
    for (found, wanted) in found.into_iter().zip([0.5, 0.5, 0.0, 1.0 / 3.0, 1.0 / 3.0, 1.0 / 3.0]) {
        assert!((found - wanted).abs() < 1e-6);
    }
}

#[test]
fn rotation_keeps_lengths_and_depends_on_the_distance_only() {
    let (s, hd) = (6, 8);
    let angle = |position: usize, i: usize| position as f32 / 10f32.powf(2.0 * i as f32 / hd as f32);
    let table = |f: fn(f32) -> f32| {
        let values: Vec<f32> = (0..s).flat_map(|p| (0..hd / 2).map(move |i| f(angle(p, i)))).collect();
        Tensor::from_vec(values, (1, s, hd / 2), device()).unwrap()
    };
    let (cos, sin) = (table(f32::cos), table(f32::sin));
    let one = randn(8, &[1, 1, 1, hd]).broadcast_as((1, 1, s, hd)).unwrap().contiguous().unwrap();
    let turned = ops::rotary(&one, &cos, &sin).unwrap();
    let scores = turned.matmul(&turned.transpose(2, 3).unwrap().contiguous().unwrap()).unwrap();
    let scores: Vec<Vec<f32>> = scores.flatten(0, 2).unwrap().to_vec2().unwrap();
    for i in 1..s {
        assert!((scores[i][i] - scores[0][0]).abs() < 1e-4, "length changed");
        assert!((scores[i][i - 1] - scores[1][0]).abs() < 1e-4, "depends on the place");
    }
    let whole = |table: &Tensor| Tensor::cat(&[table, table], 2).unwrap();
    assert_close(&ops::rotary(&one, &whole(&cos), &whole(&sin)).unwrap(), &turned, 1e-7);
    assert_gradients_by_differences(&[randn(9, &[2, 3, s, hd])], 2e-3, |v| ops::rotary(&v[0], &cos, &sin));
}

#[test]
fn linear_equals_a_product_per_row_and_carries_gradients() {
    let (xs, weight, bias) = (randn(10, &[2, 3, 7]), randn(11, &[5, 7]), randn(12, &[5]));
    let found = ops::linear(&xs, &weight, Some(&bias)).unwrap();
    let (x, w, b) = (values(&xs), values(&weight), values(&bias));
    for (at, found) in values(&found).into_iter().enumerate() {
        let (row, o) = (at / 5, at % 5);
        let wanted: f64 = b[o] + (0..7).map(|i| x[row * 7 + i] * w[o * 7 + i]).sum::<f64>();
        assert!((found - wanted).abs() < 1e-5);
    }
    assert_gradients_by_differences(&[xs, weight, bias], 2e-3, |v| ops::linear(&v[0], &v[1], Some(&v[2])));
}

#[test]
fn mask_pooling_averages_and_an_empty_mask_gives_zeros() {
    let feats =
        Tensor::new(&[[[1f32, 2.0], [3.0, 6.0], [5.0, 1.0]], [[1.0, 1.0], [2.0, 2.0], [3.0, 3.0]]], device());
    let feats = feats.unwrap();
    let mut pooled = Pooled::over(3);
    pooled.push(0, &[1.0, 1.0, 0.0]);
    pooled.push(1, &[0.0; 3]);
    pooled.push(0, &[0.0, 0.5, 0.5]);
    let found = values(&ops::mask_pool(&feats, pooled.clone()).unwrap());
    assert_eq!(found, [2.0, 4.0, 0.0, 0.0, 4.0, 3.5]);
    assert_gradients_by_differences(&[randn(13, &[2, 3, 5])], 2e-3, |v| {
        ops::mask_pool(&v[0], pooled.clone())
    });
    assert_eq!(ops::mask_pool(&feats, Pooled::over(3)).unwrap().dims(), [0, 2]);
    pooled.push(2, &[1.0; 3]);
    let error = ops::mask_pool(&feats, pooled).unwrap_err().to_string();
    assert!(error.contains("frame 2 of 2"), "{error}");
    assert!(ops::mask_pool(&feats, Pooled::over(4)).is_err());
}

#[test]
fn composed_operations_work_in_double_precision_too() {
    let xs = randn(15, &[3, 8]).to_dtype(DType::F64).unwrap();
    let weight = xs.get(0).unwrap();
    let wide = ops::rms_norm(&xs, &weight, 1e-6).unwrap();
    assert_eq!(wide.dtype(), DType::F64);
    let narrow = xs.to_dtype(DType::F32).unwrap();
    let narrow = composed::rms_norm(&narrow, &narrow.get(0).unwrap(), 1e-6).unwrap();
    assert_close(&narrow, &wide, 1e-6);
}
