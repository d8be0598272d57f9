//! Attention under every kind of mask.

use candle_core::{IndexOp, Tensor};
use strefer_nn::ops::{self, AttentionMask, Heads, Rotary};
use strefer_nn::testing::{
    assert_close, assert_gradients_by_differences, device, max_abs_diff, randn, values,
};

fn qkv(seed: u64, b: usize, nh: usize, nkv: usize, s: usize, t: usize, hd: usize) -> [Tensor; 3] {
    [randn(seed, &[b, nh, s, hd]), randn(seed + 1, &[b, nkv, t, hd]), randn(seed + 2, &[b, nkv, t, hd])]
}

/// Attention written out in loops, in double precision.
fn by_hand(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    scale: f64,
    sees: impl Fn(usize, usize, usize) -> bool,
) -> Vec<f64> {
    let (b, nh, s, hd) = q.dims4().unwrap();
    let (_, nkv, t, _) = k.dims4().unwrap();
    let (q, k, v) = (values(q), values(k), values(v));
    let mut out = Vec::new();
    for row in 0..b {
        for head in 0..nh {
            let kv = (row * nkv + head / (nh / nkv)) * t;
            for i in 0..s {
                let query = &q[((row * nh + head) * s + i) * hd..][..hd];
                let weights: Vec<f64> = (0..t)
                    .map(|j| {
                        let key = &k[(kv + j) * hd..][..hd];
                        let score: f64 = query.iter().zip(key).map(|(a, b)| a * b).sum();
                        if sees(row, i, j) { (score * scale).exp() } else { 0.0 }
                    })
                    .collect();
                let sum: f64 = weights.iter().sum();
                for c in 0..hd {
                    let mixed: f64 = (0..t).map(|j| weights[j] * v[(kv + j) * hd + c]).sum();
                    out.push(if sum > 0.0 { mixed / sum } else { 0.0 });
                }
            }
        }
    }
    out
}

fn assert_by_hand(mask: &AttentionMask, s: usize, t: usize, sees: impl Fn(usize, usize, usize) -> bool) {
    let [q, k, v] = qkv(20, 2, 4, 2, s, t, 8);
    let found = values(&ops::attention(&q, &k, &v, 0.3, mask).unwrap());
    for (found, wanted) in found.iter().zip(by_hand(&q, &k, &v, 0.3, sees)) {
        assert!((found - wanted).abs() < 1e-5, "{found} instead of {wanted}");
    }
    assert_gradients_by_differences(&[q, k, v], 3e-3, |x| ops::attention(&x[0], &x[1], &x[2], 0.3, mask));
}

#[test]
fn bidirectional_attention_matches_loops() {
    assert_by_hand(&AttentionMask::bidirectional(), 5, 7, |_, _, _| true);
}

#[test]
fn causal_attention_matches_loops_with_and_without_earlier_keys() {
    assert_by_hand(&AttentionMask::causal(), 6, 6, |_, i, j| j <= i);
    assert_by_hand(&AttentionMask::causal(), 3, 7, |_, i, j| j <= i + 4);
    assert_by_hand(&AttentionMask::causal(), 1, 9, |_, _, _| true);
}

#[test]
fn a_sliding_window_matches_loops() {
    let mask = AttentionMask::causal().with_window(Some(3));
    assert_by_hand(&mask, 8, 8, |_, i, j| j <= i && j + 3 > i);
    assert_by_hand(&mask, 2, 8, |_, i, j| j <= i + 6 && j + 3 > i + 6);
}

#[test]
fn padding_matches_loops_and_rows_that_see_nothing_are_zero() {
    let valid = [[false, false, true, true, true], [true, true, true, false, false]];
    let mask = AttentionMask::causal().with_padding(2, &valid.concat()).unwrap();
    assert_by_hand(&mask, 5, 5, |b, i, j| j <= i && valid[b][j]);
    let [q, k, v] = qkv(30, 2, 4, 2, 5, 5, 8);
    let ys = ops::attention(&q, &k, &v, 1.0, &mask).unwrap();
    assert!(values(&ys.i((0, .., ..2)).unwrap()).iter().all(|y| *y == 0.0));
}

