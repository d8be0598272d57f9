//! Attention and its gradients.

use candle_core::{DType, Device, Result, Tensor};
use strefer_kernel_tests::{Memory, Processor};
use strefer_nn::kernels::{self, Attention, Places, Runner, Sight};
use strefer_nn::ops::{self, AttentionMask, Heads};

use super::compare::{assert_even_kernels, numbers, reference};

/// The types that attention's kernels take, and how far off rounded probabilities may lead.
const HALVES: [(DType, f64); 2] = [(DType::BF16, 6e-3), (DType::F16, 8e-4)];

/// Query heads, key heads, queries, keys, width of a head.
type Sizes = [usize; 5];

fn call(batch: usize, [query, key, queries, keys, hd]: Sizes, heads_first: bool) -> Attention {
    let places = |heads: usize, positions: usize| {
        let lay = if heads_first { Places::heads_first } else { Places::side_by_side };
        lay(heads, positions, hd)
    };
    let q = places(query, queries);
    let heads = Heads { query, key, scale: (hd as f64).powf(-0.5) };
    Attention { batch, queries, keys, heads, hd, q, k: places(key, keys), out: q }
}

/// The mask's values where kernels read them: ids, tiles by rows, tiles by keys.
fn upload_mask(
    processor: &Processor,
    mask: &AttentionMask,
    call: Attention,
) -> Result<(Option<Memory>, Memory, Memory)> {
    let list = |values: Vec<u32>| -> Result<Memory> {
        let count = values.len();
        processor.upload(&Tensor::from_vec(values, count, &Device::Cpu)?)
    };
    let ids =
        mask.ids().map(|(_, ids)| list(ids.iter().map(|id| id.cast_unsigned()).collect())).transpose()?;
    Ok((ids, list(mask.tiles_by_rows(call.by_rows()))?, list(mask.tiles_by_keys(call.by_keys()))?))
}

/// Result, and gradients of queries, keys and values.
fn run(
    processor: &Processor,
    mask: &AttentionMask,
    call: Attention,
    inputs: &[Tensor; 3],
    grad: &Tensor,
) -> Result<Vec<Memory>> {
    let mut held = inputs.each_ref().map(|xs| processor.upload(xs).unwrap());
    let inputs = held.each_mut().map(|memory| processor.values(memory));
    let (mut ids, mut by_rows, mut by_keys) = upload_mask(processor, mask, call)?;
    let ids = ids.as_mut().map(|memory| processor.values(memory));
    let sight = Sight { mask, ids, by_rows: processor.values(&mut by_rows) };
    let (mut out, mut lse) = kernels::attention(processor, inputs, sight, call)?;
    let mut grad = processor.upload(grad)?;
    let results = [&mut out, &mut lse, &mut grad].map(|memory| processor.values(memory));
    let by_keys = processor.values(&mut by_keys);
    let grads = kernels::attention_back(processor, inputs, results, sight, by_keys, call)?;
    Ok(vec![out, grads.q, grads.k, grads.v])
}

#[track_caller]
fn assert_attention(what: &str, batch: usize, sizes: Sizes, mask: &AttentionMask) {
    let [query, key, queries, keys, hd] = sizes;
    for (at, (dtype, tolerance)) in HALVES.into_iter().enumerate() {
        let q_shape = [batch, query, queries, hd];
        let k_shape = [batch, key, keys, hd];
        let inputs =
            [(1, q_shape), (2, k_shape), (3, k_shape)].map(|(seed, dims)| numbers(seed, &dims, dtype));
        let grad = numbers(4, &q_shape, dtype);
        let scale = (hd as f64).powf(-0.5);
        let wanted =
            reference(&inputs.each_ref(), &grad, |v| ops::attention(&v[0], &v[1], &v[2], scale, mask));
        let heads_first = at == 0;
        let lay = |xs: &Tensor| -> Tensor {
            if heads_first { xs.clone() } else { xs.transpose(1, 2).unwrap().contiguous().unwrap() }
        };
        let wanted: Vec<Tensor> = wanted.iter().map(lay).collect();
        let (inputs, grad) = (inputs.each_ref().map(lay), lay(&grad));
        let what = format!("{what}, {batch} x {sizes:?} in {dtype:?}");
        assert_even_kernels(&what, tolerance, &wanted, |processor| {
            run(processor, mask, call(batch, sizes, heads_first), &inputs, &grad)
        });
    }
}

