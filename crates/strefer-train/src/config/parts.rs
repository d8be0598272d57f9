//! Which parameters learn, and how fast.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_llm::decoder::LoraSettings;
use strefer_model::prefix;

/// Parts of a model that learn at rates of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// The vision tower.
    Vision,
    /// The video connector.
    Connector,
    /// The region connector.
    Region,
    /// Rows of added tokens, where they lie in matrices of their own (BLIP-3-Strefer's timestamp tokens).
    Tokens,
    /// The embedding of all other tokens.
    Embedding,
    /// The head, where it is no copy of the embedding.
    Head,
    /// Low-rank updates of the language model.
    Lora,
    /// The language model's layers and last norm.
    Language,
}

impl Part {
    /// The part that a parameter belongs to.
    pub fn of(name: &str) -> Self {
        let below = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.starts_with('.'));
        match name {
            _ if below(prefix::VISION) => Self::Vision,
            _ if below(prefix::CONNECTOR) => Self::Connector,
            _ if below(prefix::REGION) => Self::Region,
            _ if name.contains(".lora_") => Self::Lora,
            _ if name.contains(".additional_embedding.") || name.contains(".additional_fc.") => Self::Tokens,
            _ if name.contains(".embed_tokens.") => Self::Embedding,
            _ if name.contains(".lm_head.") => Self::Head,
            _ => Self::Language,
        }
    }

    /// As it is named in configurations and logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Vision => "vision",
            Self::Connector => "connector",
            Self::Region => "region",
            Self::Tokens => "tokens",
            Self::Embedding => "embedding",
            Self::Head => "head",
            Self::Lora => "lora",
            Self::Language => "language",
        }
    }
}

/// Learning rates of the parts relative to the schedule's; a part that is not named stays frozen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PartsConfig {
    /// The vision tower.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vision: Option<f64>,
    /// The video connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connector: Option<f64>,
    /// The region connector.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<f64>,
    /// The language model; with low-rank updates these, and nothing else of it that is not named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<f64>,
    /// Rows of added tokens; as the language model unless it has low-rank updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<f64>,
    /// The embedding; as the language model unless it has low-rank updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub embedding: Option<f64>,
    /// The head; as the language model unless it has low-rank updates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<f64>,
}

impl PartsConfig {
    /// The relative rate of a part; none while it is frozen.
    pub fn rate(&self, part: Part, lora: bool) -> Option<f64> {
        let language = self.language.filter(|_| !lora);
        match part {
            Part::Vision => self.vision,
            Part::Connector => self.connector,
            Part::Region => self.region,
            Part::Tokens => self.tokens.or(language),
            Part::Embedding => self.embedding.or(language),
            Part::Head => self.head.or(language),
            Part::Lora => self.language,
            Part::Language => language,
        }
    }

    /// What is wrong with the rates.
    pub(super) fn fault(&self) -> Option<String> {
        let Self { vision, connector, region, language, tokens, embedding, head } = *self;
        let rates: Vec<f64> =
            [vision, connector, region, language, tokens, embedding, head].into_iter().flatten().collect();
        if rates.is_empty() {
            return Some("parts: nothing learns".to_owned());
        }
        let odd = rates.iter().any(|rate| !(rate.is_finite() && *rate > 0.0));
        odd.then(|| "parts: a relative learning rate is not positive".to_owned())
    }
}

/// Low-rank updates of the language model (LoRA, arXiv 2106.09685).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct LoraConfig {
    /// Rank of the updates.
    pub rank: usize,
    /// Updates are scaled by `alpha / rank`.
    pub alpha: f64,
    /// Which projections get one; all when absent.
    #[serde(default = "all_modules")]
    pub modules: Vec<String>,
    /// Probability with which a number that goes into an update is left out of it, while learning. Which ones hangs on how a step
    /// is split into passes and over ranks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub dropout: f64,
    /// A GGUF file of the language model (`strefer convert --gguf`): its layers run from there, quantised, and only the
    /// updates learn (QLoRA, arXiv 2305.14314).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base: Option<PathBuf>,
}

/// Projections of both decoders: Qwen2's, and Phi-3's, which take several together.
const MODULES: [&str; 9] =
    ["q_proj", "k_proj", "v_proj", "qkv_proj", "o_proj", "gate_proj", "up_proj", "gate_up_proj", "down_proj"];

fn is_zero(value: &f64) -> bool {
    *value == 0.0
}

fn all_modules() -> Vec<String> {
    MODULES.map(str::to_owned).to_vec()
}

impl LoraConfig {
    /// As a model's configuration has it.
    pub fn settings(&self) -> LoraSettings {
        LoraSettings { rank: self.rank, alpha: self.alpha, modules: self.modules.clone() }
    }

    pub(super) fn fault(&self) -> Option<String> {
        let unknown = self.modules.iter().find(|module| !MODULES.contains(&module.as_str()));
        if let Some(unknown) = unknown {
            return Some(format!("lora.modules: {unknown:?} is none of {}", MODULES.join(", ")));
        }
        if self.modules.is_empty() || self.rank == 0 {
            return Some("lora: rank and modules must not be empty".to_owned());
        }
        if !(0.0..1.0).contains(&self.dropout) {
            return Some(format!("lora.dropout is {}, not at least 0 and less than 1", self.dropout));
        }
        let odd = !(self.alpha.is_finite() && self.alpha > 0.0);
        odd.then(|| format!("lora.alpha is {}, not positive", self.alpha))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_parameter_has_its_part() {
        for (name, part) in [
            ("vision_tower.vision_model.post_layernorm.weight", Part::Vision),
            ("connector.fc1.weight", Part::Connector),
            ("region_encoder.feat_linear.0.weight", Part::Region),
            ("language_model.model.embed_tokens.weight", Part::Embedding),
            ("language_model.model.embed_tokens.additional_embedding.weight", Part::Tokens),
            ("language_model.lm_head.weight", Part::Head),
            ("language_model.lm_head.additional_fc.bias", Part::Tokens),
            ("language_model.model.layers.0.self_attn.q_proj.weight", Part::Language),
            ("language_model.model.layers.0.self_attn.q_proj.lora_A.weight", Part::Lora),
            ("language_model.model.norm.weight", Part::Language),
        ] {
            assert_eq!(Part::of(name), part, "{name}");
        }
    }

    #[test]
    fn with_low_rank_updates_the_rest_of_the_language_model_is_frozen_unless_it_is_named() {
        let parts = PartsConfig { language: Some(0.5), head: Some(2.0), ..PartsConfig::default() };
        let all = [Part::Lora, Part::Language, Part::Embedding, Part::Tokens, Part::Head, Part::Vision];
        assert_eq!(all.map(|part| parts.rate(part, true)), [Some(0.5), None, None, None, Some(2.0), None]);
        let plain = [Some(0.5), Some(0.5), Some(0.5), Some(0.5), Some(2.0), None];
        assert_eq!(all.map(|part| parts.rate(part, false)), plain);
    }
}
