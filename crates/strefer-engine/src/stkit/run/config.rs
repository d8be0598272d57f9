//! A run as data: one TOML file.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::stkit::config::StkitConfig;
use crate::stkit::readers::clips::ClipsFileConfig;
use crate::stkit::readers::configs::{ArgoverseConfig, NuplanConfig};
use crate::stkit::readers::ego_exo::EgoExoConfig;
use crate::stkit::readers::nuscenes::NuscenesConfig;
use crate::stkit::readers::pseudo::PseudoConfig;

/// The version of the configuration that this program reads.
pub const VERSION: u32 = 1;

/// Datasets, and how they become questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StkitRunConfig {
    /// Version of the file.
    pub version: u32,
    /// Where clips come from.
    pub sources: Vec<SourceConfig>,
    /// How clips become questions. Samples are called after their source, not after `dataset`.
    #[serde(default)]
    pub stkit: StkitConfig,
    /// How marked frames are written.
    #[serde(default)]
    pub pictures: PictureConfig,
    /// How the work is done; what is made does not depend on it.
    #[serde(default)]
    pub work: WorkConfig,
}

/// One source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name in clips and samples.
    pub name: String,
    /// Whether it is asked which way objects move; not for sports.
    #[serde(default = "yes")]
    pub directions: bool,
    /// How much of each task's questions is about it, beside the shares of the others; all sources have one or none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// File of names of recordings, or of logs and takes with all of theirs, one a line: a split. All where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<PathBuf>,
    /// Most recordings, spread over the list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// What it is.
    pub from: Origin,
}

fn yes() -> bool {
    true
}

/// Kinds of sources.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Origin {
    /// nuScenes.
    Nuscenes(NuscenesConfig),
    /// Argoverse 2, the Sensor dataset.
    Argoverse2(ArgoverseConfig),
    /// nuPlan.
    Nuplan(NuplanConfig),
    /// Ego-Exo4D.
    EgoExo4d(EgoExoConfig),
    /// Videos with masklets and depth.
    Pseudo(PseudoConfig),
    /// Neutral records.
    Clips(ClipsFileConfig),
}

impl Origin {
    /// The part that decides what is made, without where things lie.
    fn essence(&self) -> Self {
        let mut own = self.clone();
        match &mut own {
            Self::Nuscenes(cfg) => cfg.root = PathBuf::new(),
            Self::Argoverse2(cfg) => cfg.root = PathBuf::new(),
            Self::Nuplan(cfg) => (cfg.logs, cfg.pictures) = Default::default(),
            Self::EgoExo4d(cfg) => (cfg.root, cfg.masklets) = Default::default(),
            Self::Pseudo(cfg) => {
                (cfg.videos, cfg.masklets, cfg.geometry, cfg.truth) = Default::default();
                // Which model it is, its content says.
                cfg.metric = cfg.metric.take().map(|_| PathBuf::new());
            }
            Self::Clips(cfg) => (cfg.file, cfg.root) = Default::default(),
        }
        own
    }
}

/// Kinds of files of marked frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum PictureKind {
    /// Small.
    Jpeg,
    /// Exact.
    Png,
}

/// How marked frames are written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PictureConfig {
    /// The kind of file.
    pub kind: PictureKind,
    /// Quality of JPEG, 1 to 100.
    pub quality: u8,
}

impl Default for PictureConfig {
    fn default() -> Self {
        Self { kind: PictureKind::Jpeg, quality: 92 }
    }
}

/// How the work is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkConfig {
    /// Recordings at a time.
    pub workers: usize,
}

impl Default for WorkConfig {
    fn default() -> Self {
        Self { workers: 2 }
    }
}

impl StkitRunConfig {
    /// A JSON schema (draft 2020-12) of the file, for editors.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Reads a file and sets single values: `("stkit.seed", "2")`.
    ///
    /// # Errors
    /// A file that cannot be read, is of another version, has an unknown key, or cannot be meant.
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Self> {
        use strefer_core::settings::{SettingsError, load};
        #[derive(Deserialize)]
        struct Versioned {
            version: Option<u32>,
        }
        let settings = |error: SettingsError| match error {
            SettingsError::Io { path, source } => Error::Io { path, source },
            error => Error::Config(error.to_string()),
        };
        let bad = |reason: String| Error::BadFile { path: path.to_owned(), reason };
        // The version first: what else is unknown may be due to it.
        let Versioned { version } = load(path, overrides).map_err(settings)?;
        if version != Some(VERSION) {
            let found = version.map_or("has no version".to_owned(), |found| format!("is of version {found}"));
            return Err(bad(format!("{found}; this program reads version {VERSION}")));
        }
        let config: Self = load(path, overrides).map_err(settings)?;
        config.validate().map_err(|error| match error {
            Error::Config(reason) => bad(reason),
            other => other,
        })?;
        Ok(config)
    }

