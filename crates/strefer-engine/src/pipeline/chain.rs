//! The stages of one video, one after the other. What was made before is taken from its file.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use strefer_core::records::{Clips, Entities, LineRecord, Masklets, Transcript};
use strefer_core::sample::{Provenance, Schema};
use strefer_core::{Record, Sample};

use super::at_hand::AtHand;
use super::fault::Fault;
use super::keys::Keys;
use super::masklets::MaskletSource;
use super::prompts::Prompts;
use super::stage::Stage;
use super::store::{Note, Output, Store};
use super::teachers::Teachers;
use super::watch::Watch;
use super::{masklets, parse, recognise, rephrase, transcribe};
use crate::clips::{self, ColourFeatures, FrameFeatures};
use crate::config::EngineConfig;
use crate::facts::Facts;
use crate::instruct::generate;
use crate::stages::Stages;

/// All that stages ask and look with.
pub struct Crew {
    /// Who is asked.
    pub teachers: Teachers,
    /// With which words.
    pub prompts: Prompts,
    /// Who makes masklets, where the configuration says that they are made.
    pub masklets: Option<Box<dyn MaskletSource>>,
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
        let entities: Entities = match &self.cfg.recognise {
            Some(_) => {
                let recognised: Entities = line.record(Stage::Recognise)?;
                if aim == Stage::Recognise {
                    return Ok(None);
                }
                line.made(Stage::Parse, |line, watch| line.parse(&recognised, watch))?
            }
            None => line.given(Stage::Parse, at.given.entities.as_ref())?,
        };
        if aim <= Stage::Parse {
            return Ok(None);
        }
        let masklets: Masklets = match self.makes(Stage::Masklets) {
            true => line.made(Stage::Masklets, |line, watch| line.masklets(&entities, watch))?,
            false => line.given(Stage::Masklets, at.given.masklets.as_ref())?,
        };
        if aim == Stage::Masklets {
            return Ok(None);
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
        Ok(Some(Finished { stages, samples, notes: line.notes }))
    }
}

/// One video on its way through the stages.
struct Line<'a> {
    chain: &'a Chain<'a>,
    at: &'a AtHand<'a>,
    keys: &'a Keys,
    watch: Option<&'a Watch<'a>>,
    ended: &'a Ended<'a>,
    notes: Vec<(Stage, Note)>,
}

/// Records that name their video.
trait OfVideo: LineRecord {
    fn rename(&mut self, video_id: &str);
    fn sign(&mut self, provenance: Provenance);
}

macro_rules! of_video {
    ($($type:ident),*) => {$(
        impl OfVideo for $type {
            fn rename(&mut self, video_id: &str) {
                video_id.clone_into(&mut self.video_id);
            }

            fn sign(&mut self, provenance: Provenance) {
                self.provenance = Some(provenance);
            }
        }
    )*};
}

of_video!(Entities, Masklets, Clips, Transcript);

