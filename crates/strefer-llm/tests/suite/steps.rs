//! Steps of answers under way, which a card may launch as one, against steps that are computed each time.

use candle_core::{DType, Tensor};
use strefer_llm::decoder::Steps;
use strefer_llm::{Decoder, DecoderConfig, KvCache};
use strefer_nn::ParamStore;
use strefer_nn::ops::{AttentionMask, has_kernels};
use strefer_nn::testing::{device, randn};

/// Of the type and with heads that kernels on cards take.
fn decoder() -> Decoder {
    let cfg = DecoderConfig {
        hidden_size: 128,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        num_key_value_heads: 1,
        ..DecoderConfig::tiny(40)
    };
    let store = ParamStore::new(5, device(), DType::BF16);
    let mut decoder = Decoder::new(&cfg, store.var_builder()).unwrap();
    decoder.join_products().unwrap();
    decoder
}

/// Rows that have seen prompts of these lengths.
fn caches(decoder: &Decoder, lens: &[usize]) -> Vec<KvCache> {
    let seen = |(row, &s): (usize, &usize)| {
        let mut cache = KvCache::new(decoder.config());
        let (embeds, positions) = (embeds(row as u64, 1, s), positions(&[0], s));
        decoder.forward(&embeds, &positions, &AttentionMask::causal(), Some(&mut cache)).unwrap();
        cache
    };
    lens.iter().enumerate().map(seen).collect()
}

fn embeds(seed: u64, b: usize, s: usize) -> Tensor {
    randn(seed, &[b, s, 128]).to_dtype(DType::BF16).unwrap().to_device(device()).unwrap()
}

fn positions(held: &[usize], s: usize) -> Tensor {
    let all: Vec<u32> = held.iter().flat_map(|&held| (held..held + s).map(|at| at as u32)).collect();
    Tensor::from_vec(all, (held.len(), s), device()).unwrap()
}

#[test]
fn steps_are_the_same_however_they_are_launched() {
    let decoder = decoder();
    let lens = [600, 250, 70];
    let (mut caches, mut others) = (caches(&decoder, &lens), caches(&decoder, &lens));
    let mut steps = Steps::new(&decoder);
    // Over places where buffers grow, that of the longest row last, and with a row that leaves.
    for step in 0..18 {
        if step == 14 {
            caches.remove(1);
            others.remove(1);
        }
        let held: Vec<usize> = caches.iter().map(KvCache::len).collect();
        let (embeds, positions) = (embeds(50 + step, caches.len(), 1), positions(&held, 1));
        let mut rows: Vec<&mut KvCache> = caches.iter_mut().collect();
        let found = steps.step(&embeds, &positions, &mut rows).unwrap();
        let mut rows: Vec<&mut KvCache> = others.iter_mut().collect();
        let mask = AttentionMask::causal();
        let wanted = decoder.forward_rows(&embeds, &positions, &mask, &mut rows).unwrap();
        let numbers = |xs: &Tensor| -> Vec<f32> {
            xs.to_dtype(DType::F32).and_then(|xs| xs.flatten_all()?.to_vec1()).unwrap()
        };
        assert_eq!(numbers(&found), numbers(&wanted), "step {step}");
        assert!(caches.iter().zip(&held).all(|(cache, held)| cache.len() == held + 1));
    }
    // On cards whose kernels take it, all but the first three of each kind.
    assert_eq!(steps.replayed(), if has_kernels(device()) { 11 + 1 } else { 0 });
    assert!(steps.step(&embeds(1, 2, 1), &positions(&[0, 0], 1), &mut []).is_err());
}
