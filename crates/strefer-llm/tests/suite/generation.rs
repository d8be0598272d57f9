//! Generation as callers see it.

use std::ops::ControlFlow;

use candle_core::{DType, Tensor};
use strefer_llm::{
    Batcher, Decoder, DecoderConfig, Error, GenerationConfig, KvCache, RopeScaling, Tokenizer,
};
use strefer_llm::{
    generate, generate_after, generate_scored, generate_text, generate_texts, remember, train_bpe,
};
use strefer_nn::ParamStore;
use strefer_nn::ops::AttentionMask;
use strefer_nn::testing::{assert_close, device, randn};

use crate::{Case, cases, padding};

fn go_on(_: u32) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn tokenizer() -> Tokenizer {
    train_bpe(["the red ball rolls, the blue box stays".to_string()], 300, &["<end>"]).unwrap()
}

fn decoder(vocab: usize) -> Decoder {
    let cfg =
        DecoderConfig { num_hidden_layers: 1, max_position_embeddings: 64, ..DecoderConfig::tiny(vocab) };
    let store = ParamStore::new(5, device(), DType::F32);
    Decoder::new(&cfg, store.var_builder()).unwrap()
}

#[test]
fn each_row_alone_generates_the_recorded_tokens() {
    let runs = |case: &Case| [case.any_runs("greedy_"), case.any_runs("cross_")].concat();
    let all: Vec<(Case, String)> = cases()
        .into_iter()
        .flat_map(|case| runs(&case).into_iter().map(move |run| (case.clone(), run)))
        .collect();
    assert!(all.iter().any(|(_, run)| run.starts_with("cross_")));
    for (case, run) in all {
        let (decoder, _) = case.build();
        let golden = case.golden(&run);
        let ids: Vec<Vec<i64>> = golden.tensor("in.input_ids").to_vec2().unwrap();
        let wanted: Vec<Vec<i64>> = golden.tensor("out.tokens").to_vec2().unwrap();
        let (valid, _) = padding(&golden.tensor("in.attention_mask"));
        for (row, ids) in ids.iter().enumerate() {
            let valid = &valid[row * ids.len()..][..ids.len()];
            let ids: Vec<u32> =
                ids.iter().zip(valid).filter(|(_, valid)| **valid).map(|(id, _)| *id as u32).collect();
            let prompt = decoder.embed(&Tensor::new(ids, device()).unwrap().unsqueeze(0).unwrap()).unwrap();
            let cfg = GenerationConfig { max_new_tokens: wanted[row].len(), ..GenerationConfig::default() };
            let mut seen = Vec::new();
            let tokens = generate(&decoder, &prompt, &cfg, |token| {
                seen.push(token);
                ControlFlow::Continue(())
            });
            assert_eq!(tokens.unwrap().into_iter().map(i64::from).collect::<Vec<_>>(), wanted[row]);
            assert_eq!(seen.len(), wanted[row].len());
        }
    }
}

#[test]
fn a_prompt_too_long_for_one_portion_is_continued_as_if_seen_whole() {
    let cfg =
        DecoderConfig { num_hidden_layers: 1, max_position_embeddings: 1200, ..DecoderConfig::tiny(40) };
    let store = ParamStore::new(5, device(), DType::F32);
    let decoder = Decoder::new(&cfg, store.var_builder()).unwrap();
    let s = 1100;
    let prompt = randn(1, &[1, s, cfg.hidden_size]);
    let positions = Tensor::arange(0u32, s as u32, device()).unwrap().unsqueeze(0).unwrap();
    let hidden = decoder.forward(&prompt, &positions, &AttentionMask::causal(), None).unwrap();
    let last = decoder.logits(&hidden.narrow(1, s - 1, 1).unwrap()).unwrap().flatten_all().unwrap();
    let best = last.argmax(0).unwrap().to_scalar::<u32>().unwrap();
    let one = GenerationConfig { max_new_tokens: 1, ..GenerationConfig::default() };
    assert_eq!(generate(&decoder, &prompt, &one, go_on).unwrap(), [best]);
}

