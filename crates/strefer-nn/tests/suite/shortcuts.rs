//! Shorter ways for what models do without gradients or in small windows, against the longer ones.

use candle_core::{Result, Tensor};
use strefer_nn::ops::{self, AttentionMask, Gelu, Heads, composed};
use strefer_nn::testing::{device, max_abs_diff, randn, relative_diff};

use crate::fused::assert_same;

#[test]
fn a_linear_layer_with_gelu_equals_the_two_one_after_the_other() {
    for (rows, d, o) in [(1, 3, 5), (40, 16, 33), (300, 24, 130)] {
        let (xs, weight, bias) = (randn(1, &[rows, d]), randn(2, &[o, d]), randn(3, &[o]));
        for gelu in [Gelu::Erf, Gelu::Tanh] {
            let apart = |v: &[Tensor], bias: Option<&Tensor>| -> Result<Tensor> {
                let ys = composed::linear(&v[0], &v[1], bias)?;
                if gelu == Gelu::Erf { composed::gelu_erf(&ys) } else { composed::gelu_tanh(&ys) }
            };
            let what = format!("{rows} rows of {d} to {o} by {gelu:?}");
            let inputs = [xs.clone(), weight.clone(), bias.clone()];
            // With gradients the two are apart, without they are one pass.
            assert_same(
                &what,
                &inputs,
                5e-6,
                |v| ops::linear_gelu(&v[0], &v[1], Some(&v[2]), gelu),
                |v| apart(v, Some(&v[2])),
            );
            let found = ops::linear_gelu(&xs, &weight, Some(&bias), gelu).unwrap();
            let split = ops::linear(&xs, &weight, Some(&bias)).unwrap();
            let split = if gelu == Gelu::Erf { ops::gelu_erf(&split) } else { ops::gelu_tanh(&split) };
            assert_eq!(max_abs_diff(&found, &split.unwrap()), 0.0, "{what}");
            let bare = ops::linear_gelu(&xs, &weight, None, gelu).unwrap();
            assert!(relative_diff(&bare, &apart(&inputs, None).unwrap()) < 5e-6, "{what}, without a bias");
        }
    }
}

#[test]
fn copies_of_views_equal_candles() {
    for dims in [[1, 1, 1, 16], [2, 3, 5, 16], [3, 64, 7, 32]] {
        let xs = randn(1, &dims);
        let what = format!("{dims:?}");
        let turned = |xs: &Tensor| xs.permute((1, 2, 0, 3));
        let one = std::slice::from_ref(&xs);
        assert_same(&what, one, 0.0, |v| ops::contiguous(&turned(&v[0])?), |v| turned(&v[0])?.contiguous());
        // A part of each row, every row more than once, and single values far apart.
        let parts = |xs: &Tensor| -> Result<Tensor> { xs.narrow(2, dims[2] / 2, dims[2] - dims[2] / 2) };
        assert_same(&what, one, 0.0, |v| ops::contiguous(&parts(&v[0])?), |v| parts(&v[0])?.contiguous());
        let wide = |xs: &Tensor| xs.unsqueeze(0)?.broadcast_as((5, dims[0], dims[1], dims[2], dims[3]));
        assert_same(&what, one, 1e-6, |v| ops::contiguous(&wide(&v[0])?), |v| wide(&v[0])?.contiguous());
        assert_same(&what, one, 0.0, |v| ops::contiguous(&v[0].t()?), |v| v[0].t()?.contiguous());
    }
}

#[test]
fn attention_over_few_keys_equals_the_composed_one() {
    let all = AttentionMask::bidirectional();
    for (b, nh, nkv, s, t, hd) in [
        (1, 1, 1, 1, 1, 1),
        (3, 2, 1, 5, 7, 12),
        (2, 4, 2, 16, 16, 72),
        (2, 2, 2, 32, 17, 33),
        (1, 1, 1, 31, 32, 8),
    ] {
        let inputs = [randn(1, &[b, nh, s, hd]), randn(2, &[b, nkv, t, hd]), randn(3, &[b, nkv, t, hd])];
        let what = format!("{s} queries over {t} keys of {hd}");
        assert_same(
            &what,
            &inputs,
            5e-6,
            |v| ops::attention(&v[0], &v[1], &v[2], 0.4, &all),
            |v| composed::attention(&v[0], &v[1], &v[2], 0.4, &all),
        );
        // Side by side, as views of one tensor.
        let joint = randn(4, &[b, t, (nh + 2 * nkv) * hd]);
        let heads = Heads { query: nh, key: nkv, scale: 0.4 };
        let split = |v: &[Tensor]| -> Result<[Tensor; 3]> {
            let part = |from: usize, n: usize| v[0].narrow(2, from * hd, n * hd);
            Ok([part(0, nh)?, part(nh, nkv)?, part(nh + nkv, nkv)?])
        };
        assert_same(
            &what,
            &[joint],
            5e-6,
            |v| split(v).and_then(|[q, k, v]| ops::multi_head_attention(&q, &k, &v, heads, None, &all)),
            |v| split(v).and_then(|[q, k, v]| composed::multi_head_attention(&q, &k, &v, heads, None, &all)),
        );
    }
    // One key that stands for nine: rows that lie in one place.
    let (q, one) = (randn(6, &[1, 2, 5, 8]), randn(7, &[1, 2, 1, 8]));
    let same = |xs: &Tensor| xs.broadcast_as((1, 2, 9, 8)).unwrap();
    let found = ops::attention(&q, &same(&one), &same(&one), 0.4, &all).unwrap();
    assert!(max_abs_diff(&found, &one.broadcast_as((1, 2, 5, 8)).unwrap()) < 1e-6);
    // A score that is no number stays one, and keeps to its own query.
    let spoilt = Tensor::new(&[[[[f32::NAN, 1.0], [0.5, 1.0]]]], device()).unwrap();
    let k = randn(5, &[1, 1, 9, 2]);
    let found = ops::attention(&spoilt, &k, &k, 1.0, &all).unwrap().flatten_to(2).unwrap();
    let found = found.to_vec2::<f32>().unwrap();
    assert!(found[0].iter().all(|x| x.is_nan()) && found[1].iter().all(|x| x.is_finite()), "{found:?}");
}
