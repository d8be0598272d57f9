//! Steps behind caches against attention over whole sequences.

use candle_core::{DType, Result, Tensor};
use strefer_nn::ops::{self, AttentionMask, CachedRows, Heads, Rotary};
use strefer_nn::testing::{assert_close, device, randn};

const HEADS: Heads = Heads { query: 4, key: 2, scale: 0.3 };
const HD: usize = 16;

/// Queries, keys and values of `s` positions of `b` rows.
fn qkv(seed: u64, b: usize, s: usize) -> [Tensor; 3] {
    let heads = [HEADS.query, HEADS.key, HEADS.key];
    [0, 1, 2].map(|at| randn(seed + at as u64, &[b, s, heads[at] * HD]))
}

/// The angles of these positions of each row.
fn rotary(positions: &[Vec<usize>]) -> Rotary {
    let (b, s) = (positions.len(), positions[0].len());
    let angle = |at: usize| at as f32 / HD as f32;
    let of = |position: usize| (0..HD / 2).map(move |at| position as f32 * 0.3 / (1.0 + angle(at)));
    let angles: Vec<f32> = positions.iter().flatten().flat_map(|&position| of(position)).collect();
    let angles = Tensor::from_vec(angles, (b, s, HD / 2), device()).unwrap();
    Rotary { cos: angles.cos().unwrap(), sin: angles.sin().unwrap() }
}

fn buffers(b: usize, capacity: usize) -> [Tensor; 2] {
    [0, 1].map(|_| Tensor::full(f32::NAN, (b, capacity, HEADS.key * HD), device()).unwrap())
}

fn part(xs: &[Tensor; 3], row: usize, from: usize, s: usize) -> [Tensor; 3] {
    xs.each_ref().map(|xs| xs.narrow(0, row, 1).unwrap().narrow(1, from, s).unwrap())
}

fn together(parts: &[[Tensor; 3]]) -> [Tensor; 3] {
    [0, 1, 2].map(|which| Tensor::cat(&parts.iter().map(|part| &part[which]).collect::<Vec<_>>(), 0).unwrap())
}

fn attend(
    rows: &CachedRows,
    layer: usize,
    xs: &[Tensor; 3],
    rotary: &Rotary,
    mask: &AttentionMask,
) -> Result<Tensor> {
    rows.attend(layer, xs.each_ref(), HEADS, rotary, mask)
}

#[test]
fn rows_that_have_seen_differently_much_read_what_a_whole_pass_reads() {
    for mask in [AttentionMask::causal(), AttentionMask::causal().with_window(Some(3))] {
        let (held, new) = ([5, 0, 9], 2);
        let whole = [1, 2].map(|seed| qkv(10 * seed, 3, 11));
        let kept: Vec<[Tensor; 2]> = (0..6).map(|_| buffers(1, 16)).collect();
        // What each has seen, alone.
        for (row, &seen) in held.iter().enumerate().filter(|(_, seen)| **seen > 0) {
            let own = vec![kept[row].clone(), kept[3 + row].clone()];
            let alone = CachedRows::new(vec![0], own).unwrap();
            for (layer, xs) in whole.iter().enumerate() {
                attend(&alone, layer, &part(xs, row, 0, seen), &rotary(&[(0..seen).collect()]), &mask)
                    .unwrap();
            }
        }
        let rows = CachedRows::new(held.to_vec(), kept).unwrap();
        assert_eq!((rows.layers(), rows.longest()), (2, 9));
        let positions: Vec<Vec<usize>> = held.iter().map(|&seen| (seen..seen + new).collect()).collect();
        for (layer, xs) in whole.iter().enumerate() {
            let step: Vec<[Tensor; 3]> = (0..3).map(|row| part(xs, row, held[row], new)).collect();
            let found = attend(&rows, layer, &together(&step), &rotary(&positions), &mask).unwrap();
            for (row, &seen) in held.iter().enumerate() {
                let all = part(xs, row, 0, seen + new);
                let angles = rotary(&[(0..seen + new).collect()]);
                let wanted =
                    ops::multi_head_attention(&all[0], &all[1], &all[2], HEADS, Some(&angles), &mask)
                        .unwrap();
                assert_close(&found.narrow(0, row, 1).unwrap(), &wanted.narrow(1, seen, new).unwrap(), 1e-6);
            }
        }
    }
}