#[test]
fn generation_stops_at_an_end_token_at_the_callers_wish_and_at_the_limit() {
    let decoder = decoder(40);
    let prompt = randn(1, &[1, 5, 128]);
    let free =
        GenerationConfig { max_new_tokens: 8, temperature: 1.0, seed: 4, ..GenerationConfig::default() };
    let tokens = generate(&decoder, &prompt, &free, go_on).unwrap();
    assert_eq!(tokens.len(), 8);
    assert_eq!(tokens, generate(&decoder, &prompt, &free, go_on).unwrap(), "a seed gives one answer");
    let end = tokens[3];
    let first = tokens.iter().position(|token| *token == end).unwrap();
    let stopping = GenerationConfig { eos_ids: vec![end], ..free.clone() };
    assert_eq!(generate(&decoder, &prompt, &stopping, go_on).unwrap(), tokens[..=first]);
    let mut left = 2;
    let broken = generate(&decoder, &prompt, &free, |_| {
        left -= 1;
        if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    assert_eq!(broken.unwrap(), tokens[..2]);
    let long = GenerationConfig { max_new_tokens: 1000, ..free };
    assert!(matches!(generate(&decoder, &prompt, &long, go_on), Err(Error::TooLong { limit: 64, .. })));
    let too_long = randn(1, &[1, 65, 128]);
    assert!(matches!(generate(&decoder, &too_long, &long, go_on), Err(Error::TooLong { wanted: 65, .. })));
}

#[test]
fn streamed_text_is_the_text_and_ends_before_a_stop_string() {
    let tokenizer = tokenizer();
    let decoder = decoder(tokenizer.vocab_size());
    let prompt = randn(2, &[1, 4, 128]);
    let free =
        GenerationConfig { max_new_tokens: 40, temperature: 3.0, seed: 9, ..GenerationConfig::default() };
    let mut streamed = String::new();
    let whole = generate_text(&decoder, &tokenizer, &prompt, &free, |piece| {
        streamed.push_str(piece);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(streamed, whole.text);
    assert_eq!(whole.text, tokenizer.decode(&whole.tokens, true).unwrap());
    let middle: Vec<char> = whole.text.chars().filter(|c| *c != '\u{FFFD}').collect();
    let stop = middle[middle.len() / 2].to_string();
    let stopping = GenerationConfig { stop: vec![stop.clone()], ..free };
    streamed.clear();
    let cut = generate_text(&decoder, &tokenizer, &prompt, &stopping, |piece| {
        streamed.push_str(piece);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(cut.text, whole.text.split(&stop).next().unwrap());
    assert_eq!(streamed, cut.text);
    assert!(cut.tokens.len() < whole.tokens.len());
}

#[test]
fn weights_that_are_no_numbers_are_an_error_not_an_answer() {
    let decoder = decoder(40);
    let prompt = (randn(1, &[1, 3, 128]) * f64::NAN).unwrap();
    let error = generate(&decoder, &prompt, &GenerationConfig::default(), go_on).unwrap_err();
    assert!(matches!(error, Error::NonFiniteLogits { step: 0 }));
}

#[test]
fn questions_that_share_a_cached_beginning_get_the_same_answers() {
    let decoder = decoder(40);
    let (video, first, second) = (randn(1, &[1, 9, 128]), randn(2, &[1, 4, 128]), randn(3, &[1, 6, 128]));
    let cfg = GenerationConfig { max_new_tokens: 6, ..GenerationConfig::default() };
    let mut cache = KvCache::new(decoder.config());
    let positions = Tensor::arange(0u32, 9, device()).unwrap().unsqueeze(0).unwrap();
    decoder.forward(&video, &positions, &AttentionMask::causal(), Some(&mut cache)).unwrap();
    for question in [&first, &second, &first] {
        let found = generate_after(&decoder, &mut cache, question, &cfg, go_on).unwrap();
        cache.truncate(9);
        let whole = Tensor::cat(&[&video, question], 1).unwrap();
        assert_eq!(found, generate(&decoder, &whole, &cfg, go_on).unwrap());
    }
}

#[test]
fn questions_side_by_side_behind_one_beginning_are_answered_as_each_alone_with_their_probabilities() {
    let decoder = decoder(40);
    let beginning = randn(1, &[1, 9, 128]);
    let questions = [randn(2, &[1, 4, 128]), randn(3, &[1, 6, 128]), randn(4, &[1, 1, 128])];
    let cfg = GenerationConfig { max_new_tokens: 6, ..GenerationConfig::default() };
    let mut cache = KvCache::new(decoder.config());
    remember(&decoder, &mut cache, &beginning).unwrap();
    let mut forks: Vec<KvCache> = questions.iter().map(|_| cache.fork().unwrap()).collect();
    let answers = generate_scored(&decoder, &mut forks, &questions, &cfg);
    assert_eq!(cache.len(), 9);
    for (question, answer) in questions.iter().zip(answers) {
        let answer = answer.unwrap();
        let whole = Tensor::cat(&[&beginning, question], 1).unwrap();
        assert_eq!(answer.tokens, generate(&decoder, &whole, &cfg, go_on).unwrap());
        // The same by one pass over prompt and answer.
        let ids = Tensor::new(&answer.tokens[..], device()).unwrap().unsqueeze(0).unwrap();
        let embeds = Tensor::cat(&[&whole, &decoder.embed(&ids).unwrap()], 1).unwrap();
        let (s, n) = (embeds.dim(1).unwrap(), answer.tokens.len());
        let positions = Tensor::arange(0u32, s as u32, device()).unwrap().unsqueeze(0).unwrap();
        let hidden = decoder.forward(&embeds, &positions, &AttentionMask::causal(), None).unwrap();
        let logits = decoder.logits(&hidden.narrow(1, s - n - 1, n).unwrap()).unwrap();
        for (at, logits) in logits.squeeze(0).unwrap().to_vec2::<f32>().unwrap().iter().enumerate() {
            let sum: f64 = logits.iter().map(|logit| f64::from(*logit).exp()).sum();
            let wanted = f64::from(logits[answer.tokens[at] as usize]) - sum.ln();
            assert!((answer.log_probabilities[at] - wanted).abs() < 1e-4);
        }
    }
    let lonely = generate_scored(&decoder, &mut [], &questions, &cfg);
    assert!(lonely.iter().all(|answer| matches!(answer, Err(Error::Generation(_)))));
    assert!(remember(&decoder, &mut cache, &randn(1, &[2, 3, 128])).is_err());
}

#[test]
fn a_cached_beginning_cannot_grow_beyond_the_length_at_which_the_rotation_changes() {
    let case = cases().into_iter().find(|case| !case.any_runs("cross_").is_empty()).unwrap();
    let (decoder, _) = case.build();
    let mut cache = KvCache::new(&case.cfg);
    let prompt = randn(2, &[1, 6, case.cfg.hidden_size]);
    let cfg = GenerationConfig { max_new_tokens: 2, ..GenerationConfig::default() };
    generate_after(&decoder, &mut cache, &prompt, &cfg, go_on).unwrap();
    let more = GenerationConfig { max_new_tokens: 12, ..cfg };
    let error = generate_after(&decoder, &mut cache, &prompt, &more, go_on).unwrap_err();
    assert!(matches!(&error, Error::Generation(reason) if reason.contains("beyond 10 positions")), "{error}");
}

#[test]
fn several_prompts_at_once_are_answered_as_each_alone() {
    let tokenizer = tokenizer();
    let decoder = decoder(tokenizer.vocab_size());
    let prompts: Vec<Tensor> = [5, 1, 17, 9].iter().map(|&s| randn(s as u64, &[1, s, 128])).collect();
    for temperature in [0.0, 1.0] {
        let cfg = GenerationConfig {
            max_new_tokens: 12,
            temperature,
            repetition_penalty: 1.1,
            seed: 3,
            ..GenerationConfig::default()
        };
        let alone: Vec<_> = prompts
            .iter()
            .map(|prompt| {
                generate_text(&decoder, &tokenizer, prompt, &cfg, |_| ControlFlow::Continue(())).unwrap()
            })
            .collect();
        // One row ends early; the others go on.
        let end = alone[2].tokens[4];
        let cfg = GenerationConfig { eos_ids: vec![end], ..cfg };
        let alone: Vec<_> = prompts
            .iter()
            .map(|prompt| {
                generate_text(&decoder, &tokenizer, prompt, &cfg, |_| ControlFlow::Continue(())).unwrap()
            })
            .collect();
        assert!(alone.iter().any(|answer| answer.tokens.len() < 12));
        let together = generate_texts(&decoder, &tokenizer, &prompts, &cfg);
        let together: Vec<_> = together.into_iter().map(Result::unwrap).collect();
        assert_eq!(together, alone);
    }
    assert!(generate_texts(&decoder, &tokenizer, &[], &GenerationConfig::default()).is_empty());
}

#[test]
fn several_prompts_at_once_are_answered_as_each_alone_by_every_recorded_model() {
    let tokenizer = tokenizer();
    for case in cases() {
        let decoder = case.build().0;
        let prompts: Vec<Tensor> =
            [7, 3, 12].iter().map(|&s| randn(s as u64, &[1, s, case.cfg.hidden_size])).collect();
        let cfg = GenerationConfig { max_new_tokens: 12, ..GenerationConfig::default() };
        let together = generate_texts(&decoder, &tokenizer, &prompts, &cfg);
        for (prompt, together) in prompts.iter().zip(together) {
            let alone = generate_text(&decoder, &tokenizer, prompt, &cfg, |_| ControlFlow::Continue(()));
            assert_eq!(together.unwrap(), alone.unwrap(), "{}", case.dir.display());
        }
    }
}

#[test]
fn what_goes_wrong_with_one_prompt_leaves_the_others_their_answers() {
    let tokenizer = tokenizer();
    let decoder = decoder(tokenizer.vocab_size());
    let broken = (randn(1, &[1, 3, 128]) * f64::NAN).unwrap();
    let prompts = [randn(1, &[1, 60, 128]), randn(2, &[1, 4, 128]), broken, randn(3, &[1, 65, 128])];
    let cfg = GenerationConfig { max_new_tokens: 8, ..GenerationConfig::default() };
    let answers = generate_texts(&decoder, &tokenizer, &prompts, &cfg);
    assert!(matches!(answers[0], Err(Error::TooLong { wanted: 65, limit: 64 })));
    assert_eq!(answers[1].as_ref().unwrap().tokens.len(), 8);
    assert!(matches!(answers[2], Err(Error::NonFiniteLogits { step: 0 })));
    assert!(matches!(answers[3], Err(Error::TooLong { wanted: 65, limit: 64 })));
}

#[test]
fn rows_with_caches_of_their_own_equal_the_full_passes() {
    // With LongRoPE a cache that crosses a length is of no use; `generate_texts` then begins anew.
    let alike = |case: &Case| !matches!(case.cfg.rope_scaling, Some(RopeScaling::Longrope { .. }));
    for case in cases().into_iter().filter(alike) {
        let (decoder, cfg) = (case.build().0, case.cfg.clone());
        let d = cfg.hidden_size;
        let mask = AttentionMask::causal();
        let lens = [7, 3, 5];
        let rows: Vec<Tensor> = lens.iter().map(|&s| randn(s as u64, &[1, s + 1, d])).collect();
        let positions = |start: usize, end: usize| {
            Tensor::arange(start as u32, end as u32, device()).unwrap().unsqueeze(0).unwrap()
        };
        let mut caches: Vec<KvCache> = lens.iter().map(|_| KvCache::new(&cfg)).collect();
        for ((row, &s), cache) in rows.iter().zip(&lens).zip(&mut caches) {
            decoder.forward(&row.narrow(1, 0, s).unwrap(), &positions(0, s), &mask, Some(cache)).unwrap();
        }
        let last: Vec<Tensor> =
            rows.iter().zip(&lens).map(|(row, &s)| row.narrow(1, s, 1).unwrap()).collect();
        let at: Vec<u32> = lens.iter().map(|&s| s as u32).collect();
        let at = Tensor::from_vec(at, (3, 1), device()).unwrap();
        let mut lent: Vec<&mut KvCache> = caches.iter_mut().collect();
        let found = decoder.forward_rows(&Tensor::cat(&last, 0).unwrap(), &at, &mask, &mut lent).unwrap();
        for (row, (xs, &s)) in rows.iter().zip(&lens).enumerate() {
            let full = decoder.forward(xs, &positions(0, s + 1), &mask, None).unwrap();
            assert_close(&found.narrow(0, row, 1).unwrap(), &full.narrow(1, s, 1).unwrap(), 1e-5);
        }
    }
}

#[test]
fn what_many_threads_ask_is_answered_as_each_alone() {
    let decoder = decoder(40);
    let batcher = Batcher::new(decoder.clone(), 3);
    let asked: Vec<(Tensor, GenerationConfig)> = (0..12)
        .map(|at| {
            let cfg = GenerationConfig {
                max_new_tokens: 3 * (at % 5),
                temperature: if at % 2 == 0 { 0.0 } else { 1.0 },
                seed: at as u64,
                ..GenerationConfig::default()
            };
            (randn(at as u64, &[1, 1 + at, 128]), cfg)
        })
        .collect();
    let answers: Vec<Vec<u32>> = std::thread::scope(|scope| {
        let batcher = &batcher;
        let ask = |(prompt, cfg)| scope.spawn(move || batcher.generate(prompt, cfg, None).unwrap());
        let threads: Vec<_> = asked.iter().map(|(prompt, cfg)| ask((prompt, cfg))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    for ((prompt, cfg), answer) in asked.iter().zip(answers) {
        assert_eq!(answer, generate(&decoder, prompt, cfg, go_on).unwrap());
    }
}

#[test]
fn a_batcher_outlives_what_goes_wrong_in_it() {
    let decoder = decoder(40);
    let batcher = Batcher::new(decoder.clone(), 4);
    let cfg = GenerationConfig { max_new_tokens: 5, ..GenerationConfig::default() };
    let good = randn(2, &[1, 4, 128]);
    let (broken, too_long) = ((&good * f64::NAN).unwrap(), randn(1, &[1, 65, 128]));
    std::thread::scope(|scope| {
        let ask = |prompt| {
            let (batcher, cfg) = (&batcher, &cfg);
            scope.spawn(move || batcher.generate(prompt, cfg, None))
        };
        let [first, bad, long, second] = [&good, &broken, &too_long, &good].map(ask);
        assert!(matches!(bad.join().unwrap(), Err(Error::NonFiniteLogits { step: 0 })));
        assert!(matches!(long.join().unwrap(), Err(Error::TooLong { wanted: 65, limit: 64 })));
        let alone = generate(&decoder, &good, &cfg, go_on).unwrap();
        assert_eq!(first.join().unwrap().unwrap(), alone);
        assert_eq!(second.join().unwrap().unwrap(), alone);
    });
}