#[test]
fn packed_sequences_match_loops_and_the_sequences_alone() {
    let ids = [0, 0, 0, 1, 1, 1, 1, 2];
    let two = [ids, ids].concat();
    let mask = AttentionMask::causal().with_segments(2, &two).unwrap();
    assert_by_hand(&mask, 8, 8, |_, i, j| j <= i && ids[i] == ids[j]);
    let [q, k, v] = qkv(40, 2, 4, 2, 8, 8, 8);
    let packed = ops::attention(&q, &k, &v, 0.5, &mask).unwrap().narrow(2, 3, 4).unwrap();
    let part = |xs: &Tensor| xs.narrow(2, 3, 4).unwrap().contiguous().unwrap();
    let alone = ops::attention(&part(&q), &part(&k), &part(&v), 0.5, &AttentionMask::causal()).unwrap();
    assert_close(&packed, &alone, 1e-6);
}

#[test]
fn attention_over_flat_heads_equals_attention_over_split_ones() {
    let (b, s, nh, nkv, hd) = (2, 6, 4, 2, 8);
    let (q, k, v) = (randn(50, &[b, s, nh * hd]), randn(51, &[b, s, nkv * hd]), randn(52, &[b, s, nkv * hd]));
    let angles = randn(53, &[1, s, hd / 2]);
    let rotary = Rotary { cos: angles.cos().unwrap(), sin: angles.sin().unwrap() };
    let mask = AttentionMask::causal().with_window(Some(4));
    let heads = Heads { query: nh, key: nkv, scale: 0.4 };
    let flat = ops::multi_head_attention(&q, &k, &v, heads, Some(&rotary), &mask).unwrap();
    let split = |xs: &Tensor, n: usize| {
        xs.reshape((b, s, n, hd)).unwrap().transpose(1, 2).unwrap().contiguous().unwrap()
    };
    let turn = |xs: Tensor| ops::rotary(&xs, &rotary.cos, &rotary.sin).unwrap();
    let ys =
        ops::attention(&turn(split(&q, nh)), &turn(split(&k, nkv)), &split(&v, nkv), 0.4, &mask).unwrap();
    assert_close(&flat, &ys.transpose(1, 2).unwrap().flatten_from(2).unwrap(), 1e-6);
    assert_gradients_by_differences(&[q, k, v], 3e-3, |x| {
        ops::multi_head_attention(&x[0], &x[1], &x[2], heads, Some(&rotary), &mask)
    });
}

#[test]
fn large_scores_do_not_overflow() {
    let [q, k, v] = qkv(60, 1, 2, 2, 4, 4, 8);
    let ys =
        ops::attention(&(q * 1e3).unwrap(), &(k * 1e3).unwrap(), &v, 1.0, &AttentionMask::causal()).unwrap();
    assert!(values(&ys).iter().all(|y| y.is_finite()));
    assert!(max_abs_diff(&ys.i((.., .., 0)).unwrap(), &v.i((.., .., 0)).unwrap()) < 1e-6);
}

#[test]
fn sizes_that_do_not_fit_are_refused() {
    let [q, k, v] = qkv(70, 2, 4, 3, 4, 4, 8);
    assert!(ops::attention(&q, &k, &v, 1.0, &AttentionMask::causal()).is_err(), "4 heads over 3");
    let [q, k, v] = qkv(70, 2, 4, 2, 4, 4, 8);
    let mask = AttentionMask::causal().with_padding(2, &[true; 6]).unwrap();
    assert!(ops::attention(&q, &k, &v, 1.0, &mask).is_err(), "a mask of three columns");
    let few = Tensor::zeros((2, 2, 3, 8), candle_core::DType::F32, device()).unwrap();
    assert!(
        ops::attention(&q, &few, &few, 1.0, &AttentionMask::causal()).is_err(),
        "fewer keys than queries"
    );
}
