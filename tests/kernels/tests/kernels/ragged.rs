//! Attention of sequences by a library: what it is asked for, and where results and gradients go.

use candle_core::{DType, Result, Tensor};
use strefer_kernel_tests::{Memory, Processor};
use strefer_nn::kernels::{self, Attention, Places, Ragged, Runner};
use strefer_nn::ops::{self, AttentionMask, Heads};

use super::compare::{assert_even_kernels, numbers, reference};

/// Query heads, key heads, width of a head.
type Shape = [usize; 3];

fn call(batch: usize, [query, key, hd]: Shape, queries: usize, keys: usize) -> Attention {
    let heads = Heads { query, key, scale: (hd as f64).powf(-0.5) };
    let q = Places::side_by_side(query, queries, hd);
    Attention { batch, queries, keys, heads, hd, q, k: Places::side_by_side(key, keys, hd), out: q }
}

fn upload_lists(processor: &Processor, lists: &[u32]) -> Result<Memory> {
    processor.upload(&Tensor::from_slice(lists, lists.len(), &candle_core::Device::Cpu)?)
}

/// Result, and gradients of queries, keys and values.
fn run(
    processor: &Processor,
    mask: &AttentionMask,
    call: Attention,
    inputs: &[Tensor; 3],
    grad: &Tensor,
) -> Result<Vec<Memory>> {
    let (ragged, lists) = Ragged::new(call, mask).expect("sequences");
    let mut lists = upload_lists(processor, &lists)?;
    let lists = processor.values(&mut lists);
    let mut held = inputs.each_ref().map(|xs| processor.upload(xs).unwrap());
    let inputs = held.each_mut().map(|memory| processor.values(memory));
    let (mut out, mut sums) = kernels::ragged(processor, inputs, lists, ragged)?;
    let mut grad = processor.upload(grad)?;
    let results = [&mut out, &mut sums, &mut grad].map(|memory| processor.values(memory));
    let grads = kernels::ragged_back(processor, inputs, results, lists, ragged)?;
    Ok(vec![out, grads.q, grads.k, grads.v])
}

#[track_caller]
fn assert_ragged(what: &str, batch: usize, shape: Shape, [queries, keys]: [usize; 2], mask: &AttentionMask) {
    let [query, key, hd] = shape;
    for (dtype, tolerance) in [(DType::BF16, 6e-3), (DType::F16, 8e-4)] {
        let q_dims = [batch, queries, query * hd];
        let k_dims = [batch, keys, key * hd];
        let inputs = [(1, q_dims), (2, k_dims), (3, k_dims)].map(|(seed, dims)| numbers(seed, &dims, dtype));
        let grad = numbers(4, &q_dims, dtype);
        let call = call(batch, shape, queries, keys);
        let wanted = reference(&inputs.each_ref(), &grad, |v| {
            ops::multi_head_attention(&v[0], &v[1], &v[2], call.heads, None, mask)
        });
        assert_even_kernels(&format!("{what} in {dtype:?}"), tolerance, &wanted, |processor| {
            run(processor, mask, call, &inputs, &grad)
        });
    }
}

#[test]
fn whole_rows_are_sequences() {
    let all = AttentionMask::bidirectional();
    assert_ragged("everything", 2, [2, 2, 72], [21, 21], &all);
    assert_ragged("other keys", 2, [2, 1, 32], [7, 19], &all);
    assert_ragged("causal, grouped", 2, [6, 2, 32], [23, 23], &AttentionMask::causal());
    assert_ragged("causal behind a cache", 1, [3, 1, 64], [9, 140], &AttentionMask::causal());
}

#[test]
fn packed_rows_keep_apart_and_padding_gives_zeros() {
    let ids: Vec<i32> = (0..40).map(|at| [4, 4, 9, -1, -1, 1, 0, 0][at / 5]).collect();
    for mask in [AttentionMask::bidirectional(), AttentionMask::causal()] {
        assert_ragged(
            "rows of their own",
            2,
            [4, 2, 32],
            [20, 20],
            &mask.clone().with_segments(2, &ids).unwrap(),
        );
        assert_ragged(
            "one row for all",
            3,
            [2, 1, 16],
            [20, 20],
            &mask.with_segments(1, &ids[..20]).unwrap(),
        );
    }
}

#[test]
fn a_cache_with_room_behind_is_read_where_it_lies() {
    let (keys, room, [query, key, hd]) = (70, 96, [4, 2, 32]);
    let (mask, dtype) = (AttentionMask::causal(), DType::BF16);
    let q = numbers(1, &[2, 3, query * hd], dtype);
    let caches = [2, 3].map(|seed| numbers(seed, &[2, room, key * hd], dtype));
    let wide = |xs: &Tensor| xs.to_dtype(DType::F32).unwrap();
    let [k, v] = caches.each_ref().map(|xs| wide(&xs.narrow(1, 0, keys).unwrap()));
    let call = Attention { k: Places::side_by_side(key, room, hd), ..call(2, [query, key, hd], 3, keys) };
    let wanted = ops::multi_head_attention(&wide(&q), &k, &v, call.heads, None, &mask).unwrap();
    let (ragged, lists) = Ragged::new(call, &mask).unwrap();
    assert_even_kernels("a cache", 6e-3, &[wanted], |processor| {
        let mut held = [&q, &caches[0], &caches[1]].map(|xs| processor.upload(xs).unwrap());
        let inputs = held.each_mut().map(|memory| processor.values(memory));
        let mut lists = upload_lists(processor, &lists)?;
        let lists = processor.values(&mut lists);
        Ok(vec![kernels::ragged(processor, inputs, lists, ragged)?.0])
    });
}

#[test]
fn lists_of_other_sequences_are_refused() {
    let call = call(1, [1, 1, 8], 6, 6);
    let one = AttentionMask::causal();
    let two = AttentionMask::causal().with_segments(1, &[1, 1, 1, 2, 2, 2]).unwrap();
    let ((ragged, _), (_, lists)) = (Ragged::new(call, &one).unwrap(), Ragged::new(call, &two).unwrap());
    let processor = Processor::default();
    let mut held = [1, 2, 3].map(|seed| processor.upload(&numbers(seed, &[1, 6, 8], DType::BF16)).unwrap());
    let inputs = held.each_mut().map(|memory| processor.values(memory));
    let mut lists = upload_lists(&processor, &lists).unwrap();
    let said = kernels::ragged(&processor, inputs, processor.values(&mut lists), ragged).unwrap_err();
    assert!(said.to_string().contains("lists of sequences"), "{said}");
}
