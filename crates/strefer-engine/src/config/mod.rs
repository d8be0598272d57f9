//! A run of the engine as data: one TOML file.
//!
//! Each table is a stage. A stage that has none is not run: what it would make is given, by a synthetic world or by a folder
//! of records.

mod instruct;
mod objects;
mod stages;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_teacher::{Budget, EndpointConfig};

pub use instruct::{Form, InstructConfig};
pub use objects::{
    AnnotateConfig, Kind as ObjectSample, ObjectsConfig, QuestionConfig, RefineConfig, ReviewConfig,
};
pub use stages::{
    ClipsConfig, FeatureKind, MaskletModels, MaskletsConfig, ParseConfig, RecogniseConfig, RephraseConfig,
    SimulatedMasklets, TranscribeConfig,
};

use crate::error::{Error, Result};

/// The version of the configuration that this program reads.
pub const VERSION: u32 = 1;

/// A run of the engine over a set of videos.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EngineConfig {
    /// Version of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<u32>,
    /// Videos: a file, a folder, a pattern with `*` or a list (`.txt`); relative to the working folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub videos: Option<PathBuf>,
    /// Folder of records that are given (`entities.jsonl`, `masklets.jsonl`, …).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub given: Option<PathBuf>,
    /// File of captions that come with the videos.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub captions: Option<PathBuf>,
    /// Whether files are compressed (`.jsonl.zst`).
    pub compress: bool,
    /// Who is asked, by name.
    pub teachers: BTreeMap<String, TeacherConfig>,
    /// A paragraph about what acts in a video.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recognise: Option<RecogniseConfig>,
    /// The paragraph becomes entities.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parse: Option<ParseConfig>,
    /// Entities become masks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub masklets: Option<MaskletsConfig>,
    /// How each object moves and looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub annotate: Option<AnnotateConfig>,
    /// Whether masks show what they should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<ReviewConfig>,
    /// Motion and looks in one text.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refine: Option<RefineConfig>,
    /// Questions about each object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub question: Option<QuestionConfig>,
    /// Samples about single objects, in the place of the generator's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub objects: Option<ObjectsConfig>,
    /// A video becomes parts.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub clips: Option<ClipsConfig>,
    /// What every entity does in every part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transcribe: Option<TranscribeConfig>,
    /// The generator.
    pub instruct: InstructConfig,
    /// Questions in other words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rephrase: Option<RephraseConfig>,
    /// How the work is done; what is made does not depend on it.
    pub work: WorkConfig,
}

/// A model that is asked.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TeacherConfig {
    /// Servers with one and the same model.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub endpoints: Vec<EndpointConfig>,
    /// In their place, the folder of a Video LLM that answers in this process; relative to the working folder.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<PathBuf>,
    /// The most that may be spent on it in this run's folder.
    #[serde(default)]
    pub budget: Budget,
}

/// How the work is done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct WorkConfig {
    /// Videos at a time.
    pub workers: usize,
    /// How often a video is tried before it is parked.
    pub tries: u32,
    /// Seconds of one stage of one video.
    pub stage_s: f64,
    /// Seconds of one video.
    pub video_s: f64,
}

impl Default for WorkConfig {
    fn default() -> Self {
        Self { workers: 4, tries: 3, stage_s: 1800.0, video_s: 7200.0 }
    }
}

impl EngineConfig {
    /// A JSON schema (draft 2020-12) of the file, for editors.
    pub fn schema() -> serde_json::Value {
        schemars::schema_for!(Self).to_value()
    }

    /// Reads a file and sets single values: `("instruct.seed", "2")`.
    ///
    /// # Errors
    /// A file that cannot be read, is of another version, has an unknown key, or cannot be meant.
    pub fn load(path: &Path, overrides: &[(String, String)]) -> Result<Self> {
        let bad = |reason: String| Error::BadFile { path: path.to_owned(), reason };
        // The version first: what else is unknown may be due to it.
        #[derive(Deserialize)]
        struct Versioned {
            version: Option<u32>,
        }
        let load = |error: strefer_core::settings::SettingsError| match error {
            strefer_core::settings::SettingsError::Io { path, source } => Error::Io { path, source },
            error => Error::Config(error.to_string()),
        };
        let Versioned { version } = strefer_core::settings::load(path, overrides).map_err(load)?;
        if let Some(version) = version.filter(|version| *version != VERSION) {
            return Err(bad(format!("is of version {version}; this program reads version {VERSION}")));
        }
        let config: Self = strefer_core::settings::load(path, overrides).map_err(load)?;
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
        self.instruct.validate()?;
        for (stage, teacher) in self.asked() {
            if !self.teachers.contains_key(teacher) {
                return refuse(format!("{stage} asks the teacher {teacher:?}, which is not in [teachers]"));
            }
        }
        for (name, teacher) in &self.teachers {
            let simple = |letter: char| letter.is_ascii_alphanumeric() || "-_".contains(letter);
            if name.is_empty() || !name.chars().all(simple) {
                return refuse(format!("teacher {name:?}: names are letters, digits, - and _"));
            }
            match (&teacher.model, teacher.endpoints.is_empty()) {
                (None, true) => return refuse(format!("teacher {name:?} has neither endpoints nor a model")),
                (Some(_), false) => {
                    return refuse(format!("teacher {name:?} has both endpoints and a model"));
                }
                _ => {}
            }
        }
        if self.recognise.is_some() && self.parse.is_none() {
            return refuse("recognise and parse belong together: parse is missing".to_owned());
        }
        if let Some(problem) = self.objects_problem() {
            return refuse(problem);
        }
        let problems = [
            self.recognise.as_ref().and_then(RecogniseConfig::problem),
            self.parse.as_ref().and_then(ParseConfig::problem),
            self.masklets.as_ref().and_then(MaskletsConfig::problem),
            self.annotate.as_ref().and_then(AnnotateConfig::problem),
            self.review.as_ref().and_then(ReviewConfig::problem),
            self.refine.as_ref().and_then(RefineConfig::problem),
            self.question.as_ref().and_then(QuestionConfig::problem),
            self.clips.as_ref().and_then(ClipsConfig::problem),
            self.transcribe.as_ref().and_then(TranscribeConfig::problem),
            self.work.problem(),
        ];
        match problems.into_iter().flatten().next() {
            Some(problem) => refuse(problem),
            None => Ok(()),
        }
    }

