//! The stages of one video, one after the other. What was made before is taken from its file.

use std::time::Duration;

use strefer_core::Sample;
use strefer_core::records::{
    Boundary, ClipSpan, Clips, Descriptions, Entities, LineRecord, Masklets, Transcript, Video,
};
use strefer_core::sample::Schema;

use super::at_hand::AtHand;
use super::fault::Fault;
use super::keys::Keys;
use super::line::Line;
use super::masklets::MaskletSource;
use super::objects;
use super::objects::describer::Describer;
use super::objects::samples::Said;
use super::prompts::Prompts;
use super::stage::Stage;
use super::store::{Note, Store};
use super::teachers::Teachers;
use super::watch::Watch;
use crate::clips::{ColourFeatures, FrameFeatures};
use crate::config::EngineConfig;
use crate::stages::Stages;

/// All that stages ask and look with.
pub struct Crew {
    /// Who is asked.
    pub teachers: Teachers,
    /// With which words.
    pub prompts: Prompts,
    /// Who makes masklets, where the configuration says that they are made.
    pub masklets: Option<Box<dyn MaskletSource>>,
    /// Who says what masks show, where that is a model in this process.
    pub describer: Option<Box<dyn Describer>>,
    /// What frames are compared by.
    pub features: Box<dyn FrameFeatures>,
}

impl Default for Crew {
    /// Nobody: everything is given, but samples.
    fn default() -> Self {
        Self {
            teachers: Teachers::default(),
            prompts: Prompts::default(),
            masklets: None,
            describer: None,
            features: Box::new(ColourFeatures),
        }
    }
}

/// The stages, ready to run.
pub struct Chain<'a> {
    /// The configuration.
    pub cfg: &'a EngineConfig,
    /// Who is asked.
    pub crew: &'a Crew,
    /// Where outputs lie.
    pub store: &'a Store,
    /// The only stage that is run, where it is one.
    pub only: Option<Stage>,
}

/// A stage that ended well: its name, how long it took, and whether its output was there already.
pub type Ended<'a> = dyn Fn(Stage, Duration, bool) + 'a;

/// A stage and why it came to nothing.
pub type Failed = (Stage, Fault);

/// All that is known about one video in the end.
#[derive(Debug, Clone, PartialEq)]
pub struct Finished {
    /// The records of all stages.
    pub stages: Stages,
    /// What is said about each object by itself, where samples are made of that.
    pub descriptions: Option<Descriptions>,
    /// Questions and answers.
    pub samples: Vec<Sample>,
    /// What stages left out or found strange.
    pub notes: Vec<(Stage, Note)>,
}

