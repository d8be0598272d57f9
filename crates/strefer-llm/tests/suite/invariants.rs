//! What must hold for any weights: batches equal their rows, packed sequences equal separate ones, cached steps equal
//! the full pass.

use candle_core::{DType, Tensor};
use strefer_llm::decoder::{ExtraRows, Layout, LoraSettings, positions_of};
use strefer_llm::{Decoder, DecoderConfig, KvCache};
use strefer_nn::ParamStore;
use strefer_nn::ops::AttentionMask;
use strefer_nn::testing::{assert_close, device, randn};

fn configs() -> Vec<DecoderConfig> {
    let plain = DecoderConfig { num_hidden_layers: 2, ..DecoderConfig::tiny(60) };
    let extra = Some(ExtraRows { first_id: 50, count: 7 });
    vec![
        plain.clone(),
        DecoderConfig { layout: Layout::Fused, num_key_value_heads: 4, ..plain.clone() },
        DecoderConfig { sliding_window: Some(3), max_window_layers: 1, ..plain.clone() },
        DecoderConfig { tie_word_embeddings: false, extra_rows: extra, ..plain },
    ]
}

fn decoder(cfg: &DecoderConfig) -> Decoder {
    let store = ParamStore::new(3, device(), DType::F32);
    Decoder::new(cfg, store.var_builder()).unwrap()
}

fn arange(start: usize, end: usize) -> Tensor {
    Tensor::arange(start as u32, end as u32, device()).unwrap().unsqueeze(0).unwrap()
}

fn full(decoder: &Decoder, embeds: &Tensor) -> Tensor {
    let s = embeds.dim(1).unwrap();
    decoder.forward(embeds, &arange(0, s), &AttentionMask::causal(), None).unwrap()
}

#[test]
fn cached_steps_equal_the_full_pass() {
    for cfg in configs() {
        let decoder = decoder(&cfg);
        let embeds = randn(1, &[2, 9, cfg.hidden_size]);
        let wanted = full(&decoder, &embeds);
        let mut cache = KvCache::new(&cfg);
        let mut found = Vec::new();
        for (start, end) in [(0, 4), (4, 5), (5, 8), (8, 9)] {
            let part = embeds.narrow(1, start, end - start).unwrap();
            let mask = AttentionMask::causal();
            found.push(decoder.forward(&part, &arange(start, end), &mask, Some(&mut cache)).unwrap());
        }
        assert_close(&Tensor::cat(&found, 1).unwrap(), &wanted, 1e-5);
        cache.truncate(5);
        let part = embeds.narrow(1, 5, 4).unwrap();
        let again =
            decoder.forward(&part, &arange(5, 9), &AttentionMask::causal(), Some(&mut cache)).unwrap();
        assert_close(&again, &wanted.narrow(1, 5, 4).unwrap(), 1e-5);
    }
}

#[test]
fn joined_products_give_what_they_gave_apart() {
    let lora = LoraSettings { rank: 4, alpha: 8.0, modules: vec!["q_proj".into()] };
    let updated = DecoderConfig { lora: Some(lora), ..configs()[0].clone() };
    for cfg in configs().into_iter().chain([updated]) {
        let apart = decoder(&cfg);
        let mut joined = apart.clone();
        joined.join_products().unwrap();
        let embeds = randn(1, &[2, 5, cfg.hidden_size]);
        assert_close(&full(&joined, &embeds), &full(&apart, &embeds), 1e-6);
        let steps = |decoder: &Decoder| {
            let mut cache = KvCache::new(&cfg);
            let step = |(start, s): (usize, usize)| {
                let part = embeds.narrow(1, start, s).unwrap();
                let positions = arange(start, start + s);
                decoder.forward(&part, &positions, &AttentionMask::causal(), Some(&mut cache)).unwrap()
            };
            Tensor::cat(&[(0, 4), (4, 1)].map(step), 1).unwrap()
        };
        assert_close(&steps(&joined), &steps(&apart), 1e-6);
    }
}

#[test]
fn a_cache_that_grows_past_its_first_block_keeps_what_it_held() {
    let cfg = DecoderConfig { num_hidden_layers: 1, max_position_embeddings: 300, ..DecoderConfig::tiny(60) };
    let decoder = decoder(&cfg);
    let embeds = randn(1, &[1, 300, cfg.hidden_size]);
    let mut cache = KvCache::new(&cfg);
    for (start, end) in [(0, 250), (250, 290), (290, 300)] {
        let part = embeds.narrow(1, start, end - start).unwrap();
        let mask = AttentionMask::causal();
        let found = decoder.forward(&part, &arange(start, end), &mask, Some(&mut cache)).unwrap();
        assert_close(&found, &full(&decoder, &embeds).narrow(1, start, end - start).unwrap(), 1e-5);
    }
    let one = randn(2, &[1, 1, cfg.hidden_size]);
    let error = decoder.forward(&one, &arange(300, 301), &AttentionMask::causal(), Some(&mut cache));
    assert!(error.unwrap_err().to_string().contains("300 positions"));
}

