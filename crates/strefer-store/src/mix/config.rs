//! What is mixed, as data.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::import::SampleFormat;
use strefer_core::mixture::throughout;
use strefer_core::settings;

use crate::error::{Error, Result};

/// A mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixConfig {
    /// Version of this format: 1.
    pub version: u32,
    /// Seed of everything that is drawn.
    #[serde(default)]
    pub seed: u64,
    /// The sources; what two of them hold is taken from the first.
    pub sources: Vec<MixSource>,
    /// Which samples count as repeated.
    #[serde(default)]
    pub duplicates: Duplicates,
    /// Videos held out for choosing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub val: Option<ValConfig>,
    /// Videos that nothing may be learnt from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unwanted: Option<Unwanted>,
    /// A tokenizer (a checkpoint folder or a `tokenizer.json`) that tells how long texts are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokenizer: Option<PathBuf>,
    /// The share of a source's records that may be wrong; with more of them nothing is written.
    #[serde(default = "one_percent")]
    pub max_bad: f64,
    /// Samples of one file.
    #[serde(default = "hundred_thousand")]
    pub per_file: usize,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixSource {
    /// Its name: that of a folder of the mixture, and of the source in logs of training.
    pub name: String,
    /// Samples as in a mixture of training (a file, a folder, a range, an address), or a file of `format`.
    pub path: PathBuf,
    /// The published format of the records: a JSON array or JSON Lines, plain or zstd. Samples of our own when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<SampleFormat>,
    /// The folder or address that media paths are relative to; that of the samples when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_root: Option<PathBuf>,
    /// How many samples are for training; all when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<usize>,
    /// How many of a group of tasks (`G7`) are for training; the others of the source as the cap says.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub groups: BTreeMap<String, usize>,
    /// How many samples that refer to objects and moments in one way are for training.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub refers: BTreeMap<Refers, usize>,
    /// How often every sample is seen in an epoch of training.
    #[serde(default = "once")]
    pub weight: f64,
    /// The moments, from 0 to 1, between which those of its samples are drawn; an epoch of training goes by moments.
    #[serde(default = "throughout")]
    pub phase: [f64; 2],
    /// Other ways to point at objects, in the place of masks.
    #[serde(default, skip_serializing_if = "References::is_none")]
    pub references: References,
}

/// What a sample refers to: the four kinds of the Strefer paper.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Refers {
    /// Masked objects and moments.
    MaskTime,
    /// Masked objects.
    Mask,
    /// Moments.
    Time,
    /// Neither.
    Neither,
}

/// Which samples count as repeated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Duplicates {
    /// None: all are kept.
    Keep,
    /// The same conversation about the same objects and moments of the same video; case, spaces and punctuation do not count.
    #[default]
    Conversation,
    /// The same questions about them, whatever the answers.
    Question,
}

/// Videos held out for choosing.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ValConfig {
    /// Their share. A video is held out in all sources or in none.
    pub share: f64,
    /// The most samples of one source.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<usize>,
}

/// Videos that nothing may be learnt from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Unwanted {
    /// Files with a video (a path or a name) a line.
    pub lists: Vec<PathBuf>,
    /// Benchmarks by name (see `strefer eval`), whose files lie below `root`.
    pub benchmarks: Vec<String>,
    /// The folder of all benchmarks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
}

/// Shares of the samples whose objects are pointed at in other ways than by masks, in one frame each, as a person would.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct References {
    /// By a point on the object.
    pub point: f64,
    /// By a box around it.
    #[serde(rename = "box")]
    pub boxed: f64,
    /// By a line over it.
    pub scribble: f64,
}

impl References {
    /// Whether masks stay as they are.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

fn once() -> f64 {
    1.0
}

fn one_percent() -> f64 {
    0.01
}

fn hundred_thousand() -> usize {
    100_000
}

impl MixConfig {
    /// Reads a TOML file, then sets single values.
    ///
    /// # Errors
    /// The file cannot be read, holds an unknown key, or what cannot be meant.
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Self> {
        let cfg: Self = settings::load(path, overrides)?;
        cfg.validate()?;
        Ok(cfg)
    }

