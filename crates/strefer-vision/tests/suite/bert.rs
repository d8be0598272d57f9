//! The text backbone of Grounding DINO against recorded numbers.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde_json::Value;
use strefer_nn::ParamStore;
use strefer_nn::ops::AttentionMask;
use strefer_nn::testing::{Golden, assert_close, device, values};
use strefer_vision::grounding_dino::{Bert, Phrases, Sight, TextMask};

fn cases() -> Vec<PathBuf> {
    crate::common::cases("bert")
}

fn ids(golden: &Golden, name: &str) -> Tensor {
    golden.tensor(name).to_dtype(DType::U32).unwrap()
}

/// Recorded with transformers 5 and its plain attention, unless the case says otherwise.
fn text_mask(dir: &Path) -> TextMask {
    let manifest: Value =
        serde_json::from_str(&std::fs::read_to_string(dir.join("manifest.json")).unwrap()).unwrap();
    manifest.get("text_mask").map_or(TextMask::Raise, |mask| serde_json::from_value(mask.clone()).unwrap())
}

fn compare(bert: &Bert, golden: &Golden, [ids, types, positions]: [&Tensor; 3], sight: &Sight) {
    let states = bert.hidden_states(ids, types, positions, sight).unwrap();
    for (at, state) in states.iter().enumerate() {
        assert_close(state, &golden.tensor(&format!("out.hidden_states.{at}")), 1e-5);
    }
    assert!(!golden.contains(&format!("out.hidden_states.{}", states.len())));
    let last = bert.forward(ids, types, positions, sight).unwrap();
    assert_close(&last, &golden.tensor("out.last_hidden_state"), 1e-5);
}

#[test]
fn states_match_the_reference_under_both_kinds_of_masks() {
    for dir in cases() {
        let weights = Golden::open(&dir, "weights");
        let store = ParamStore::new(1, device(), DType::F32).with_weights(weights.weights());
        let bert = Bert::new(&weights.config("config.json"), store.var_builder()).unwrap();
        store.check_missing(|_| false).unwrap();

        let golden = Golden::open(&dir, "padding_mask");
        let input = ids(&golden, "in.input_ids");
        let (b, s) = input.dims2().unwrap();
        let valid: Vec<bool> =
            values(&golden.tensor("in.attention_mask")).iter().map(|x| *x != 0.0).collect();
        let mask = AttentionMask::bidirectional().with_padding(b, &valid).unwrap();
        let positions = Tensor::arange(0, s as u32, device()).unwrap().broadcast_as((b, s)).unwrap();
        let types = ids(&golden, "in.token_type_ids");
        compare(&bert, &golden, [&input, &types, &positions.contiguous().unwrap()], &Sight::Hidden(mask));

        let golden = Golden::open(&dir, "sub_sentence_mask");
        let input = ids(&golden, "in.input_ids");
        let texts = input.to_vec2::<u32>().unwrap();
        let phrases = Phrases::new(&texts).unwrap();
        let sight = phrases.sight(text_mask(&dir), device()).unwrap();
        let positions = ids(&golden, "in.position_ids");
        compare(&bert, &golden, [&input, &ids(&golden, "in.token_type_ids"), &positions], &sight);
    }
}
