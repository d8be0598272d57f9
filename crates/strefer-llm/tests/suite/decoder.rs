//! Both families against recorded numbers: states, logits, loss, all gradients, greedy tokens.

use candle_core::{D, DType, Tensor, Var};
use strefer_llm::KvCache;
use strefer_llm::decoder::positions_of;
use strefer_nn::testing::{assert_all_grads, assert_close, device, max_abs_diff, randn, relative_diff};

use crate::{cases, padding, valid_rows};

#[test]
fn states_and_logits_match_the_reference() {
    for case in cases() {
        let (decoder, store) = case.build();
        store.check_complete().unwrap();
        for run in case.runs("prefill_") {
            let golden = case.golden(&run);
            let (valid, mask) = padding(&golden.tensor("in.attention_mask"));
            let embeds = decoder.embed(&golden.tensor("in.input_ids")).unwrap();
            let states = decoder.hidden_states(&embeds, &golden.tensor("in.position_ids"), &mask).unwrap();
            for (at, state) in states.iter().enumerate() {
                let wanted = golden.tensor(&format!("out.hidden_states.{at}"));
                assert_close(&valid_rows(state, &valid), &valid_rows(&wanted, &valid), 1e-5);
            }
            assert!(!golden.contains(&format!("out.hidden_states.{}", states.len())), "{run}");
            let logits = decoder.logits(&states[states.len() - 1]).unwrap();
            let wanted = golden.tensor("out.logits");
            assert!(max_abs_diff(&valid_rows(&logits, &valid), &valid_rows(&wanted, &valid)) < 1e-4, "{run}");
        }
    }
}

/// Whether a label is to be predicted from a padding column: what a query that sees nothing gives differs between
/// implementations (zeros here, an even mix of all columns there), so such a recording cannot be compared.
fn predicts_from_padding(valid: &[bool], labels: &Tensor) -> bool {
    let (_b, s) = labels.dims2().unwrap();
    let labels = labels.flatten_all().unwrap().to_vec1::<i64>().unwrap();
    labels.iter().enumerate().any(|(at, label)| at % s > 0 && *label != -100 && !valid[at - 1])
}

#[test]
fn the_loss_and_all_gradients_match_the_reference() {
    let mut left_padded = 0;
    for case in cases() {
        for run in case.runs("loss_grad_") {
            let (decoder, store) = case.build();
            let golden = case.golden(&run);
            let (valid, mask) = padding(&golden.tensor("in.attention_mask"));
            if predicts_from_padding(&valid, &golden.tensor("in.labels")) {
                continue;
            }
            left_padded +=
                usize::from(valid.chunks(golden.tensor("in.labels").dim(1).unwrap()).any(|row| !row[0]));
            let given = golden.contains("in.inputs_embeds");
            let embeds = if given {
                Some(Var::from_tensor(&golden.tensor("in.inputs_embeds")).unwrap())
            } else {
                None
            };
            let input = match &embeds {
                Some(var) => var.as_tensor().clone(),
                None => decoder.embed(&golden.tensor("in.input_ids")).unwrap(),
            };
            let hidden = decoder.forward(&input, &golden.tensor("in.position_ids"), &mask, None).unwrap();
            let (sum, count) = decoder.loss(&hidden, &golden.tensor("in.labels")).unwrap();
            let loss = (sum / count as f64).unwrap();
            assert!(max_abs_diff(&loss, &golden.tensor("out.loss")) < 1e-5, "{run}");
            let grads = loss.backward().unwrap();
            let mut compared = 0;
            for name in golden.names() {
                let Some(weight) = name.strip_prefix("grad.") else { continue };
                let vars = store.vars();
                let var = match (&embeds, weight) {
                    (Some(var), "inputs_embeds") => var,
                    _ => &vars[weight],
                };
                let (found, wanted) = (grads.get(var).unwrap(), golden.tensor(&name));
                let close = relative_diff(found, &wanted) < 1e-4 || max_abs_diff(found, &wanted) < 1e-5;
                assert!(close, "{run} {name}: {:e}", relative_diff(found, &wanted));
                compared += 1;
            }
            let unused = given && !case.cfg.tie_word_embeddings;
            let vars = store
                .vars()
                .into_keys()
                .filter(|name| !unused || name != "model.embed_tokens.weight")
                .count();
            assert_eq!(compared, vars + usize::from(given), "{run}: every weight is compared");
        }
    }
    assert!(left_padded > 0, "no left-padded batch was compared");
}