impl Line<'_> {
    /// A record that is given.
    fn given<T: OfVideo + Clone>(&self, stage: Stage, record: Option<&T>) -> Result<T, Failed> {
        let missing = || (stage, Fault::NotGiven { record: T::TYPE.to_owned() });
        let mut record = record.ok_or_else(missing)?.clone();
        record.rename(&self.at.video.video_id);
        Ok(record)
    }

    /// The record of a stage that reads nothing but the video.
    fn record<T: OfVideo>(&mut self, stage: Stage) -> Result<T, Failed> {
        self.made(stage, |line, watch| match stage {
            Stage::Recognise => line.recognise(watch),
            _ => line.clips(watch),
        })
    }

    /// The record of a stage.
    fn made<T: OfVideo>(
        &mut self,
        stage: Stage,
        make: impl FnOnce(&Self, &Watch<'_>) -> Result<Output, Fault>,
    ) -> Result<T, Failed> {
        let output = self.output(stage, make)?;
        let bad = |reason: String| (stage, Fault::Records { reason });
        let record = output.records.into_iter().next().ok_or_else(|| bad("its file is empty".to_owned()))?;
        let mut record =
            T::from_record(record).map_err(|found| bad(format!("its file holds a {found} record")))?;
        // Two files of one content share what was made.
        record.rename(&self.at.video.video_id);
        Ok(record)
    }

    /// What a stage made before, or makes now.
    fn output(
        &mut self,
        stage: Stage,
        make: impl FnOnce(&Self, &Watch<'_>) -> Result<Output, Fault>,
    ) -> Result<Output, Failed> {
        let (chain, key) = (self.chain, self.keys.of(stage));
        let failed = |fault: Fault| (stage, fault);
        let kept = chain.store.read(stage, key).map_err(|error| failed(Fault::of_disk(&error)))?;
        if let Some(output) = kept {
            (self.ended)(stage, Duration::ZERO, true);
            self.notes.extend(output.notes.iter().map(|note| (stage, note.clone())));
            return Ok(output);
        }
        let alone = chain.only.is_some_and(|only| only != stage);
        let Some(watch) = self.watch.filter(|_| !alone) else {
            return Err(failed(Fault::Waits { stage }));
        };
        let watch = watch.next_stage();
        watch.check().map_err(failed)?;
        let began = Instant::now();
        // A mistake of the program costs one video, not the run.
        let made = catch_unwind(AssertUnwindSafe(|| make(self, &watch)));
        let output = made.unwrap_or_else(|panic| Err(Fault::Panicked { reason: said(&*panic) }));
        let output = output.map_err(failed)?;
        chain.store.write(stage, key, &output).map_err(|error| failed(Fault::of_disk(&error)))?;
        (self.ended)(stage, began.elapsed(), false);
        self.notes.extend(output.notes.iter().map(|note| (stage, note.clone())));
        Ok(output)
    }

    fn sign<T: OfVideo>(&self, stage: Stage, model: &str, mut record: T) -> Record {
        let key = self.keys.of(stage);
        record.sign(Provenance {
            dataset: self.chain.cfg.instruct.dataset.clone(),
            stage: Some(stage.name().to_owned()),
            model: Some(model.to_owned()),
            config_hash: Some(key[..16].to_owned()),
            created: None,
        });
        record.into_record()
    }

    fn recognise(&self, watch: &Watch<'_>) -> Result<Output, Fault> {
        let Crew { teachers, prompts, .. } = self.chain.crew;
        let cfg = self.chain.cfg.recognise.as_ref().ok_or_else(|| unasked(Stage::Recognise))?;
        let teacher = teachers.get(&cfg.teacher)?;
        let entities = recognise::recognise(self.at, cfg, &prompts.recognise, teacher, watch)?;
        let record = self.sign(Stage::Recognise, teacher.teacher.model(), entities);
        Ok(Output { records: vec![record], notes: Vec::new() })
    }

    fn parse(&self, recognised: &Entities, watch: &Watch<'_>) -> Result<Output, Fault> {
        let Crew { teachers, prompts, .. } = self.chain.crew;
        let cfg = self.chain.cfg.parse.as_ref().ok_or_else(|| unasked(Stage::Parse))?;
        let teacher = teachers.get(&cfg.teacher)?;
        let words = (&prompts.parse, &prompts.general_noun);
        let (entities, notes) = parse::parse(recognised, cfg, words, teacher, watch)?;
        let record = self.sign(Stage::Parse, teacher.teacher.model(), entities);
        Ok(Output { records: vec![record], notes })
    }

    fn masklets(&self, entities: &Entities, watch: &Watch<'_>) -> Result<Output, Fault> {
        let source = self.chain.crew.masklets.as_ref().ok_or_else(|| unasked(Stage::Masklets))?;
        let found = source.masklets(self.at, entities, watch)?;
        let notes = masklets::notes(&found, entities);
        let record = self.sign(Stage::Masklets, source.name(), found);
        Ok(Output { records: vec![record], notes })
    }

    fn clips(&self, watch: &Watch<'_>) -> Result<Output, Fault> {
        let cfg = self.chain.cfg.clips.as_ref().ok_or_else(|| unasked(Stage::Clips))?;
        let features = self.chain.crew.features.as_ref();
        let found = clips::detect(self.at.source()?, cfg, features, watch)?;
        let unread = found.unread.map(|reason| {
            let text = format!("cuts were sought among {} frames only: {reason}", found.looked);
            Note::new("unread_frames", "", text)
        });
        let video_id = self.at.video.video_id.clone();
        let clips = Clips { schema: Schema::V1, video_id, provenance: None, items: found.clips };
        let record = self.sign(Stage::Clips, features.name(), clips);
        Ok(Output { records: vec![record], notes: unread.into_iter().collect() })
    }

    fn transcribe(
        &self,
        entities: &Entities,
        masklets: &Masklets,
        clips: &Clips,
        watch: &Watch<'_>,
    ) -> Result<Output, Fault> {
        let Crew { teachers, prompts, .. } = self.chain.crew;
        let cfg = self.chain.cfg.transcribe.as_ref().ok_or_else(|| unasked(Stage::Transcribe))?;
        let teacher = teachers.get(&cfg.teacher)?;
        let read = (entities, masklets, clips);
        let (transcript, notes) =
            transcribe::transcribe(self.at, read, cfg, &prompts.transcribe, teacher, watch)?;
        let record = self.sign(Stage::Transcribe, teacher.teacher.model(), transcript);
        Ok(Output { records: vec![record], notes })
    }

    fn samples(&self, stages: &Stages, watch: &Watch<'_>) -> Result<Output, Fault> {
        let Chain { cfg, crew, .. } = self.chain;
        let mut samples = generate(&Facts::new(stages)?, &cfg.instruct)?;
        let notes = match &cfg.rephrase {
            Some(own) => {
                let teacher = crew.teachers.get(&own.teacher)?;
                let words = &crew.prompts.rephrase;
                rephrase::rephrase(&mut samples, &stages.entities, own, words, teacher, watch)?
            }
            None => Vec::new(),
        };
        let records = samples.into_iter().map(|sample| Record::Sample(Box::new(sample)));
        Ok(Output { records: records.collect(), notes })
    }
}

fn unasked(stage: Stage) -> Fault {
    Fault::Records { reason: format!("the configuration has no stage {stage}") }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}
