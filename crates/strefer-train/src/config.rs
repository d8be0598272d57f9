//! A training run as data: one TOML file a run.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strefer_core::mixture::MixtureConfig;
use strefer_model::{LabelRule, VisualPrompt, prefix};
use strefer_nn::Schedule;
use strefer_nn::optim::AdamWConfig;

use crate::error::{Error, Result};

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Seed of everything that is drawn.
    pub seed: u64,
    /// The checkpoint folder the run starts from.
    pub init: PathBuf,
    /// The folder of the run; must not exist unless it is resumed.
    pub output: PathBuf,
    /// What is seen, and how.
    pub data: DataConfig,
    /// How long, and in which portions.
    pub steps: StepsConfig,
    /// Which parts learn.
    pub parts: PartsConfig,
    /// The optimiser.
    #[serde(default)]
    pub optim: OptimConfig,
    /// The learning rate.
    pub schedule: Schedule,
    /// Evaluation on the way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub eval: Option<EvalConfig>,
    /// Checkpoints.
    #[serde(default)]
    pub save: SaveConfig,
}

/// What is seen, and how.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Sources and weights; paths are relative to the working folder.
    pub mixture: MixtureConfig,
    /// Threads that read and decode beside the training step.
    #[serde(default = "one")]
    pub readers: usize,
    /// Megabytes of decoded frames that are kept.
    #[serde(default)]
    pub cache_mb: usize,
    /// The share of samples that may be skipped before the run stops.
    #[serde(default = "one_percent")]
    pub max_skipped: f64,
    /// What is drawn into frames to point at objects and moments, in training and in evaluation on the way.
    #[serde(default, skip_serializing_if = "VisualPrompt::is_none")]
    pub draw: VisualPrompt,
    /// Which tokens of a conversation are learnt.
    #[serde(default, skip_serializing_if = "LabelRule::is_usual")]
    pub labels: LabelRule,
}

/// How long, and in which portions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StepsConfig {
    /// Optimiser steps.
    pub total: usize,
    /// Samples of one pass through the model.
    pub micro_batch: usize,
    /// Passes of one optimiser step.
    #[serde(default = "one")]
    pub accumulation: usize,
    /// Whether layers run again in the backward instead of keeping what they computed: less memory, more time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recompute: bool,
}

/// Learning rates of the parts relative to the schedule's; a part that is not named stays frozen.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
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
    /// The language model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<f64>,
}

impl PartsConfig {
    /// Prefixes of the parts that learn, with their relative rates.
    pub fn learning(&self) -> Vec<(&'static str, f64)> {
        let parts = [
            (prefix::VISION, self.vision),
            (prefix::CONNECTOR, self.connector),
            (prefix::REGION, self.region),
            (prefix::LANGUAGE, self.language),
        ];
        parts.into_iter().filter_map(|(prefix, rate)| Some((prefix, rate?))).collect()
    }
}

/// The optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimConfig {
    /// AdamW's own values.
    pub adamw: AdamWConfig,
    /// Decay of matrices; vectors are never decayed.
    pub weight_decay: f64,
    /// Gradients are scaled down to this norm.
    pub clip_norm: f64,
}

impl Default for OptimConfig {
    fn default() -> Self {
        Self { adamw: AdamWConfig::default(), weight_decay: 0.0, clip_norm: 1.0 }
    }
}

/// Evaluation on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EvalConfig {
    /// Questions with known answers.
    pub samples: PathBuf,
    /// The folder that media paths are relative to; the file's own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_root: Option<PathBuf>,
    /// Steps between two evaluations; there is always one at the end.
    pub every: usize,
    /// The most questions of one evaluation, spread over the file.
    pub limit: usize,
}

/// Checkpoints.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SaveConfig {
    /// Steps between two checkpoints.
    pub every: usize,
    /// How many are kept.
    pub keep: usize,
    /// The type of the final weights.
    pub final_dtype: FinalDtype,
}

impl Default for SaveConfig {
    fn default() -> Self {
        Self { every: 500, keep: 2, final_dtype: FinalDtype::F32 }
    }
}

/// The type of the final weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FinalDtype {
    /// 32 bits.
    F32,
    /// 16 bits, 8 of them exponent.
    Bf16,
    /// 16 bits, 5 of them exponent.
    F16,
}