#[test]
fn greedy_tokens_of_a_left_padded_batch_match_the_reference() {
    let mut compared = 0;
    for case in cases() {
        let (decoder, _) = case.build();
        for run in case.any_runs("greedy_") {
            compared += 1;
            let golden = case.golden(&run);
            let (valid, mut mask) = padding(&golden.tensor("in.attention_mask"));
            let (b, s) = golden.tensor("in.input_ids").dims2().unwrap();
            let wanted = golden.tensor("out.tokens").to_dtype(DType::U32).unwrap();
            let steps = wanted.dim(1).unwrap();
            let mut cache = KvCache::new(&case.cfg);
            let mut embeds = decoder.embed(&golden.tensor("in.input_ids")).unwrap();
            let mut positions = positions_of(b, &valid, device()).unwrap();
            for step in 0..steps {
                let hidden = decoder.forward(&embeds, &positions, &mask, Some(&mut cache)).unwrap();
                let last = hidden.narrow(1, hidden.dim(1).unwrap() - 1, 1).unwrap();
                let logits = decoder.logits(&last).unwrap().squeeze(1).unwrap();
                let recorded =
                    golden.tensor("out.step_logits").narrow(1, step, 1).unwrap().squeeze(1).unwrap();
                assert!(max_abs_diff(&logits, &recorded) < 1e-4, "{run}, step {step}");
                let tokens = logits.argmax(D::Minus1).unwrap();
                let expected = wanted.narrow(1, step, 1).unwrap().squeeze(1).unwrap();
                assert_eq!(tokens.to_vec1::<u32>().unwrap(), expected.to_vec1::<u32>().unwrap(), "{run}");
                embeds = decoder.embed(&tokens.unsqueeze(1).unwrap()).unwrap();
                mask = mask.extended(1);
                let last = positions.narrow(1, positions.dim(1).unwrap() - 1, 1).unwrap();
                positions = (last + 1.0).unwrap();
            }
            assert_eq!(cache.len(), s + steps - 1, "the last token was not fed back");
        }
    }
    assert!(compared >= 6, "only {compared} batches were compared");
}

#[test]
fn one_disturbed_weight_breaks_the_agreement() {
    for case in cases() {
        let (decoder, store) = case.build();
        let golden = case.golden("prefill_nopad");
        let (_, mask) = padding(&golden.tensor("in.attention_mask"));
        let name = "model.layers.1.mlp.down_proj.weight";
        let var = &store.vars()[name];
        let shift = (randn(1, var.dims()) * 0.05).unwrap();
        var.set(&(var.as_detached_tensor() + shift).unwrap()).unwrap();
        let embeds = decoder.embed(&golden.tensor("in.input_ids")).unwrap();
        let hidden = decoder.forward(&embeds, &golden.tensor("in.position_ids"), &mask, None).unwrap();
        let logits = decoder.logits(&hidden).unwrap();
        assert!(max_abs_diff(&logits, &golden.tensor("out.logits")) > 1e-3);
    }
}

#[test]
fn a_window_that_is_ignored_breaks_the_agreement() {
    let windowed: Vec<_> = cases().into_iter().filter(|case| case.cfg.sliding_window.is_some()).collect();
    assert!(!windowed.is_empty());
    for mut case in windowed {
        let golden = case.golden("prefill_nopad");
        case.cfg.sliding_window = None;
        let (decoder, _) = case.build();
        let (_, mask) = padding(&golden.tensor("in.attention_mask"));
        let embeds = decoder.embed(&golden.tensor("in.input_ids")).unwrap();
        let hidden = decoder.forward(&embeds, &golden.tensor("in.position_ids"), &mask, None).unwrap();
        assert!(max_abs_diff(&decoder.logits(&hidden).unwrap(), &golden.tensor("out.logits")) > 1e-3);
    }
}

#[test]
fn other_frequencies_break_the_agreement() {
    let scaled: Vec<_> = cases().into_iter().filter(|case| case.cfg.rope_scaling.is_some()).collect();
    assert!(scaled.len() >= 4, "only {} models scale their frequencies", scaled.len());
    for mut case in scaled {
        let golden = case.golden("prefill_nopad");
        case.cfg.rope_scaling = None;
        let (decoder, _) = case.build();
        let (_, mask) = padding(&golden.tensor("in.attention_mask"));
        let embeds = decoder.embed(&golden.tensor("in.input_ids")).unwrap();
        let hidden = decoder.forward(&embeds, &golden.tensor("in.position_ids"), &mask, None).unwrap();
        assert!(max_abs_diff(&decoder.logits(&hidden).unwrap(), &golden.tensor("out.logits")) > 1e-3);
    }
}

#[test]
fn every_weight_gets_a_gradient_with_and_without_updates() {
    use strefer_llm::decoder::LoraSettings;
    use strefer_llm::{Decoder, DecoderConfig};
    use strefer_nn::ParamStore;
    let lora = LoraSettings { rank: 4, alpha: 8.0, modules: vec!["q_proj".into(), "down_proj".into()] };
    for lora in [None, Some(lora)] {
        let cfg = DecoderConfig { lora: lora.clone(), num_hidden_layers: 2, ..DecoderConfig::tiny(50) };
        let updates = lora.is_some();
        let store = ParamStore::new(1, device(), DType::F32)
            .trainable(move |name| !updates || name.contains("lora_"));
        let decoder = Decoder::new(&cfg, store.var_builder()).unwrap();
        for (name, var) in store.vars() {
            if name.contains("lora_B") {
                var.set(&(randn(2, var.dims()) * 0.1).unwrap()).unwrap();
            }
        }
        let ids = Tensor::new(&[[1u32, 2, 3, 4, 5]], device()).unwrap();
        let positions = Tensor::arange(0u32, 5, device()).unwrap().unsqueeze(0).unwrap();
        let mask = strefer_nn::ops::AttentionMask::causal();
        let hidden = decoder.forward(&decoder.embed(&ids).unwrap(), &positions, &mask, None).unwrap();
        let (loss, count) = decoder.loss(&hidden, &ids.to_dtype(DType::I64).unwrap()).unwrap();
        assert_eq!(count, 4);
        assert_eq!(store.vars().len(), if updates { 8 } else { 2 + 2 * 12 });
        assert_all_grads(&store.vars(), &loss.backward().unwrap());
    }
}