    /// A JSON schema (draft 2020-12) of the file, for editors.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Rejects what parses but cannot be meant.
    ///
    /// # Errors
    /// The first such thing.
    pub fn validate(&self) -> Result<()> {
        self.fault().map_or(Ok(()), |reason| Err(Error::Mix { reason }))
    }

    fn fault(&self) -> Option<String> {
        let is_share = |share: f64| (0.0..=1.0).contains(&share);
        if self.version != 1 {
            return Some(format!("version {} is not known; this program reads version 1", self.version));
        }
        if self.sources.is_empty() {
            return Some("no source is named".to_owned());
        }
        if !is_share(self.max_bad) {
            return Some(format!("max_bad is {}, not between 0 and 1", self.max_bad));
        }
        if self.per_file == 0 {
            return Some("per_file is 0".to_owned());
        }
        match self.val {
            Some(ValConfig { share, .. }) if !(0.0..=0.5).contains(&share) => {
                return Some(format!("val.share is {share}, not between 0 and 0.5"));
            }
            _ => {}
        }
        if let Some(unwanted) = &self.unwanted
            && !unwanted.benchmarks.is_empty()
            && unwanted.root.is_none()
        {
            return Some("unwanted.benchmarks needs unwanted.root, the folder of all benchmarks".to_owned());
        }
        self.sources.iter().enumerate().find_map(|(at, source)| {
            let twice = self.sources[..at].iter().any(|other| other.name == source.name);
            let fault = if twice { Some("its name is used twice".to_owned()) } else { source.fault() };
            fault.map(|fault| format!("source {:?}: {fault}", source.name))
        })
    }
}

impl MixSource {
    fn fault(&self) -> Option<String> {
        let References { point, boxed, scribble } = self.references;
        let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
        if self.name.is_empty() || self.name.starts_with('.') || !self.name.chars().all(is_name) {
            return Some("a name has letters, digits, '-', '_' and '.', since it is a folder's".to_owned());
        }
        if !(self.weight.is_finite() && self.weight > 0.0 && self.weight <= 1000.0) {
            return Some(format!("the weight {} is not between 0 and 1000", self.weight));
        }
        if !(0.0 <= self.phase[0] && self.phase[0] < self.phase[1] && self.phase[1] <= 1.0) {
            return Some(format!("the phase {:?} is no part of an epoch, 0 to 1", self.phase));
        }
        if [point, boxed, scribble].iter().any(|share| !(0.0..=1.0).contains(share))
            || point + boxed + scribble > 1.0 + 1e-9
        {
            return Some("shares of references lie between 0 and 1, and so does their sum".to_owned());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_recipes_of_the_paper_parse_and_add_up() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/mixture");
        let wanted = |name: &str| -> usize {
            let cfg = MixConfig::load(&folder.join(name), &[]).unwrap();
            cfg.sources.iter().filter_map(|source| source.cap).sum()
        };
        assert_eq!(wanted("strefer-base.toml"), 1_254_656 + 694_023);
        assert_eq!(wanted("strefer-final.toml"), 2_508_722);
    }

    #[test]
    fn the_schema_that_lies_beside_the_configurations_is_this_one() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/mix.schema.json");
        let written: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
        assert!(
            written == MixConfig::schema(),
            "`strefer schema mix > configs/mix.schema.json` writes it anew"
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused() {
        let refused = |more: &str| {
            let cfg: MixConfig =
                toml::from_str(&format!("version = 1\n{more}\n[[sources]]\nname = \"a\"\npath = \"a\"\n"))
                    .unwrap();
            cfg.validate().unwrap_err().to_string()
        };
        assert!(refused("[[sources]]\nname = \"a\"\npath = \"b\"").contains("\"a\": its name is used twice"));
        assert!(refused("[[sources]]\nname = \"../a\"\npath = \"b\"").contains("letters, digits"));
        assert!(refused("[[sources]]\nname = \"b\"\npath = \"b\"\nweight = 0").contains("weight 0"));
        assert!(
            refused("[[sources]]\nname = \"b\"\npath = \"b\"\nreferences = { box = 0.7, point = 0.7 }")
                .contains("their sum")
        );
        assert!(refused("[[sources]]\nname = \"b\"\npath = \"b\"\nphase = [0.5, 0.2]").contains("phase"));
        assert!(refused("max_bad = 2").contains("max_bad"));
        assert!(refused("per_file = 0").contains("per_file"));
    }
}
