//! Added token rows in matrices of their own, against the recorded end-to-end model that has them.

use candle_core::{DType, Tensor, Var};
use serde_json::Value;
use strefer_llm::decoder::ExtraRows;
use strefer_llm::{Decoder, DecoderConfig, GenerationConfig, generate};
use strefer_nn::ParamStore;
use strefer_nn::testing::{Golden, device, max_abs_diff, relative_diff};

use crate::{padding, valid_rows};

fn model(dir: &std::path::Path) -> (Decoder, ParamStore, Value) {
    let golden = Golden::open(dir, "weights");
    let json: Value = golden.config("config.json");
    let mut text = json["text_config"].clone();
    text["vocab_size"] = text["vocab_size_original_rows"].clone();
    let mut cfg = DecoderConfig::from_hf_json(&text).unwrap();
    let count = golden.tensor("lang_model.lm_head.additional_fc.bias").dim(0).unwrap();
    let first_id = json["initial_tokenizer_len"].as_u64().unwrap() as usize;
    cfg.extra_rows = Some(ExtraRows { first_id, count });
    let weights =
        golden.weights().renamed(|name| name.strip_prefix("lang_model.").map(str::to_string)).unwrap();
    let store = ParamStore::new(1, device(), DType::F32).with_weights(weights).trainable(|_| true);
    let decoder = Decoder::new(&cfg, store.var_builder()).unwrap();
    store.check_complete().unwrap();
    (decoder, store, json)
}

/// Our own recordings, and the whole models among the fixtures, whose language side they are.
fn cases() -> Vec<std::path::PathBuf> {
    let own = strefer_core::golden::dirs("phi3_extra_rows");
    own.into_iter().chain(strefer_core::golden::find("strefer_e2e")).collect()
}

fn positions(s: usize) -> Tensor {
    Tensor::arange(0u32, s as u32, device()).unwrap().unsqueeze(0).unwrap()
}

#[test]
fn logits_loss_and_gradients_with_added_rows_match_the_reference() {
    let mut seen = 0;
    for dir in cases() {
        for run in ["batch", "batch_mixed"] {
            let (decoder, store, _) = model(&dir);
            let golden = Golden::open(&dir, &format!("{run}_outputs"));
            let (valid, mask) = padding(&golden.tensor("spliced_attention_mask"));
            let embeds = Var::from_tensor(&golden.tensor("inputs_embeds")).unwrap();
            let s = embeds.dim(1).unwrap();
            let hidden = decoder.forward(&embeds, &positions(s), &mask, None).unwrap();
            let wanted = valid_rows(&golden.tensor("final_norm_out"), &valid);
            assert!(relative_diff(&valid_rows(&hidden, &valid), &wanted) < 1e-5, "{run}");
            let logits = decoder.logits(&hidden).unwrap();
            let wanted = valid_rows(&golden.tensor("logits"), &valid);
            assert!(max_abs_diff(&valid_rows(&logits, &valid), &wanted) < 1e-4, "{run}");
            let (sum, count) = decoder.loss(&hidden, &golden.tensor("spliced_labels")).unwrap();
            let loss = (sum / count as f64).unwrap();
            assert!(max_abs_diff(&loss, &golden.tensor("loss")) < 1e-5, "{run}");
            let grads = loss.backward().unwrap();
            let recorded = Golden::open(&dir, &format!("{run}_grads"));
            let mut compared = 0;
            for (name, var) in store.vars() {
                // The embeddings' gradients pass through the splice, which is not part of this model.
                if name.contains("embed_tokens") {
                    continue;
                }
                let key = [format!("grad.lang_model.{name}"), format!("lang_model.{name}")];
                let key = key.into_iter().find(|key| recorded.contains(key));
                let key = key.unwrap_or_else(|| panic!("no gradient of {name} was recorded"));
                let diff = relative_diff(grads.get(&var).unwrap(), &recorded.tensor(&key));
                assert!(diff < 1e-4, "{run} {name}: {diff:e}");
                compared += 1;
            }
            assert!(compared > 10);
            seen += 1;
        }
    }
    assert!(seen > 0);
}

#[test]
fn generation_from_embeddings_matches_the_reference() {
    for dir in cases() {
        let (decoder, _, json) = model(&dir);
        for run in ["generate", "generate_nomask"] {
            let golden = Golden::open(&dir, run);
            let wanted: Vec<i64> = golden.tensor("sequence").to_dtype(DType::I64).unwrap().to_vec1().unwrap();
            let cfg = GenerationConfig { max_new_tokens: wanted.len(), ..GenerationConfig::default() };
            let prompt = golden.tensor("prompt_embeds");
            let found = generate(&decoder, &prompt, &cfg, |_| std::ops::ControlFlow::Continue(())).unwrap();
            let found: Vec<i64> = found.into_iter().map(i64::from).collect();
            assert_eq!(found, wanted, "{run} of {}", json["seed"]);
        }
    }
}

#[test]
fn added_ids_come_from_the_added_table() {
    for dir in cases() {
        let (decoder, store, json) = model(&dir);
        let first = json["initial_tokenizer_len"].as_u64().unwrap() as u32;
        let ids = Tensor::new(&[[0, first - 1, first, first + 3]], device()).unwrap();
        let found = decoder.embed(&ids).unwrap();
        let table = |name: &str, row: u32| store.tensors()[name].get(row as usize).unwrap();
        let (old, new) = ("model.embed_tokens.weight", "model.embed_tokens.additional_embedding.weight");
        let wanted = [table(old, 0), table(old, first - 1), table(new, 0), table(new, 3)];
        let wanted = Tensor::stack(&wanted, 0).unwrap().unsqueeze(0).unwrap();
        assert_eq!(max_abs_diff(&found, &wanted), 0.0);
        let grads = found.sum_all().unwrap().backward().unwrap();
        let vars = store.vars();
        for (name, rows) in [(old, 2.0), (new, 2.0)] {
            let grad = grads.get(&vars[name]).unwrap();
            let width = grad.dim(1).unwrap() as f32;
            assert_eq!(grad.sum_all().unwrap().to_scalar::<f32>().unwrap(), rows * width, "{name}");
        }
    }
}
