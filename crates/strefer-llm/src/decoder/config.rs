//! Sizes and variants of the decoder.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use strefer_nn::LoraConfig;

use super::RopeScaling;
use crate::error::{Error, Result};

/// How the projections lie in the checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Layout {
    /// `q_proj`, `k_proj`, `v_proj` with biases, `gate_proj`, `up_proj` (Qwen2).
    Split,
    /// `qkv_proj` and `gate_up_proj` without biases (Phi-3).
    Fused,
}

/// Token rows added beside the original ones, in matrices of their own. Ids from `first_id` on belong to them; rows of
/// the original matrices from `first_id` on are never used.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExtraRows {
    /// The first added id.
    pub first_id: usize,
    /// How many ids are added.
    pub count: usize,
}

/// Low-rank updates of chosen projections.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LoraSettings {
    /// Rank of the updates.
    pub rank: usize,
    /// Updates are scaled by `alpha / rank`.
    pub alpha: f64,
    /// Which projections get one, by name (`q_proj`, `down_proj`, ..).
    pub modules: Vec<String>,
}

/// Configuration of a decoder, in our own form; [`DecoderConfig::from_hf_json`] reads published ones.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecoderConfig {
    /// How the projections lie in the checkpoint.
    pub layout: Layout,
    /// Rows of the embedding, and of the head.
    pub vocab_size: usize,
    /// Width of the states.
    pub hidden_size: usize,
    /// Inner width of the MLPs.
    pub intermediate_size: usize,
    /// Number of layers.
    pub num_hidden_layers: usize,
    /// Query heads.
    pub num_attention_heads: usize,
    /// Key and value heads.
    pub num_key_value_heads: usize,
    /// Longest sequence.
    pub max_position_embeddings: usize,
    /// Keeps RMS norms finite.
    pub rms_norm_eps: f64,
    /// Base of the rotary frequencies.
    pub rope_theta: f64,
    /// Other rotary frequencies than the plain ones.
    #[serde(default)]
    pub rope_scaling: Option<RopeScaling>,
    /// A query sees itself and this many columns less one before it; none: all columns before it.
    #[serde(default)]
    pub sliding_window: Option<usize>,
    /// Layers before this one ignore the sliding window.
    #[serde(default)]
    pub max_window_layers: usize,
    /// Whether the head is the embedding's matrix.
    #[serde(default)]
    pub tie_word_embeddings: bool,
    /// Added token rows.
    #[serde(default)]
    pub extra_rows: Option<ExtraRows>,
    /// Low-rank updates.
    #[serde(default)]
    pub lora: Option<LoraSettings>,
}

impl DecoderConfig {
    /// A small Qwen2 for tests and the demo.
    pub fn tiny(vocab_size: usize) -> Self {
        Self {
            layout: Layout::Split,
            vocab_size,
            hidden_size: 128,
            intermediate_size: 352,
            num_hidden_layers: 4,
            num_attention_heads: 4,
            num_key_value_heads: 2,
            max_position_embeddings: 2048,
            rms_norm_eps: 1e-6,
            rope_theta: 10_000.0,
            rope_scaling: None,
            sliding_window: None,
            max_window_layers: 0,
            tie_word_embeddings: true,
            extra_rows: None,
            lora: None,
        }
    }

    /// Reads a published `config.json`, in which `model_type` is `qwen2` or `phi3` (or starts with a prefix that ends
    /// in `_qwen2`, as models built on it do).
    pub fn from_hf_json(json: &Value) -> Result<Self> {
        let model_type = json.get("model_type").and_then(Value::as_str).unwrap_or_default();
        let layout = match model_type {
            "phi3" => Layout::Fused,
            "qwen2" => Layout::Split,
            other if other.ends_with("_qwen2") => Layout::Split,
            other => return Err(Error::Config(format!("model_type {other:?} is not qwen2 or phi3"))),
        };
        let size = |key: &str| {
            let value = json.get(key).and_then(Value::as_u64);
            value.map(|n| n as usize).ok_or_else(|| Error::Config(format!("{key:?} is missing or no size")))
        };
        let number = |key: &str, default: f64| json.get(key).and_then(Value::as_f64).unwrap_or(default);
        let flag = |key: &str| json.get(key).and_then(Value::as_bool).unwrap_or(false);
        let set = |key: &str| json.get(key).filter(|value| !value.is_null());
        if let Some(act) = set("hidden_act")
            && act != "silu"
        {
            return Err(Error::Config(format!("hidden_act {act} is not silu")));
        }
        if number("partial_rotary_factor", 1.0) != 1.0 {
            return Err(Error::Config("partial_rotary_factor other than 1 is not supported".into()));
        }
        let theta = set("rope_parameters").and_then(|p| p.get("rope_theta")).and_then(Value::as_f64);
        let heads = size("num_attention_heads")?;
        let window = json.get("sliding_window").and_then(Value::as_u64).map(|n| n as usize);
        let uses_window = layout == Layout::Fused || flag("use_sliding_window");
        let cfg = Self {
            layout,
            vocab_size: size("vocab_size")?,
            hidden_size: size("hidden_size")?,
            intermediate_size: size("intermediate_size")?,
            num_hidden_layers: size("num_hidden_layers")?,
            num_attention_heads: heads,
            num_key_value_heads: size("num_key_value_heads").unwrap_or(heads),
            max_position_embeddings: size("max_position_embeddings")?,
            rms_norm_eps: number("rms_norm_eps", 1e-6),
            rope_theta: theta.unwrap_or_else(|| number("rope_theta", 10_000.0)),
            rope_scaling: RopeScaling::from_hf_json(json)?,
            sliding_window: window.filter(|_| uses_window),
            max_window_layers: if layout == Layout::Split {
                size("max_window_layers").unwrap_or(0)
            } else {
                0
            },
            tie_word_embeddings: flag("tie_word_embeddings"),
            extra_rows: None,
            lora: None,
        };
        cfg.validate()?;
        Ok(cfg)
    }

