//! What outputs are kept by: a digest of everything that decides them.

use serde::Serialize;

use super::at_hand::AtHand;
use super::chain::Crew;
use super::digest;
use super::fault::Fault;
use super::stage::Stage;
use crate::config::EngineConfig;
use crate::error::Result;

/// The key of each stage of one video, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keys([String; 10]);

impl Keys {
    /// Of a stage, made or given.
    pub fn of(&self, stage: Stage) -> &str {
        &self.0[stage as usize]
    }

    /// All of them follow from the video, what is given, the configuration, the prompts and the models: none has to run
    /// to know them.
    ///
    /// # Errors
    /// A teacher that is not there.
    pub fn new(at: &AtHand<'_>, cfg: &EngineConfig, crew: &Crew) -> std::result::Result<Self, Fault> {
        Ok(Self::derive(at, cfg, crew)?)
    }

    fn derive(at: &AtHand<'_>, cfg: &EngineConfig, crew: &Crew) -> Result<Self> {
        let Crew { prompts, teachers, .. } = crew;
        let model = |name: &str| teachers.get(name).map(|asked| asked.teacher.model().to_owned());
        let video = at.digest.as_str();
        let recognise = match &cfg.recognise {
            Some(own) => {
                let config = without_names(own)?;
                key("recognise/1", &[video, &config, prompts.recognise.text(), &model(&own.teacher)?])
            }
            None => given("entities", &at.given.entities)?,
        };
        let parse = match &cfg.parse {
            Some(own) => key(
                "parse/1",
                &[
                    &recognise,
                    &without_names(own)?,
                    prompts.parse.text(),
                    prompts.general_noun.text(),
                    &model(&own.teacher)?,
                ],
            ),
            None => recognise.clone(),
        };
        let masklets = match (&cfg.masklets, &crew.masklets) {
            (Some(own), source) => {
                let source = source.as_ref().map_or("", |source| source.name());
                key("masklets/1", &[video, &parse, &digest::of_value(&own.rules())?, source])
            }
            (None, _) => given("masklets", &at.given.masklets)?,
        };
        let described = key("objects/1", &[video, &parse, &masklets]);
        let annotate = match &cfg.annotate {
            Some(own) => {
                let (motion, looks) = (prompts.motion.text(), prompts.appearance.text());
                let model = model(&own.teacher)?;
                key("annotate/1", &[&described, &without_names(own)?, motion, looks, &model])
            }
            None => described,
        };
        let review = match &cfg.review {
            Some(own) => {
                let seen = match (&own.eyes, &crew.describer) {
                    (Some(eyes), _) => format!("{}\n{}", prompts.outlined.text(), model(eyes)?),
                    (None, describer) => {
                        describer.as_ref().map_or(String::new(), |describer| describer.name().to_owned())
                    }
                };
                let model = model(&own.teacher)?;
                key("review/1", &[&annotate, &without_names(own)?, &seen, prompts.compare.text(), &model])
            }
            None => annotate.clone(),
        };
        let refine = match &cfg.refine {
            Some(own) => {
                let model = model(&own.teacher)?;
                key("refine/1", &[&review, &without_names(own)?, prompts.refine.text(), &model])
            }
            None => review.clone(),
        };
        let question = match &cfg.question {
            Some(own) => {
                let model = model(&own.teacher)?;
                key("question/1", &[&refine, &without_names(own)?, prompts.question.text(), &model])
            }
            None => refine.clone(),
        };
        let clips = match &cfg.clips {
            Some(own) => key(
                "clips/1",
                &[video, &digest::of_value(&(&own.shots, &own.semantic))?, crew.features.name()],
            ),
            None => given("clips", &at.given.clips)?,
        };
        let transcribe = match &cfg.transcribe {
            Some(own) => key(
                "transcribe/1",
                &[
                    video,
                    &parse,
                    &masklets,
                    &clips,
                    &without_names(own)?,
                    prompts.transcribe.text(),
                    &model(&own.teacher)?,
                ],
            ),
            None => given("transcript", &at.given.transcript)?,
        };
        let rephrase = match &cfg.rephrase {
            Some(own) => {
                key("rephrase/1", &[&without_names(own)?, prompts.rephrase.text(), &model(&own.teacher)?])
            }
            None => String::new(),
        };
        // Samples name their video and say where it is.
        let measures = digest::of_value(&at.video)?;
        let instruct = digest::of_value(&cfg.instruct)?;
        let samples = match &cfg.objects {
            Some(objects) => {
                key("object-samples/1", &[&measures, &question, &instruct, &digest::of_value(objects)?])
            }
            None => {
                key("samples/1", &[&measures, &parse, &masklets, &clips, &transcribe, &instruct, &rephrase])
            }
        };
        Ok(Self([recognise, parse, masklets, annotate, review, refine, question, clips, transcribe, samples]))
    }
}

/// Fields that name files and teachers.
const NAMES: [&str; 8] = [
    "teacher",
    "prompt",
    "noun_prompt",
    "motion_prompt",
    "appearance_prompt",
    "eyes",
    "eyes_prompt",
    "model",
];

/// A stage's configuration without who is asked, and which file the prompt lies in: its model and its words count.
fn without_names<T: Serialize>(config: &T) -> Result<String> {
    let mut value = serde_json::to_value(config).map_err(|error| crate::Error::Config(error.to_string()))?;
    if let Some(fields) = value.as_object_mut() {
        for name in NAMES {
            fields.shift_remove(name);
        }
    }
    digest::of_value(&value)
}

fn given<T: Serialize>(name: &str, record: &Option<T>) -> Result<String> {
    Ok(match record {
        Some(record) => key("given", &[name, &digest::of_value(record)?]),
        None => key("missing", &[name]),
    })
}

/// A digest of several texts; none can be mistaken for two others.
fn key(purpose: &str, parts: &[&str]) -> String {
    let mut hasher = blake3::Hasher::new();
    for part in [purpose].iter().chain(parts) {
        hasher.update(&(part.len() as u64).to_le_bytes());
        hasher.update(part.as_bytes());
    }
    hasher.finalize().to_hex()[..40].to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cannot_run_into_each_other() {
        assert_ne!(key("a", &["bc", ""]), key("a", &["b", "c"]));
        assert_ne!(key("a", &["b"]), key("ab", &[]));
        assert_eq!(key("a", &["b"]).len(), 40);
    }
}