#[test]
fn rows_that_share_buffers_may_have_a_mask_of_columns() {
    let valid: Vec<bool> = (0..12).map(|at| at != 0 && at != 6 && at != 7).collect();
    let xs = qkv(1, 2, 6);
    let angles = rotary(&[(0..6).collect()]);
    let mask = AttentionMask::causal().with_padding(2, &valid).unwrap();
    let wanted = ops::multi_head_attention(&xs[0], &xs[1], &xs[2], HEADS, Some(&angles), &mask).unwrap();
    let kept = vec![buffers(2, 8)];
    let cut = |from: usize, s: usize| xs.each_ref().map(|xs| xs.narrow(1, from, s).unwrap());
    let first = CachedRows::new(vec![0], kept.clone()).unwrap();
    let shown: Vec<bool> = [&valid[..5], &valid[6..11]].concat();
    let before = AttentionMask::causal().with_padding(2, &shown).unwrap();
    attend(&first, 0, &cut(0, 5), &rotary(&[(0..5).collect()]), &before).unwrap();
    let then = CachedRows::new(vec![5], kept).unwrap();
    let found = attend(&then, 0, &cut(5, 1), &rotary(&[vec![5]]), &mask).unwrap();
    assert_close(&found, &wanted.narrow(1, 5, 1).unwrap(), 1e-6);
}

#[test]
fn caches_of_other_sizes_are_refused() {
    let said = |error: Result<Tensor>| error.expect_err("an error").to_string();
    let causal = AttentionMask::causal();
    let rows = CachedRows::new(vec![3, 2], vec![buffers(1, 4), buffers(1, 4)]).unwrap();
    let angles = rotary(&[vec![3], vec![2]]);
    assert!(said(attend(&rows, 1, &qkv(1, 2, 1), &angles, &causal)).contains("layer 1"));
    assert!(said(attend(&rows, 0, &qkv(1, 3, 1), &angles, &causal)).contains("3 rows"));
    let long = rotary(&[vec![3, 4], vec![2, 3]]);
    assert!(said(attend(&rows, 0, &qkv(1, 2, 2), &long, &causal)).contains("do not fit a cache for 4"));
    let padded = AttentionMask::causal().with_padding(2, &[true; 8]).unwrap();
    assert!(said(attend(&rows, 0, &qkv(1, 2, 1), &angles, &padded)).contains("mask of columns"));
    let [q, k, _] = qkv(1, 2, 1);
    let wide = said(rows.attend(0, [&q, &k, &q], HEADS, &angles, &causal));
    assert!(wide.contains("keys") && wide.contains("caches of"), "{wide}");
    for (held, kept) in [
        (vec![], vec![buffers(1, 4)]),
        (vec![1, 1], vec![buffers(1, 4)]),
        (vec![5], vec![buffers(1, 4)]),
        (vec![1], vec![buffers(1, 4), buffers(2, 4)]),
        (vec![1], vec![[buffers(1, 4)[0].clone(), randn(1, &[1, 4, 3])]]),
    ] {
        assert!(CachedRows::new(held.clone(), kept).is_err(), "{held:?}");
    }
}

#[test]
fn half_types_are_kept_as_they_are() {
    let xs = qkv(1, 1, 3);
    let half = xs.each_ref().map(|xs| xs.to_dtype(DType::BF16).unwrap());
    let kept = buffers(1, 4).map(|buffer| buffer.to_dtype(DType::BF16).unwrap());
    let rows = CachedRows::new(vec![0], vec![kept]).unwrap();
    let angles = rotary(&[(0..3).collect()]);
    let found = attend(&rows, 0, &half, &angles, &AttentionMask::causal()).unwrap();
    let wanted =
        ops::multi_head_attention(&xs[0], &xs[1], &xs[2], HEADS, Some(&angles), &AttentionMask::causal());
    assert_eq!(found.dtype(), DType::BF16);
    assert_close(&found.to_dtype(DType::F32).unwrap(), &wanted.unwrap(), 2e-2);
}
