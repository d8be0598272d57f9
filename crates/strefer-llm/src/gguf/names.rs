//! What tensors are called in GGUF files.

use crate::decoder::Layout;

/// Names of a layer's parts, ours and GGUF's.
const PARTS: [(&str, &str); 11] = [
    ("input_layernorm", "attn_norm"),
    ("post_attention_layernorm", "ffn_norm"),
    ("self_attn.q_proj", "attn_q"),
    ("self_attn.k_proj", "attn_k"),
    ("self_attn.v_proj", "attn_v"),
    ("self_attn.qkv_proj", "attn_qkv"),
    ("self_attn.o_proj", "attn_output"),
    ("mlp.gate_proj", "ffn_gate"),
    ("mlp.up_proj", "ffn_up"),
    // Gate and value in one matrix go under the value's name.
    ("mlp.gate_up_proj", "ffn_up"),
    ("mlp.down_proj", "ffn_down"),
];

/// GGUF's name of one of our decoder's parameters; `None` for what these files have no place for.
pub fn gguf_name(ours: &str) -> Option<String> {
    match ours {
        "model.embed_tokens.weight" => return Some("token_embd.weight".to_owned()),
        "model.norm.weight" => return Some("output_norm.weight".to_owned()),
        "lm_head.weight" => return Some("output.weight".to_owned()),
        _ => {}
    }
    let (layer, rest) = ours.strip_prefix("model.layers.")?.split_once('.')?;
    let (part, kind) = rest.rsplit_once('.')?;
    let (_, theirs) = PARTS.iter().find(|(ours, _)| *ours == part)?;
    let layer: usize = layer.parse().ok()?;
    matches!(kind, "weight" | "bias").then(|| format!("blk.{layer}.{theirs}.{kind}"))
}

/// The layer that a tensor of a GGUF file belongs to.
pub fn layer_of(theirs: &str) -> Option<usize> {
    theirs.strip_prefix("blk.")?.split_once('.')?.0.parse().ok()
}

/// What llama.cpp calls the architecture.
pub fn architecture(layout: Layout) -> &'static str {
    match layout {
        Layout::Split => "qwen2",
        Layout::Fused => "phi3",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_has_a_name_and_others_have_none() {
        let name = |ours: &str| gguf_name(ours).unwrap();
        assert_eq!(name("model.layers.12.self_attn.k_proj.bias"), "blk.12.attn_k.bias");
        assert_eq!(name("model.layers.0.mlp.gate_up_proj.weight"), "blk.0.ffn_up.weight");
        assert_eq!(name("lm_head.weight"), "output.weight");
        for ours in
            ["lm_head.bias", "model.layers.0.self_attn.q_proj.lora_A.weight", "model.layers.x.mlp.weight"]
        {
            assert_eq!(gguf_name(ours), None, "{ours}");
        }
        assert_eq!((layer_of("blk.7.attn_q.weight"), layer_of("output.weight")), (Some(7), None));
    }
}