#[test]
fn a_padded_batch_equals_its_rows_on_either_side() {
    for cfg in configs() {
        let decoder = decoder(&cfg);
        let (short, long) = (randn(1, &[1, 4, cfg.hidden_size]), randn(2, &[1, 7, cfg.hidden_size]));
        let (alone_short, alone_long) = (full(&decoder, &short), full(&decoder, &long));
        let filler = randn(3, &[1, 3, cfg.hidden_size]);
        for left in [true, false] {
            let row = if left { [&filler, &short] } else { [&short, &filler] };
            let batch = Tensor::cat(&[&Tensor::cat(&row, 1).unwrap(), &long], 0).unwrap();
            let start = if left { 3 } else { 0 };
            let valid: Vec<bool> = (0..14).map(|at| at >= 7 || (start..start + 4).contains(&at)).collect();
            let mask = AttentionMask::causal().with_padding(2, &valid).unwrap();
            let positions = positions_of(2, &valid, device()).unwrap();
            let found = decoder.forward(&batch, &positions, &mask, None).unwrap();
            assert_close(&found.narrow(0, 1, 1).unwrap(), &alone_long, 1e-5);
            let found = found.narrow(0, 0, 1).unwrap().narrow(1, start, 4).unwrap();
            assert_close(&found, &alone_short, 1e-5);
        }
    }
}

#[test]
fn packed_sequences_equal_separate_ones() {
    for cfg in configs() {
        let decoder = decoder(&cfg);
        let parts = [randn(1, &[1, 3, cfg.hidden_size]), randn(2, &[1, 5, cfg.hidden_size])];
        let packed = Tensor::cat(&parts, 1).unwrap();
        let mask = AttentionMask::causal().with_segments(1, &[0, 0, 0, 1, 1, 1, 1, 1]).unwrap();
        let positions = Tensor::new(&[[0u32, 1, 2, 0, 1, 2, 3, 4]], device()).unwrap();
        let found = decoder.forward(&packed, &positions, &mask, None).unwrap();
        let wanted = [full(&decoder, &parts[0]), full(&decoder, &parts[1])];
        assert_close(&found, &Tensor::cat(&wanted, 1).unwrap(), 1e-5);
    }
}

#[test]
fn branches_equal_sequences_with_the_same_beginning() {
    for cfg in configs() {
        if cfg.sliding_window.is_some() {
            continue;
        }
        let decoder = decoder(&cfg);
        let [shared, one, other] =
            [(1, 3), (2, 2), (3, 4)].map(|(seed, s)| randn(seed, &[1, s, cfg.hidden_size]));
        let row = Tensor::cat(&[&shared, &one, &other], 1).unwrap();
        let mask = AttentionMask::causal().with_branches(1, &[0, 0, 0, 1, 1, 2, 2, 2, 2]).unwrap();
        let positions = Tensor::new(&[[0u32, 1, 2, 3, 4, 3, 4, 5, 6]], device()).unwrap();
        let found = decoder.forward(&row, &positions, &mask, None).unwrap();
        let apart = [&one, &other].map(|branch| full(&decoder, &Tensor::cat(&[&shared, branch], 1).unwrap()));
        assert_close(&found.narrow(1, 0, 5).unwrap(), &apart[0], 1e-5);
        assert_close(&found.narrow(1, 5, 4).unwrap(), &apart[1].narrow(1, 3, 4).unwrap(), 1e-5);
    }
}

#[test]
fn the_chunked_loss_equals_the_loss_from_logits() {
    for cfg in configs() {
        let decoder = decoder(&cfg);
        let hidden = full(&decoder, &randn(1, &[2, 6, cfg.hidden_size]));
        let labels = [[-100i64, 3, -100, 5, 49, 0], [1, 1, 2, -100, -100, -100]];
        let (sum, count) = decoder.loss(&hidden, &Tensor::new(&labels, device()).unwrap()).unwrap();
        assert_eq!(count, 6);
        let logits = decoder.logits(&hidden).unwrap();
        assert_eq!(logits.dim(2).unwrap(), cfg.logit_count());
        let logs = candle_nn::ops::log_softmax(&logits, 2).unwrap().to_vec3::<f32>().unwrap();
        let mut wanted = 0.0;
        for (b, row) in labels.iter().enumerate() {
            for (at, label) in row.iter().enumerate().skip(1).filter(|(_, label)| **label >= 0) {
                wanted -= logs[b][at - 1][*label as usize];
            }
        }
        assert!((sum.to_scalar::<f32>().unwrap() - wanted).abs() < 1e-4);
    }
}