    /// Fails when the sizes do not fit each other.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: String| Err(Error::Config(what));
        let (nh, nkv) = (self.num_attention_heads, self.num_key_value_heads);
        if nh == 0 || !self.hidden_size.is_multiple_of(2 * nh) {
            return bad(format!("width {} cannot be split into {nh} heads of even width", self.hidden_size));
        }
        if nkv == 0 || !nh.is_multiple_of(nkv) {
            return bad(format!("{nh} query heads cannot share {nkv} key heads"));
        }
        if let Some(scaling) = &self.rope_scaling {
            scaling.validate(self.head_dim())?;
        }
        if self.sliding_window == Some(0) {
            return bad("a sliding window of 0 sees nothing".into());
        }
        match &self.extra_rows {
            Some(_) if self.tie_word_embeddings => bad("extra rows need a head of their own".into()),
            Some(extra) if extra.first_id > self.vocab_size || extra.count == 0 => {
                bad(format!("extra rows {extra:?} do not follow a vocabulary of {}", self.vocab_size))
            }
            _ => Ok(()),
        }
    }

    /// Width of one head.
    pub fn head_dim(&self) -> usize {
        self.hidden_size / self.num_attention_heads
    }

    /// How many ids have logits.
    pub fn logit_count(&self) -> usize {
        self.extra_rows.as_ref().map_or(self.vocab_size, |extra| extra.first_id + extra.count)
    }

    /// The sliding window of layer `layer`.
    pub(super) fn window_of(&self, layer: usize) -> Option<usize> {
        self.sliding_window.filter(|_| layer >= self.max_window_layers)
    }

    /// The update of the projection `module`, if it gets one.
    pub(super) fn lora_of(&self, module: &str) -> Option<LoraConfig> {
        let lora = self.lora.as_ref()?;
        let chosen = lora.modules.iter().any(|name| name == module);
        chosen.then_some(LoraConfig { rank: lora.rank, alpha: lora.alpha })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn qwen() -> Value {
        json!({"model_type": "qwen2", "vocab_size": 10, "hidden_size": 8, "intermediate_size": 16,
            "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32,
            "sliding_window": 4, "use_sliding_window": false, "rope_theta": 1e6, "architectures": ["X"]})
    }

    fn with(key: &str, value: Value) -> Value {
        let mut json = qwen();
        json[key] = value;
        json
    }

    #[test]
    fn a_published_config_is_read() {
        let cfg = DecoderConfig::from_hf_json(&qwen()).unwrap();
        assert_eq!((cfg.layout, cfg.rope_theta, cfg.sliding_window), (Layout::Split, 1e6, None));
        assert_eq!(cfg.head_dim(), 4);
    }

    #[test]
    fn what_is_not_supported_is_said() {
        for (key, value) in [
            ("model_type", json!("llama")),
            ("hidden_act", json!("gelu")),
            ("rope_scaling", json!({"type": "longrope"})),
            ("num_key_value_heads", json!(3)),
            ("vocab_size", json!("many")),
        ] {
            let error = DecoderConfig::from_hf_json(&with(key, value)).unwrap_err();
            assert!(matches!(error, Error::Config(_)), "{key}");
        }
    }

    #[test]
    fn our_own_form_refuses_unknown_keys() {
        let mut json = serde_json::to_value(DecoderConfig::tiny(10)).unwrap();
        assert_eq!(serde_json::from_value::<DecoderConfig>(json.clone()).unwrap(), DecoderConfig::tiny(10));
        json["hiden_size"] = json!(3);
        assert!(serde_json::from_value::<DecoderConfig>(json).is_err());
    }
}
