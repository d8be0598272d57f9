//! Attention by cuDNN, as far as it can be tried without a card: the library makes plans for a card of which it is told.

use std::fs;
use std::path::Path;

use candle_core::DType;
use strefer_nn::cudnn::{Library, Plan, Shape, Target};
use strefer_nn::kernels::{Attention, Places, Ragged};
use strefer_nn::ops::{AttentionMask, Heads};

/// What cuDNN says of an H200.
const CARD: &str = "tests/data/h200.json";

/// Kernels that keep scores to themselves need less than this. A matrix of scores would be a hundred times as large.
const MOST_BYTES: usize = 1 << 16;

/// Query heads, key heads, width of a head.
type Widths = [usize; 3];

fn shape(
    batch: usize,
    [query, key, hd]: Widths,
    lengths: [usize; 2],
    mask: &AttentionMask,
    dtype: DType,
) -> Shape {
    let [queries, keys] = lengths;
    let heads = Heads { query, key, scale: (hd as f64).powf(-0.5) };
    let q = Places::side_by_side(query, queries, hd);
    let k = Places::side_by_side(key, keys, hd);
    let call = Attention { batch, queries, keys, heads, hd, q, k, out: q };
    let (ragged, _lists) = Ragged::new(call, mask).expect("sequences");
    Shape::new(&ragged, dtype)
}

#[test]
fn a_library_that_is_missing_or_another_is_named() {
    let missing = Library::open("/nowhere/libcudnn.so.9").unwrap_err().to_string();
    assert!(missing.contains("/nowhere/libcudnn.so.9") && missing.contains("STREFER_CUDNN"), "{missing}");
    let other = Library::open("libm.so.6").unwrap_err().to_string();
    assert!(other.contains("libm.so.6") && other.contains("cudnnGetVersion"), "{other}");
}

#[test]
#[ignore = "needs cuDNN: scripts/cudnn-plans"]
fn there_are_plans_for_the_shapes_that_models_have() {
    let card = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(CARD)).unwrap();
    let target = Target::Described(&card);
    let (all, causal) = (AttentionMask::bidirectional, AttentionMask::causal);
    let ids: Vec<i32> = (0..4096).map(|at| (at / 700) - i32::from(at / 700 == 5) * 6).collect();
    let packed = causal().with_segments(1, &ids).unwrap();
    let cases = [
        ("SigLIP", 32, [16, 16, 72], [729, 729], all(), false),
        ("SigLIP, trained", 4, [16, 16, 64], [729, 729], all(), true),
        ("Qwen2-7B", 1, [28, 4, 128], [4096, 4096], causal(), true),
        ("Qwen2-1.5B, packed", 1, [12, 2, 128], [4096, 4096], packed, true),
        ("Qwen2-0.5B, padded", 8, [14, 2, 64], [300, 300], causal(), true),
        ("Phi-3, without grouped heads", 2, [32, 32, 96], [1024, 1024], causal(), true),
        ("behind a cache", 1, [28, 4, 128], [300, 3000], causal(), true),
        ("narrow heads", 1, [2, 1, 8], [100, 100], causal(), false),
        ("wide heads", 1, [2, 1, 144], [100, 100], causal(), true),
        ("resampled", 8, [16, 8, 128], [128, 729], all(), true),
    ];
    for (what, batch, widths, lengths, mask, trained) in cases {
        for dtype in [DType::BF16, DType::F16] {
            let shape = shape(batch, widths, lengths, &mask, dtype);
            let plan = Plan::forward(&shape, &target).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert!(plan.workspace() < MOST_BYTES, "{what} in {dtype:?}: {} bytes", plan.workspace());
            if trained {
                let plan = Plan::backward(&shape, &target).unwrap_or_else(|error| panic!("{what}: {error}"));
                assert!(plan.workspace() < MOST_BYTES, "{what} in {dtype:?}: {} bytes", plan.workspace());
            }
        }
    }
}

#[test]
#[ignore = "needs cuDNN: scripts/cudnn-plans"]
fn heads_that_the_library_cannot_take_are_refused() {
    let card = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(CARD)).unwrap();
    let shape = shape(1, [2, 2, 64], [128, 128], &AttentionMask::causal(), DType::F32);
    let said = Plan::forward(&shape, &Target::Described(&card)).unwrap_err().to_string();
    assert!(said.contains("not in F32"), "{said}");
    let said = Plan::forward(&shape, &Target::Described("{}")).unwrap_err().to_string();
    assert!(!said.is_empty());
}
