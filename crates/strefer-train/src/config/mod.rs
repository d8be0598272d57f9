//! A training run as data: one TOML file a run.

mod mixture;
mod parts;
mod steps;

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::mixture::MixtureConfig;
use strefer_model::{LabelRule, VisualPrompt};
use strefer_nn::Schedule;
use strefer_nn::optim::AdamWConfig;

use crate::error::{Error, Result};

pub use parts::{LoraConfig, Part, PartsConfig};
pub use steps::{Passes, Sharding, StepsConfig};

/// A run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// Low-rank updates in the place of the language model's weights.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lora: Option<LoraConfig>,
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataConfig {
    /// Sources and weights, or the path of a file that holds them (`strefer mix` writes one); paths are relative to the working
    /// folder.
    #[serde(deserialize_with = "mixture::here_or_in_file")]
    #[schemars(schema_with = "mixture::schema")]
    pub mixture: MixtureConfig,
    /// Threads that read and decode beside the training step.
    #[serde(default = "one")]
    pub readers: usize,
    /// Megabytes of decoded frames that are kept.
    #[serde(default)]
    pub cache_mb: usize,
    /// Gigabytes of local copies of media from shards, object stores and web servers, in a temporary folder (`TMPDIR`).
    #[serde(default = "twenty", skip_serializing_if = "is_twenty")]
    pub shelf_gb: f64,
    /// Seconds that fetching a file from elsewhere, opening a video, or decoding one sample's frames of it, may take; a sample that takes longer is skipped.
    #[serde(default = "two_minutes")]
    pub deadline_s: f64,
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

/// The optimiser.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct OptimConfig {
    /// AdamW's own values.
    pub adamw: AdamWConfig,
    /// Decay of matrices.
    pub weight_decay: f64,
    /// Whether vectors (biases, norms) are decayed too.
    pub decay_vectors: bool,
    /// Gradients are scaled down to this norm.
    pub clip_norm: f64,
}

impl Default for OptimConfig {
    fn default() -> Self {
        Self { adamw: AdamWConfig::default(), weight_decay: 0.0, decay_vectors: false, clip_norm: 1.0 }
    }
}

/// Evaluation on the way.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SaveConfig {
    /// Steps between two checkpoints.
    pub every: usize,
    /// How many are kept.
    pub keep: usize,
    /// The type of the final weights.
    pub final_dtype: Float,
    /// Whether training goes on while a checkpoint is written, for the memory of a copy of what learns.
    pub background: bool,
    /// The evaluation whose best checkpoint is kept besides, as `best` in the run's folder: a kind of question, or
    /// "mean" for the mean over all kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub best: Option<String>,
}

impl Default for SaveConfig {
    fn default() -> Self {
        Self { every: 500, keep: 2, final_dtype: Float::F32, background: true, best: None }
    }
}

/// Types of weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Float {
    /// 32 bits.
    #[default]
    F32,
    /// 16 bits, 8 of them exponent.
    Bf16,
    /// 16 bits, 5 of them exponent.
    F16,
}

impl Float {
    fn is_f32(&self) -> bool {
        *self == Self::F32
    }
}

impl From<Float> for candle_core::DType {
    fn from(dtype: Float) -> Self {
        match dtype {
            Float::F32 => Self::F32,
            Float::Bf16 => Self::BF16,
            Float::F16 => Self::F16,
        }
    }
}

fn one() -> usize {
    1
}