#[test]
fn every_width_of_heads_reads_and_gives_gradients_as_on_the_processor() {
    for hd in [8, 32, 56, 64, 72, 80, 96, 128, 144] {
        assert_attention("everything", 1, [2, 1, 21, 37, hd], &AttentionMask::bidirectional());
    }
}

#[test]
fn tiles_of_keys_and_queries_come_together() {
    let all = AttentionMask::bidirectional();
    // One of each, tiles that are just full, and those with one more.
    for (queries, keys) in [(1, 1), (64, 64), (65, 129), (130, 63)] {
        assert_attention("everything", 2, [1, 1, queries, keys, 32], &all);
    }
    assert_attention("causal", 1, [2, 2, 130, 130, 32], &AttentionMask::causal());
    // Seven heads share a key head, so that rows of one query lie in two tiles.
    assert_attention("causal, grouped", 1, [14, 2, 23, 23, 64], &AttentionMask::causal());
    assert_attention("causal behind a cache", 1, [3, 1, 9, 200, 64], &AttentionMask::causal());
}

#[test]
fn masks_hide_what_they_hide_on_the_processor() {
    let (s, t) = (70, 70);
    let causal = AttentionMask::causal;
    let padded: Vec<bool> = (0..2 * t).map(|at| if at < t { at >= 11 } else { at % t < 64 }).collect();
    let segments: Vec<i32> = (0..t)
        .map(|at| [5, 5, 6, 7, -1][(at / 15).min(4)] * i32::from(at != 3) - i32::from(at == 3))
        .collect();
    let branches: Vec<i32> = (0..t).map(|at| [0, 0, 1, 2, 2, 3, -1][at / 10]).collect();
    let beginnings: Vec<i32> = (0..t as i32).map(|at| at / 35).collect();
    let of_both: Vec<i32> = (0..t).map(|at| [0, 1, 1, 2, 0][(at % 35) / 8]).collect();
    let masks = [
        ("a window", 1, causal().with_window(Some(9))),
        ("padding", 2, AttentionMask::bidirectional().with_padding(2, &padded).unwrap()),
        ("causal padding", 2, causal().with_padding(2, &padded).unwrap()),
        ("segments", 1, AttentionMask::bidirectional().with_segments(1, &segments).unwrap()),
        ("causal segments for two rows", 2, causal().with_segments(1, &segments).unwrap()),
        ("branches", 1, causal().with_branches(1, &branches).unwrap()),
        ("packed branches", 1, causal().with_packed_branches(1, &beginnings, &of_both).unwrap()),
    ];
    for (what, batch, mask) in masks {
        assert_attention(what, batch, [2, 1, s, t, 32], &mask);
    }
    // Keys of another sequence than the queries.
    let shown: Vec<bool> = (0..2 * 40).map(|at| at % 40 < 29).collect();
    let mask = AttentionMask::bidirectional().with_padding(2, &shown).unwrap();
    assert_attention("padded keys", 2, [2, 2, 50, 40, 32], &mask);
}

#[test]
fn a_long_cache_is_split_among_blocks_whose_parts_are_joined() {
    let causal = AttentionMask::causal();
    let few = call(1, [4, 2, 1, 700, 64], true);
    assert_attention("one query behind a cache", 1, [4, 2, 1, 700, 64], &causal);
    // Some splits see nothing at all.
    let padded: Vec<bool> = (0..700).map(|at| at >= 600).collect();
    let mask = AttentionMask::causal().with_padding(1, &padded).unwrap();
    assert_attention("padding before the cache", 1, [2, 1, 3, 700, 32], &mask);
    let nothing = AttentionMask::causal().with_padding(1, &[false; 700]).unwrap();
    assert_attention("nothing but padding", 1, [1, 1, 2, 700, 32], &nothing);
    assert_eq!(few.by_rows().rows, 16);
}

