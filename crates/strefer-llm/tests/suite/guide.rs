//! Structured outputs: whatever a model would rather say, it fits the schema.

use std::ops::ControlFlow;

use candle_core::{DType, Tensor};
use serde_json::{Value, json};
use strefer_llm::{
    Decoder, DecoderConfig, Error, GenerationConfig, Guides, Tokenizer, generate_guided, train_bpe,
};
use strefer_nn::ParamStore;
use strefer_nn::testing::device;

const END: u32 = 0;

fn tokenizer() -> Tokenizer {
    let text = r#"{"colour":"red","moves":true}, {"colour":"blue","moves":false}, the ball rolls"#;
    train_bpe([text.to_owned()], 320, &["<end>", "<region>"]).unwrap()
}

/// A model of random weights: what it says is noise.
fn decoder(vocab: usize) -> Decoder {
    let cfg =
        DecoderConfig { num_hidden_layers: 1, max_position_embeddings: 256, ..DecoderConfig::tiny(vocab) };
    let store = ParamStore::new(5, device(), DType::F32);
    Decoder::new(&cfg, store.var_builder()).unwrap()
}

fn drawn(seed: u64) -> GenerationConfig {
    GenerationConfig {
        max_new_tokens: 200,
        temperature: 1.5,
        repetition_penalty: 1.2,
        eos_ids: vec![END],
        seed,
        ..GenerationConfig::default()
    }
}

#[test]
fn noise_becomes_json_of_the_form_asked_for() {
    let tokenizer = tokenizer();
    // More rows than tokens, as padded vocabularies have them: no token of those is ever drawn.
    let decoder = decoder(tokenizer.vocab_size() + 13);
    let guides = Guides::new(&tokenizer, &[END]).unwrap();
    let schema = json!({
        "type": "object",
        "properties": {
            "colour": { "type": "string", "maxLength": 8 },
            "kind": { "enum": ["ball", "box", null] },
            "moves": { "type": "boolean" },
            "does": { "type": ["string", "null"], "maxLength": 5 },
            "at": { "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 99 }, "minItems": 2, "maxItems": 2 },
        },
        "required": ["colour", "kind", "moves", "does", "at"],
        "additionalProperties": false,
    });
    let prompt = decoder.embed(&Tensor::new(&[[5u32, 6, 7]], device()).unwrap()).unwrap();
    let mut said = std::collections::BTreeSet::new();
    for seed in 0..24 {
        let guide = guides.json(&schema).unwrap();
        let go_on = |_| ControlFlow::Continue(());
        let ids = generate_guided(&decoder, &prompt, &drawn(seed), guide, go_on).unwrap();
        let text = tokenizer.decode(&ids, true).unwrap();
        let value: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
        assert!(value["colour"].as_str().unwrap().chars().count() <= 8, "{text}");
        assert!([json!("ball"), json!("box"), json!(null)].contains(&value["kind"]), "{text}");
        assert!(value["moves"].is_boolean(), "{text}");
        let [first, second] = value["at"].as_array().unwrap().as_slice() else { panic!("{text}") };
        assert!([first, second].into_iter().all(|at| at.as_u64().unwrap() < 100), "{text}");
        assert!(value["does"].is_null() || value["does"].as_str().unwrap().chars().count() <= 5, "{text}");
        assert_eq!(value.as_object().unwrap().len(), 5, "{text}");
        said.insert(text);
    }
    assert!(said.len() > 20, "a guide leaves what is open to the model: {said:?}");
}

#[test]
fn an_answer_that_is_cut_off_is_left_open() {
    let tokenizer = tokenizer();
    let decoder = decoder(tokenizer.vocab_size());
    let guide = Guides::new(&tokenizer, &[END]).unwrap().json(&json!({ "type": "string" })).unwrap();
    let prompt = decoder.embed(&Tensor::new(&[[5u32]], device()).unwrap()).unwrap();
    let cfg = GenerationConfig { max_new_tokens: 1, ..drawn(1) };
    let ids = generate_guided(&decoder, &prompt, &cfg, guide, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(ids.len(), 1);
    assert!(tokenizer.decode(&ids, true).unwrap().starts_with('"'));
}

#[test]
fn what_cannot_be_held_to_is_refused() {
    let guides = Guides::new(&tokenizer(), &[END]).unwrap();
    for schema in [json!({ "type": 7 }), json!({ "type": "object", "minProperties": "two" })] {
        assert!(matches!(guides.json(&schema), Err(Error::Guide(_))), "{schema}");
    }
    assert!(matches!(Guides::new(&tokenizer(), &[]), Err(Error::Guide(_))));
}