impl Chain<'_> {
    /// The stage whose output is the aim.
    pub fn aim(&self) -> Stage {
        self.only.unwrap_or(Stage::Samples)
    }

    /// Whether a stage is run here; otherwise its record is given.
    pub fn makes(&self, stage: Stage) -> bool {
        match stage {
            Stage::Recognise => self.cfg.recognise.is_some(),
            Stage::Parse => self.cfg.parse.is_some(),
            Stage::Masklets => self.cfg.masklets.is_some(),
            Stage::Annotate => self.cfg.annotate.is_some(),
            Stage::Review => self.cfg.review.is_some(),
            Stage::Refine => self.cfg.refine.is_some(),
            Stage::Question => self.cfg.question.is_some(),
            Stage::Clips => self.cfg.clips.is_some(),
            Stage::Transcribe => self.cfg.transcribe.is_some(),
            Stage::Samples => true,
        }
    }

    /// Whether nothing is left to do for a video.
    pub fn is_finished(&self, keys: &Keys) -> bool {
        !self.makes(self.aim()) || self.store.has(self.aim(), keys.of(self.aim()))
    }

    /// Runs what is missing.
    ///
    /// # Errors
    /// The first stage that comes to nothing. What was made before it is kept.
    pub fn run(
        &self,
        at: &AtHand<'_>,
        keys: &Keys,
        watch: &Watch<'_>,
        ended: &Ended<'_>,
    ) -> Result<(), Failed> {
        if self.is_finished(keys) {
            return Ok(());
        }
        self.all(at, keys, Some(watch), ended).map(|_| ())
    }

    /// What was made, or nothing where a stage is missing.
    ///
    /// # Errors
    /// Files that cannot be read.
    pub fn finished(&self, at: &AtHand<'_>, keys: &Keys) -> Result<Option<Finished>, Failed> {
        match self.all(at, keys, None, &|_, _, _| {}) {
            Err((_, Fault::Waits { .. })) => Ok(None),
            found => found,
        }
    }

    /// All stages up to the aim; without a watch those that are there. Nothing where the aim is an earlier stage than samples.
    fn all(
        &self,
        at: &AtHand<'_>,
        keys: &Keys,
        watch: Option<&Watch<'_>>,
        ended: &Ended<'_>,
    ) -> Result<Option<Finished>, Failed> {
        let mut line = Line { chain: self, at, keys, watch, ended, notes: Vec::new() };
        let aim = self.aim();
        // It reads nothing but the video.
        if aim == Stage::Clips {
            line.record::<Clips>(Stage::Clips)?;
            return Ok(None);
        }
        let recognised: Entities = match self.makes(Stage::Recognise) {
            true => line.record(Stage::Recognise)?,
            false => line.given(Stage::Parse, at.given.entities.as_ref())?,
        };
        if aim == Stage::Recognise {
            return Ok(None);
        }
        let entities: Entities = match self.makes(Stage::Parse) {
            true if recognised.paragraph.is_none() => {
                let record = "caption (an entities record with a paragraph)".to_owned();
                return Err((Stage::Parse, Fault::NotGiven { record }));
            }
            true => line.made(Stage::Parse, |line, watch| line.parse(&recognised, watch))?,
            false => recognised,
        };
        if aim == Stage::Parse {
            return Ok(None);
        }
        let masklets: Masklets = match self.makes(Stage::Masklets) {
            true => line.made(Stage::Masklets, |line, watch| line.masklets(&entities, watch))?,
            false => line.given(Stage::Masklets, at.given.masklets.as_ref())?,
        };
        if aim == Stage::Masklets {
            return Ok(None);
        }
        if self.cfg.objects.is_some() {
            return self.objects(line, entities, masklets);
        }
        let clips: Clips = match self.makes(Stage::Clips) {
            true => line.record(Stage::Clips)?,
            false => line.given(Stage::Clips, at.given.clips.as_ref())?,
        };
        let transcript: Transcript = match self.makes(Stage::Transcribe) {
            true => line.made(Stage::Transcribe, |line, watch| {
                line.transcribe(&entities, &masklets, &clips, watch)
            })?,
            false => line.given(Stage::Transcribe, at.given.transcript.as_ref())?,
        };
        if aim == Stage::Transcribe {
            return Ok(None);
        }
        let stages = Stages { video: at.video.clone(), entities, masklets, clips, transcript };
        let output = line.output(Stage::Samples, |line, watch| line.samples(&stages, watch))?;
        let samples = output.records.into_iter().filter_map(|record| Sample::from_record(record).ok());
        let samples = samples.collect();
        Ok(Some(Finished { stages, descriptions: None, samples, notes: line.notes }))
    }

    /// The stages that ask about objects one by one, and their samples.
    fn objects(
        &self,
        mut line: Line<'_>,
        entities: Entities,
        masklets: Masklets,
    ) -> Result<Option<Finished>, Failed> {
        let aim = self.aim();
        let mut descriptions = objects::begin(&entities, &masklets);
        for stage in Stage::OBJECTS {
            if self.makes(stage) {
                let read = (&entities, &masklets, &descriptions);
                descriptions = line.made(stage, |line, watch| line.of_objects(stage, read, watch))?;
            }
            if aim == stage {
                return Ok(None);
            }
        }
        let video = line.at.video.clone();
        let said =
            Said { video: &video, entities: &entities, masklets: &masklets, descriptions: &descriptions };
        let output = line.output(Stage::Samples, |line, _| Ok(line.object_samples(&said)))?;
        let samples = output.records.into_iter().filter_map(|record| Sample::from_record(record).ok());
        let samples = samples.collect();
        let given = &line.at.given;
        let clips = given.clips.clone().unwrap_or_else(|| undivided(&video));
        let transcript = given.transcript.clone().unwrap_or_else(|| unsaid(&video));
        let stages = Stages { video, entities, masklets, clips, transcript };
        Ok(Some(Finished { stages, descriptions: Some(descriptions), samples, notes: line.notes }))
    }
}

/// A video that nobody divided is one part.
fn undivided(video: &Video) -> Clips {
    let whole = ClipSpan {
        cid: "c0".to_owned(),
        start_s: 0.0,
        end_s: video.duration_s,
        boundary: Boundary::End,
        score: None,
    };
    Clips { schema: Schema::V1, video_id: video.video_id.clone(), provenance: None, items: vec![whole] }
}

/// Nothing is said about its part.
fn unsaid(video: &Video) -> Transcript {
    let (video_id, items) = (video.video_id.clone(), Vec::new());
    Transcript { schema: Schema::V1, video_id, provenance: None, items, scene_text: Default::default() }
}