    /// Rejects what parses but cannot be meant.
    ///
    /// # Errors
    /// What is wrong.
    pub fn validate(&self) -> Result<()> {
        let refuse = |reason: String| Err(Error::Config(reason));
        self.stkit.validate()?;
        if self.stkit.dataset != StkitConfig::default().dataset {
            return refuse("stkit.dataset: samples are called after their source; leave it out".to_owned());
        }
        let marked = Path::new(&self.stkit.marked_dir);
        if !marked.components().all(|part| matches!(part, std::path::Component::Normal(_))) {
            return refuse(format!(
                "stkit.marked_dir: {:?} is not inside the run's folder",
                self.stkit.marked_dir
            ));
        }
        if self.sources.is_empty() {
            return refuse("no source is named ([[sources]])".to_owned());
        }
        for (at, source) in self.sources.iter().enumerate() {
            let simple = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
            if source.name.is_empty() || !source.name.chars().all(simple) {
                return refuse(format!("source {:?}: names are letters, digits, - and _", source.name));
            }
            if self.sources[..at].iter().any(|other| other.name == source.name) {
                return refuse(format!("source {:?} is named twice", source.name));
            }
            if source.limit == Some(0) {
                return refuse(format!("source {:?}: limit is 0", source.name));
            }
            if let Some(problem) = problem(&source.from) {
                return refuse(format!("source {:?}: {problem}", source.name));
            }
        }
        let shares: Vec<f64> = self.sources.iter().filter_map(|source| source.share).collect();
        if !shares.is_empty() && shares.len() != self.sources.len() {
            return refuse("share: all sources have one or none has".to_owned());
        }
        if shares.iter().any(|share| !(share.is_finite() && *share >= 0.0)) {
            return refuse("share: it is a number from 0 on".to_owned());
        }
        if self.work.workers == 0 || !(1..=100).contains(&self.pictures.quality) {
            return refuse("work.workers is not 0, and pictures.quality lies between 1 and 100".to_owned());
        }
        Ok(())
    }

    /// The part that decides what is made: without where datasets lie and how work is done. Lists of names stay: other recordings are
    /// another set.
    #[must_use]
    pub fn essence(&self) -> Self {
        let sources = self.sources.iter().map(|source| SourceConfig {
            only: source.only.as_deref().map(content),
            from: source.from.essence(),
            ..source.clone()
        });
        Self { sources: sources.collect(), work: WorkConfig::default(), ..self.clone() }
    }
}

impl SourceConfig {
    /// The part that decides a recording's clip.
    pub(super) fn essence(&self) -> Origin {
        self.from.essence()
    }
}

/// A list by what it holds, wherever it lies.
fn content(list: &Path) -> PathBuf {
    std::fs::read(list).map_or_else(|_| list.to_owned(), |text| blake3::hash(&text).to_hex()[..16].into())
}

fn problem(from: &Origin) -> Option<String> {
    match from {
        Origin::Nuscenes(cfg) if !(1..=4).contains(&cfg.least_visibility) => {
            Some("least_visibility lies between 1 and 4".to_owned())
        }
        Origin::Pseudo(cfg) => {
            let good = cfg.step_s > 0.0 && cfg.slack_s >= 0.0 && cfg.folder_fps > 0.0 && cfg.stretch > 1;
            (!good)
                .then(|| "step_s and folder_fps are above 0, slack_s from 0 on, stretch from 2 on".to_owned())
        }
        Origin::EgoExo4d(cfg) if cfg.slack_s.is_nan() || cfg.slack_s < 0.0 => {
            Some("slack_s is a number from 0 on".to_owned())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str =
        "version = 1\n[[sources]]\nname = \"a\"\nfrom = { kind = \"clips\", file = \"a.jsonl\" }\n";

    fn load(text: &str) -> Result<StkitRunConfig> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("run.toml");
        std::fs::write(&path, text).unwrap();
        StkitRunConfig::load(&path, &[])
    }

    #[test]
    fn unknown_keys_other_versions_and_what_cannot_be_meant_are_named() {
        assert!(load(PLAIN).is_ok());
        for (from, to, said) in [
            ("version = 1", "version = 2", "version 2"),
            ("version = 1\n", "", "no version"),
            ("name", "nam", "nam"),
            ("file = ", "fil = ", "fil"),
            ("\"clips\"", "\"clipz\"", "clipz"),
            ("name = \"a\"", "name = \"a/b\"", "a/b"),
            ("name = \"a\"", "name = \"a\"\nlimit = 0", "limit"),
            ("name = \"a\"", "name = \"a\"\nshare = -1.0", "share"),
            ("[[sources]]", "[stkit]\ndataset = \"x\"\n[[sources]]", "dataset"),
            ("[[sources]]", "[stkit]\nmarked_dir = \"../x\"\n[[sources]]", "marked_dir"),
            ("[[sources]]", "[stkit.kinematics]\nmargins = 1\n[[sources]]", "margins"),
        ] {
            let error = load(&PLAIN.replace(from, to)).expect_err(said).to_string();
            assert!(error.contains(said), "{said}: {error}");
        }
        let two = format!("{PLAIN}{}", PLAIN.replace("version = 1\n", ""));
        assert!(load(&two).unwrap_err().to_string().contains("twice"));
        let shares = two.replacen("name = \"a\"", "name = \"b\"\nshare = 1.0", 1);
        assert!(load(&shares).unwrap_err().to_string().contains("share"));
        assert!(load("version = 1\nsources = []\n").unwrap_err().to_string().contains("sources"));
    }

    #[test]
    fn where_things_lie_does_not_decide_what_is_made() {
        let one = load(PLAIN).unwrap();
        let other = load(&PLAIN.replace("a.jsonl", "elsewhere/b.jsonl")).unwrap();
        assert_eq!(one.essence(), other.essence());
        assert_ne!(one, other);
    }
}