#[test]
fn a_cache_with_room_behind_is_read_where_it_lies() {
    let (keys, room, hd) = (70, 128, 32);
    let mask = AttentionMask::causal();
    let dtype = DType::BF16;
    let q = numbers(1, &[2, 4, 3, hd], dtype);
    let buffers = [2, 3].map(|seed| numbers(seed, &[2, 2, room, hd], dtype));
    let wide = |xs: &Tensor| xs.to_dtype(DType::F32).unwrap();
    let [k, v] = buffers.each_ref().map(|xs| wide(&xs.narrow(2, 0, keys).unwrap()));
    let wanted = ops::attention(&wide(&q), &k, &v, (hd as f64).powf(-0.5), &mask).unwrap();
    let call = Attention { k: Places::heads_first(2, room, hd), ..call(2, [4, 2, 3, keys, hd], true) };
    assert_even_kernels("a cache", HALVES[0].1, &[wanted], |processor| {
        let mut held = [&q, &buffers[0], &buffers[1]].map(|xs| processor.upload(xs).unwrap());
        let inputs = held.each_mut().map(|memory| processor.values(memory));
        let (_ids, mut by_rows, _by_keys) = upload_mask(processor, &mask, call)?;
        let sight = Sight { mask: &mask, ids: None, by_rows: processor.values(&mut by_rows) };
        Ok(vec![kernels::attention(processor, inputs, sight, call)?.0])
    });
}

#[test]
fn scores_that_are_no_numbers_are_not_lost() {
    let sizes = [1, 1, 5, 70, 32];
    let mut inputs = [(1, 5), (2, 70), (3, 70)].map(|(seed, n)| numbers(seed, &[1, 1, n, 32], DType::BF16));
    let spoilt = Tensor::full(f32::NAN, (1, 1, 1, 32), &Device::Cpu).unwrap().to_dtype(DType::BF16).unwrap();
    inputs[0] = inputs[0].slice_scatter(&spoilt, 2, 3).unwrap();
    let grad = numbers(4, &[1, 1, 5, 32], DType::BF16);
    let processor = Processor::default();
    let mask = AttentionMask::bidirectional();
    let found = run(&processor, &mask, call(1, sizes, true), &inputs, &grad).unwrap();
    let out = processor.download(&found[0]).unwrap().to_dtype(DType::F32).unwrap().reshape((5, 32)).unwrap();
    for (row, values) in out.to_vec2::<f32>().unwrap().iter().enumerate() {
        assert!(values.iter().all(|x| x.is_nan() == (row == 3)), "row {row}: {values:?}");
    }
}

#[test]
fn what_attention_cannot_take_is_refused() {
    let mask = AttentionMask::causal();
    let said = |processor: &Processor, sizes: Sizes, dtype: DType, mask: &AttentionMask| {
        let [query, key, queries, keys, hd] = sizes;
        let dims = [[1, query, queries, hd], [1, key, keys, hd], [1, key, keys, hd]];
        let inputs = dims.map(|dims| numbers(1, &dims, dtype));
        let call = call(1, sizes, true);
        run(processor, mask, call, &inputs, &inputs[0]).expect_err("an error").to_string()
    };
    let even = Processor::default();
    let crooked = said(&Processor { crooked: true, ..even }, [1, 1, 4, 4, 32], DType::F16, &mask);
    assert!(crooked.contains("have to lie on 16 bytes"), "{crooked}");
    let wide = said(&even, [1, 1, 4, 4, 152], DType::F16, &mask);
    assert!(wide.contains("no attention kernel takes heads of 152"), "{wide}");
    let single = said(&even, [1, 1, 4, 4, 32], DType::F32, &mask);
    assert!(single.contains("in F32"), "{single}");
    let unshared = said(&even, [3, 2, 4, 4, 32], DType::F16, &mask);
    assert!(unshared.contains("3 query heads cannot share 2"), "{unshared}");
    let other = said(&even, [1, 1, 4, 4, 32], DType::F16, &mask.with_padding(1, &[true; 5]).unwrap());
    assert!(other.contains("5 keys"), "{other}");
}
