//! What a GGUF file says about its model.

use candle_core::quantized::gguf_file::Value;
use serde_json::Value as Json;

use super::names::architecture;
use super::write::Export;
use crate::decoder::{Layout, RopeScaling};
use crate::error::{Error, Result};

/// Types of tokens in `tokenizer.ggml.token_type`.
const NORMAL: i32 = 1;
const CONTROL: i32 = 3;
const UNUSED: i32 = 5;

/// What every file calls its model: llama.cpp goes by some names and wants their tokens then ("phi3" is one of them).
const NAME: &str = "strefer";

fn text(value: &str) -> Value {
    Value::String(value.to_owned())
}

fn count(value: usize) -> Result<Value> {
    let fits = u32::try_from(value).map_err(|_| Error::Gguf(format!("{value} does not fit 32 bits")));
    fits.map(Value::U32)
}

/// Keys and values of the whole file.
///
/// # Errors
/// A model that llama.cpp has no form for.
pub fn metadata(export: &Export<'_>) -> Result<Vec<(String, Value)>> {
    let Export { cfg, quantisation, .. } = *export;
    let refuse = |what: &str| Err(Error::Gguf(format!("llama.cpp has no form for {what}")));
    if cfg.extra_rows.is_some() {
        return refuse("token rows in matrices of their own");
    }
    if matches!(cfg.rope_scaling, Some(RopeScaling::Longrope { .. })) && cfg.layout != Layout::Fused {
        return refuse("LongRoPE in another architecture than Phi-3");
    }
    let own = |key: &str| format!("{}.{key}", architecture(cfg.layout));
    let mut values = vec![
        ("general.architecture".to_owned(), text(architecture(cfg.layout))),
        ("general.name".to_owned(), text(NAME)),
        ("general.file_type".to_owned(), Value::U32(quantisation.file_type())),
        ("general.quantization_version".to_owned(), Value::U32(2)),
        (own("context_length"), count(cfg.max_position_embeddings)?),
        (own("embedding_length"), count(cfg.hidden_size)?),
        (own("block_count"), count(cfg.num_hidden_layers)?),
        (own("feed_forward_length"), count(cfg.intermediate_size)?),
        (own("attention.head_count"), count(cfg.num_attention_heads)?),
        (own("attention.head_count_kv"), count(cfg.num_key_value_heads)?),
        (own("attention.layer_norm_rms_epsilon"), Value::F32(cfg.rms_norm_eps as f32)),
        (own("rope.dimension_count"), count(cfg.head_dim())?),
        (own("rope.freq_base"), Value::F32(cfg.rope_theta as f32)),
    ];
    if let Some(window) = cfg.sliding_window {
        values.push((own("attention.sliding_window"), count(window)?));
    }
    match &cfg.rope_scaling {
        Some(RopeScaling::Linear { factor }) => {
            values.push((own("rope.scaling.type"), text("linear")));
            values.push((own("rope.scaling.factor"), Value::F32(*factor as f32)));
        }
        Some(RopeScaling::Yarn { factor, original_positions, .. }) => {
            values.push((own("rope.scaling.type"), text("yarn")));
            values.push((own("rope.scaling.factor"), Value::F32(*factor as f32)));
            values.push((own("rope.scaling.original_context_length"), count(*original_positions)?));
        }
        Some(RopeScaling::Longrope { original_positions, attention_factor, .. }) => {
            values.push((own("rope.scaling.original_context_length"), count(*original_positions)?));
            values.push((own("rope.scaling.attn_factor"), Value::F32(*attention_factor as f32)));
        }
        None => {}
    }
    values.extend(vocabulary(export)?);
    Ok(values)
}

/// The tokenizer: byte-level BPE with its merges. Another kind is left out: such a file takes tokens only.
fn vocabulary(export: &Export<'_>) -> Result<Vec<(String, Value)>> {
    let Export { cfg, tokenizer, eos, .. } = *export;
    let key = |key: &str| format!("tokenizer.ggml.{key}");
    let json = tokenizer.to_json()?;
    let cuts = &json["pre_tokenizer"];
    if json["model"]["type"] != "BPE" || !mentions(cuts, "ByteLevel") {
        return Ok(vec![(key("model"), text("none"))]);
    }
    let special: Vec<u64> = json["added_tokens"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|token| token["id"].as_u64())
        .collect();
    let (mut tokens, mut kinds) = (Vec::new(), Vec::new());
    for id in 0..cfg.vocab_size as u32 {
        let known = tokenizer.token(id);
        kinds.push(Value::I32(match &known {
            None => UNUSED,
            Some(_) if special.contains(&u64::from(id)) => CONTROL,
            Some(_) => NORMAL,
        }));
        tokens.push(Value::String(known.unwrap_or_else(|| format!("[PAD{id}]"))));
    }
    let merges = json["model"]["merges"].as_array().into_iter().flatten().filter_map(merge);
    // Qwen2 cuts text by a pattern of its own before it goes by bytes, GPT-2 as the bytes' own pattern says.
    let pre = if mentions(cuts, "Split") { "qwen2" } else { "gpt-2" };
    let mut values = vec![
        (key("model"), text("gpt2")),
        (key("pre"), text(pre)),
        (key("tokens"), Value::Array(tokens)),
        (key("token_type"), Value::Array(kinds)),
        (key("merges"), Value::Array(merges.map(Value::String).collect())),
        (key("add_bos_token"), Value::Bool(false)),
    ];
    values.extend(eos.map(|eos| (key("eos_token_id"), Value::U32(eos))));
    Ok(values)
}

/// A merge, written as one text or as two.
fn merge(json: &Json) -> Option<String> {
    match json {
        Json::String(both) => Some(both.clone()),
        Json::Array(parts) => Some(format!("{} {}", parts.first()?.as_str()?, parts.get(1)?.as_str()?)),
        _ => None,
    }
}

/// Whether a part of a tokenizer is, or holds, one of this type.
fn mentions(json: &Json, wanted: &str) -> bool {
    match json {
        Json::Object(fields) => {
            let own = fields.get("type").is_some_and(|kind| kind == wanted);
            own || fields.values().any(|field| mentions(field, wanted))
        }
        Json::Array(items) => items.iter().any(|item| mentions(item, wanted)),
        _ => false,
    }
}