    /// What is wrong with the tables about single objects together.
    fn objects_problem(&self) -> Option<String> {
        let (refines, asks) = (self.refine.is_some(), self.question.is_some());
        let about_objects = [
            ("annotate", self.annotate.is_some()),
            ("review", self.review.is_some()),
            ("refine", refines),
            ("question", asks),
        ];
        let Some(objects) = &self.objects else {
            let named = about_objects.into_iter().find(|(_, there)| *there);
            return named.map(|(name, _)| format!("{name} is about single objects: [objects] is missing"));
        };
        let of_parts = [
            ("clips", self.clips.is_some()),
            ("transcribe", self.transcribe.is_some()),
            ("rephrase", self.rephrase.is_some()),
        ];
        if let Some((name, _)) = of_parts.into_iter().find(|(_, there)| *there) {
            return Some(format!(
                "{name} is for the generator's samples, which [objects] takes the place of"
            ));
        }
        if objects.write.is_empty() {
            return Some("objects: write names short, detailed or questions".to_owned());
        }
        if refines && self.annotate.is_none() {
            return Some("refine needs [annotate]".to_owned());
        }
        let needs = |kind, there: bool, name| {
            let lacks = objects.writes(kind) && !there;
            lacks.then(|| format!("objects: what is written needs [{name}]"))
        };
        needs(ObjectSample::Detailed, refines, "refine")
            .or_else(|| needs(ObjectSample::Questions, asks, "question"))
    }

    /// The stages that ask, and whom.
    fn asked(&self) -> Vec<(&'static str, &str)> {
        let asked = [
            ("recognise", self.recognise.as_ref().map(|stage| &stage.teacher)),
            ("parse", self.parse.as_ref().map(|stage| &stage.teacher)),
            ("annotate", self.annotate.as_ref().map(|stage| &stage.teacher)),
            ("review", self.review.as_ref().map(|stage| &stage.teacher)),
            ("review", self.review.as_ref().and_then(|stage| stage.eyes.as_ref())),
            ("refine", self.refine.as_ref().map(|stage| &stage.teacher)),
            ("question", self.question.as_ref().map(|stage| &stage.teacher)),
            ("transcribe", self.transcribe.as_ref().map(|stage| &stage.teacher)),
            ("rephrase", self.rephrase.as_ref().map(|stage| &stage.teacher)),
        ];
        asked.into_iter().filter_map(|(stage, teacher)| Some((stage, teacher?.as_str()))).collect()
    }

    /// The part that decides what is made: without where videos lie, who is asked at which address, and how work is done.
    #[must_use]
    pub fn essence(&self) -> Self {
        let teachers = self.teachers.iter().map(|(name, teacher)| {
            let models = teacher.endpoints.iter().take(1);
            let model = |endpoint: &EndpointConfig| EndpointConfig::new("http://", endpoint.model.clone());
            let budget = Budget::default();
            (name.clone(), TeacherConfig { endpoints: models.map(model).collect(), model: None, budget })
        });
        Self {
            version: None,
            videos: None,
            given: None,
            captions: None,
            teachers: teachers.collect(),
            work: WorkConfig::default(),
            ..self.clone()
        }
    }
}

impl WorkConfig {
    fn problem(&self) -> Option<String> {
        if self.workers == 0 || self.tries == 0 {
            return Some("work: workers and tries cannot be 0".to_owned());
        }
        let times = [self.stage_s, self.video_s];
        let good = times.iter().all(|seconds| *seconds > 0.0 && *seconds <= 30.0 * 86400.0);
        (!good).then(|| "work: stage_s and video_s lie between 0 and 30 days".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stkit::run::StkitRunConfig;

    #[test]
    fn the_schemas_that_lie_beside_the_configurations_are_these() {
        let configs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs");
        let schemas = [("engine", EngineConfig::schema()), ("stkit", StkitRunConfig::schema())];
        for (job, schema) in schemas {
            let written = std::fs::read(configs.join(format!("{job}.schema.json"))).unwrap();
            let written: serde_json::Value = serde_json::from_slice(&written).unwrap();
            assert!(written == schema, "`strefer schema {job} > configs/{job}.schema.json` writes it anew");
        }
        for file in std::fs::read_dir(configs.join("engine")).unwrap() {
            let path = file.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "toml") {
                continue;
            }
            let stkit = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("stkit-"));
            let wanted =
                if stkit { "#:schema ../stkit.schema.json\n" } else { "#:schema ../engine.schema.json\n" };
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(text.starts_with(wanted), "{} does not begin with {wanted}", path.display());
        }
    }
}