fn twenty() -> f64 {
    20.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_twenty(gigabytes: &f64) -> bool {
    *gigabytes == twenty()
}

fn two_minutes() -> f64 {
    120.0
}

fn one_percent() -> f64 {
    0.01
}

impl TrainConfig {
    /// Whether rows of a pass may go through the model side by side on CPUs, if the model is small. Not where layers run again, which is
    /// for want of memory; not with dropout, whose draws follow the order of passes; not over quantised weights, which every portion
    /// would unpack for itself; and not in narrow types, which are a card's.
    pub fn may_go_side_by_side(&self) -> bool {
        let StepsConfig { pack, dtype, recompute, .. } = self.steps;
        let lora = self.lora.as_ref();
        let hinders = lora.is_some_and(|lora| lora.dropout > 0.0 || lora.base.is_some());
        dtype.is_f32() && pack == 0 && !recompute && !hinders
    }

    /// Reads a file and sets single values: `("steps.total", "100")`.
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Self> {
        let config: Self = strefer_core::settings::load(path, overrides)?;
        let bad = |reason: String| Error::Config { path: path.to_owned(), reason };
        config.validate().map_err(bad)?;
        Ok(config)
    }

    /// As a file has it.
    pub fn to_toml(&self) -> String {
        toml::to_string_pretty(self).expect("a configuration is tables of plain values")
    }

    /// A JSON schema (draft 2020-12) of the file, for editors: keys, types, usual values, what each is for.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    fn validate(&self) -> std::result::Result<(), String> {
        self.data.mixture.validate().map_err(|error| error.to_string())?;
        self.schedule.validate().map_err(|error| error.to_string())?;
        let StepsConfig { total, epochs, batch, micro_batch, pack: _, dtype, recompute, shard } = self.steps;
        if total == Some(0) || batch == 0 || micro_batch == Some(0) {
            return Err("steps: total, batch and micro_batch must be positive".to_owned());
        }
        if epochs.is_some_and(|epochs| !(epochs > 0.0 && epochs <= 1000.0)) {
            return Err("steps.epochs is not between 0 and 1000".to_owned());
        }
        if total.is_none() && epochs.is_none() {
            return Err("steps: total or epochs must say how long".to_owned());
        }
        if shard == Sharding::Full && !recompute {
            return Err(
                "steps.shard: weights that come for a layer's turn need steps.recompute = true".to_owned()
            );
        }
        if shard == Sharding::Full && self.lora.as_ref().is_some_and(|lora| lora.base.is_some()) {
            return Err(
                "steps.shard: quantised layers (lora.base) lie on every rank; take \"gradients\"".to_owned()
            );
        }
        if dtype == Float::F16 {
            return Err("steps.dtype: gradients underflow in f16; take bf16".to_owned());
        }
        if !(self.data.shelf_gb >= 0.0 && self.data.shelf_gb <= 1e6) {
            return Err("data.shelf_gb is not between 0 and a million".to_owned());
        }
        if !(self.data.deadline_s > 0.0 && self.data.deadline_s <= 86400.0) {
            return Err("data.deadline_s is not between 0 and a day".to_owned());
        }
        if self.data.readers == 0 || self.data.readers > 64 {
            return Err("data.readers is not between 1 and 64".to_owned());
        }
        let faults = [self.parts.fault(), self.lora.as_ref().and_then(LoraConfig::fault)];
        if let Some(fault) = faults.into_iter().flatten().next() {
            return Err(fault);
        }
        if self.save.every == 0 || self.save.keep == 0 {
            return Err("save: every and keep must be positive".to_owned());
        }
        if self.eval.as_ref().is_some_and(|eval| eval.every == 0 || eval.limit == 0) {
            return Err("eval: every and limit must be positive".to_owned());
        }
        if self.save.best.is_some() && self.eval.is_none() {
            return Err("save.best: there is no evaluation on the way".to_owned());
        }
        Ok(())
    }

    /// The first section in which a resumed run differs in what it computes. How a step is split into passes and over
    /// ranks may differ: that changes the order of sums and nothing else.
    pub fn difference(&self, other: &Self) -> Option<&'static str> {
        if self.seed != other.seed {
            Some("seed")
        } else if self.init != other.init {
            Some("init")
        } else if self.data.mixture != other.data.mixture {
            Some("data.mixture")
        } else if !self.steps.computes_as(&other.steps) {
            Some("steps")
        } else if self.parts != other.parts {
            Some("parts")
        } else if self.lora != other.lora {
            Some("lora")
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
        batch = 2
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

    /// Every key of a file, and every key that the schema has at that place.
    fn unknown_to(schema: &serde_json::Value, at: &serde_json::Value, value: &toml::Value) -> Vec<String> {
        let resolve = |node: &serde_json::Value| -> serde_json::Value {
            let of = node["anyOf"].as_array().and_then(|all| all.iter().find(|one| one["$ref"].is_string()));
            match of.unwrap_or(node)["$ref"].as_str() {
                Some(name) => schema["$defs"][name.trim_start_matches("#/$defs/")].clone(),
                None => node.clone(),
            }
        };
        let node = resolve(at);
        match value {
            toml::Value::Table(table) if node["properties"].is_object() => table
                .iter()
                .flat_map(|(key, value)| match &node["properties"][key] {
                    serde_json::Value::Null => vec![key.clone()],
                    inner => unknown_to(schema, inner, value),
                })
                .collect(),
            toml::Value::Array(values) => {
                values.iter().flat_map(|value| unknown_to(schema, &node["items"], value)).collect()
            }
            _ => Vec::new(),
        }
    }

    #[test]
    fn the_schema_beside_the_configurations_is_that_of_the_code_and_knows_their_keys() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let schema = TrainConfig::schema();
        let written = std::fs::read_to_string(folder.join("train.schema.json")).unwrap();
        let written: serde_json::Value = serde_json::from_str(&written).unwrap();
        assert!(written == schema, "`strefer schema > configs/train.schema.json` writes it anew");
        let mut tables = 0;
        for entry in std::fs::read_dir(folder.join("train")).unwrap() {
            let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
            assert!(text.starts_with("#:schema ../train.schema.json\n"), "{}", &text[..60]);
            let table: toml::Value = toml::from_str(&text).unwrap();
            assert_eq!(unknown_to(&schema, &schema, &table), Vec::<String>::new());
            tables += 1;
        }
        assert!(tables > 0);
        let odd: toml::Value = toml::from_str("[steps]\ntotl = 3\n[optim.adamw]\nbeta3 = 1.0").unwrap();
        assert_eq!(unknown_to(&schema, &schema, &odd), ["beta3", "totl"]);
    }

    #[test]
    fn every_configuration_of_the_project_is_one() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../configs/train");
        let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let runs: Vec<TrainConfig> = files.map(|file| TrainConfig::load(&file, &[]).unwrap()).collect();
        assert!(runs.len() >= 15, "{} files", runs.len());
        let recipe = |output: &str| runs.iter().find(|run| run.output == Path::new(output)).unwrap();
        let samples = |output: &str| -> usize {
            recipe(output).data.mixture.sources.iter().map(|source| source.cap.unwrap()).sum()
        };
        assert_eq!((samples("runs/strefer-base"), samples("runs/strefer-final")), (1_948_679, 2_508_722));
        let st_vlm = recipe("runs/st-vlm");
        assert_eq!(st_vlm.steps.count(samples("runs/st-vlm")), 1852);
    }

    #[test]
    fn low_rank_updates_are_of_known_projections() {
        let lora = |value: &str| load(TEXT, &[("lora", value)]);
        let config = lora("{ rank = 8, alpha = 16.0 }").unwrap().lora.unwrap();
        assert!(config.modules.iter().any(|module| module == "qkv_proj"));
        let error = lora("{ rank = 8, alpha = 16.0, modules = [\"x_proj\"] }").unwrap_err().to_string();
        assert!(error.contains("x_proj") && error.contains("down_proj"), "{error}");
        assert!(lora("{ rank = 0, alpha = 16.0 }").unwrap_err().to_string().contains("rank"));
    }

    #[test]
    fn single_values_can_be_set() {
        let config = load(TEXT, &[("steps.total", "7"), ("output", "runs/x"), ("save.every", "3")]).unwrap();
        assert_eq!((config.steps.total, config.save.every), (Some(7), 3));
        assert_eq!(config.output, Path::new("runs/x"));
    }

    #[test]
    fn unknown_keys_and_impossible_values_are_refused() {
        let refused = |overrides: &[(&str, &str)]| load(TEXT, overrides).unwrap_err().to_string();
        assert!(refused(&[("steps.totl", "7")]).contains("totl"));
        assert!(refused(&[("steps.total", "0")]).contains("must be positive"));
        assert!(refused(&[("steps.shard", "full")]).contains("steps.recompute"));
        assert!(refused(&[("save.best", "mean")]).contains("save.best"));
        assert!(refused(&[("schedule.lr", "-1.0")]).contains("learning rate"));
        assert!(refused(&[("parts.language", "nan")]).contains("relative learning rate"));
    }
}