impl From<FinalDtype> for candle_core::DType {
    fn from(dtype: FinalDtype) -> Self {
        match dtype {
            FinalDtype::F32 => Self::F32,
            FinalDtype::Bf16 => Self::BF16,
            FinalDtype::F16 => Self::F16,
        }
    }
}

fn one() -> usize {
    1
}

fn one_percent() -> f64 {
    0.01
}

impl TrainConfig {
    /// Reads a file and sets single values: `("steps.total", "100")`.
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Self> {
        let config: Self = strefer_core::settings::load(path, overrides)?;
        let bad = |reason: String| Error::Config { path: path.to_owned(), reason };
        config.validate().map_err(bad)?;
        Ok(config)
    }

    fn validate(&self) -> std::result::Result<(), String> {
        self.data.mixture.validate().map_err(|error| error.to_string())?;
        self.schedule.validate().map_err(|error| error.to_string())?;
        let StepsConfig { total, micro_batch, accumulation, recompute: _ } = self.steps;
        if total == 0 || micro_batch == 0 || accumulation == 0 {
            return Err("steps: total, micro_batch and accumulation must be positive".to_owned());
        }
        if self.data.readers == 0 || self.data.readers > 64 {
            return Err("data.readers is not between 1 and 64".to_owned());
        }
        if self.parts.learning().is_empty() {
            return Err("parts: nothing learns".to_owned());
        }
        if self.parts.learning().iter().any(|(_, rate)| !(rate.is_finite() && *rate > 0.0)) {
            return Err("parts: a relative learning rate is not positive".to_owned());
        }
        if self.save.every == 0 || self.save.keep == 0 {
            return Err("save: every and keep must be positive".to_owned());
        }
        if self.eval.as_ref().is_some_and(|eval| eval.every == 0 || eval.limit == 0) {
            return Err("eval: every and limit must be positive".to_owned());
        }
        Ok(())
    }

    /// The first section in which a resumed run differs in what it computes.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.seed != other.seed {
            Some("seed")
        } else if self.init != other.init {
            Some("init")
        } else if self.data.mixture != other.data.mixture {
            Some("data.mixture")
        } else if self.steps != other.steps {
            Some("steps")
        } else if self.parts != other.parts {
            Some("parts")
        } else if self.optim != other.optim {
            Some("optim")
        } else if self.schedule != other.schedule {
            Some("schedule")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        seed = 1
        init = "a"
        output = "b"
        [data]
        mixture = { sources = [{ name = "x", path = "x.jsonl" }] }
        [steps]
        total = 10
        micro_batch = 2
        [parts]
        language = 1.0
        [schedule]
        lr = 1e-3
    "#;

    fn load(text: &str, overrides: &[(&str, &str)]) -> Result<TrainConfig> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let overrides: Vec<(String, String)> =
            overrides.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        TrainConfig::load(file.path(), &overrides)
    }

    #[test]
    fn nothing_is_drawn_unless_it_is_asked_for_by_a_known_name() {
        let config = load(TEXT, &[]).unwrap();
        assert_eq!(config.data.draw, VisualPrompt::None);
        assert!(!toml::to_string(&config).unwrap().contains("draw"));
        let config = load(TEXT, &[("data.draw", "boxes")]).unwrap();
        assert_eq!(config.data.draw, VisualPrompt::Boxes);
        let error = load(TEXT, &[("data.draw", "circles")]).unwrap_err().to_string();
        assert!(error.contains("circles") && error.contains("som"), "{error}");
    }

    #[test]
    fn single_values_can_be_set() {
        let config = load(TEXT, &[("steps.total", "7"), ("output", "runs/x"), ("save.every", "3")]).unwrap();
        assert_eq!((config.steps.total, config.save.every), (7, 3));
        assert_eq!(config.output, Path::new("runs/x"));
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        let refused = |overrides: &[(&str, &str)]| load(TEXT, overrides).unwrap_err().to_string();
        assert!(refused(&[("steps.totl", "7")]).contains("totl"));
        assert!(refused(&[("steps.total", "0")]).contains("must be positive"));
        assert!(refused(&[("schedule.lr", "-1.0")]).contains("learning rate"));
        assert!(refused(&[("parts.language", "nan")]).contains("relative learning rate"));
    }
}
