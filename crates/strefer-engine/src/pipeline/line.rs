//! One video on its way through the stages: what was made before is read, the rest is made, signed and kept.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use strefer_core::Record;
use strefer_core::records::{Clips, Descriptions, Entities, LineRecord, Masklets, Transcript};
use strefer_core::sample::{Provenance, Schema};

use super::at_hand::AtHand;
use super::chain::{Chain, Crew, Ended, Failed};
use super::fault::Fault;
use super::keys::Keys;
use super::stage::Stage;
use super::store::{Note, Output};
use super::watch::Watch;
use super::{masklets, parse, recognise, rephrase, transcribe};
use crate::clips;
use crate::facts::Facts;
use crate::instruct::generate;
use crate::stages::Stages;

/// One video on its way through the stages.
pub(super) struct Line<'a> {
    pub(super) chain: &'a Chain<'a>,
    pub(super) at: &'a AtHand<'a>,
    pub(super) keys: &'a Keys,
    pub(super) watch: Option<&'a Watch<'a>>,
    pub(super) ended: &'a Ended<'a>,
    pub(super) notes: Vec<(Stage, Note)>,
}

/// Records that name their video.
pub(super) trait OfVideo: LineRecord {
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

of_video!(Entities, Masklets, Clips, Transcript, Descriptions);

impl Line<'_> {
    /// A record that is given.
    pub(super) fn given<T: OfVideo + Clone>(&self, stage: Stage, record: Option<&T>) -> Result<T, Failed> {
        let missing = || (stage, Fault::NotGiven { record: T::TYPE.to_owned() });
        let mut record = record.ok_or_else(missing)?.clone();
        record.rename(&self.at.video.video_id);
        Ok(record)
    }

    /// The record of a stage that reads nothing but the video.
    pub(super) fn record<T: OfVideo>(&mut self, stage: Stage) -> Result<T, Failed> {
        self.made(stage, |line, watch| match stage {
            Stage::Recognise => line.recognise(watch),
            _ => line.clips(watch),
        })
    }

    /// The record of a stage.
    pub(super) fn made<T: OfVideo>(
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
    pub(super) fn output(
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

    pub(super) fn sign<T: OfVideo>(&self, stage: Stage, model: &str, mut record: T) -> Record {
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

    pub(super) fn parse(&self, recognised: &Entities, watch: &Watch<'_>) -> Result<Output, Fault> {
        let Crew { teachers, prompts, .. } = self.chain.crew;
        let cfg = self.chain.cfg.parse.as_ref().ok_or_else(|| unasked(Stage::Parse))?;
        let teacher = teachers.get(&cfg.teacher)?;
        let words = (&prompts.parse, &prompts.general_noun);
        let (entities, notes) = parse::parse(recognised, cfg, words, teacher, watch)?;
        let record = self.sign(Stage::Parse, teacher.teacher.model(), entities);
        Ok(Output { records: vec![record], notes })
    }

    pub(super) fn masklets(&self, entities: &Entities, watch: &Watch<'_>) -> Result<Output, Fault> {
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

    pub(super) fn transcribe(
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

    pub(super) fn samples(&self, stages: &Stages, watch: &Watch<'_>) -> Result<Output, Fault> {
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

pub(super) fn unasked(stage: Stage) -> Fault {
    Fault::Records { reason: format!("the configuration has no stage {stage}") }
}

fn said(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "without a word".to_owned())
}
