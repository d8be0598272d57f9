//! The stages that ask about objects one by one, on the line of one video.

use strefer_core::Record;
use strefer_core::records::{Descriptions, Entities, Masklets};

use super::chain::Crew;
use super::fault::Fault;
use super::line::{Line, unasked};
use super::objects::review::Eyes;
use super::objects::samples::{Said, samples};
use super::objects::{annotate, question, refine, review};
use super::stage::Stage;
use super::store::{Note, Output};
use super::watch::Watch;

/// What such a stage reads.
type Read<'a> = (&'a Entities, &'a Masklets, &'a Descriptions);

impl Line<'_> {
    /// What one of [`Stage::OBJECTS`] makes.
    pub(super) fn of_objects(
        &self,
        stage: Stage,
        read: Read<'_>,
        watch: &Watch<'_>,
    ) -> Result<Output, Fault> {
        let (model, (descriptions, notes)) = match stage {
            Stage::Annotate => self.annotate(read, watch),
            Stage::Review => self.review(read, watch),
            Stage::Refine => self.refine(read, watch),
            _ => self.question(read, watch),
        }?;
        Ok(Output { records: vec![self.sign(stage, &model, descriptions)], notes })
    }

    fn annotate(&self, (entities, _, before): Read<'_>, watch: &Watch<'_>) -> Result<Made, Fault> {
        let Crew { teachers, prompts, .. } = self.chain.crew;
        let cfg = self.chain.cfg.annotate.as_ref().ok_or_else(|| unasked(Stage::Annotate))?;
        let teacher = teachers.get(&cfg.teacher)?;
        let words = (&prompts.motion, &prompts.appearance);
        let made = annotate::annotate(self.at, (entities, before), cfg, words, teacher, watch)?;
        Ok((teacher.teacher.model().to_owned(), made))
    }

    fn review(&self, read: Read<'_>, watch: &Watch<'_>) -> Result<Made, Fault> {
        let Crew { teachers, prompts, describer, .. } = self.chain.crew;
        let cfg = self.chain.cfg.review.as_ref().ok_or_else(|| unasked(Stage::Review))?;
        let judge = teachers.get(&cfg.teacher)?;
        let eyes = match (&cfg.eyes, describer) {
            (Some(name), _) => Eyes::Teacher(teachers.get(name)?, &prompts.outlined),
            (None, Some(model)) => Eyes::Model(model.as_ref()),
            (None, None) => return Err(unasked(Stage::Review)),
        };
        let name = match &eyes {
            Eyes::Teacher(asked, _) => asked.teacher.model(),
            Eyes::Model(model) => model.name(),
        };
        let name = format!("{name}, {}", judge.teacher.model());
        let made = review::review(self.at, read, cfg, &eyes, (judge, &prompts.compare), watch)?;
        Ok((name, made))
    }

    fn refine(&self, (entities, _, before): Read<'_>, watch: &Watch<'_>) -> Result<Made, Fault> {
        let Crew { teachers, prompts, .. } = self.chain.crew;
        let cfg = self.chain.cfg.refine.as_ref().ok_or_else(|| unasked(Stage::Refine))?;
        let teacher = teachers.get(&cfg.teacher)?;
        let made = refine::refine((entities, before), cfg, &prompts.refine, teacher, watch)?;
        Ok((teacher.teacher.model().to_owned(), made))
    }

    fn question(&self, read: Read<'_>, watch: &Watch<'_>) -> Result<Made, Fault> {
        let Crew { teachers, prompts, .. } = self.chain.crew;
        let cfg = self.chain.cfg.question.as_ref().ok_or_else(|| unasked(Stage::Question))?;
        let teacher = teachers.get(&cfg.teacher)?;
        let made = question::ask(self.at, read, cfg, &prompts.question, teacher, watch)?;
        Ok((teacher.teacher.model().to_owned(), made))
    }

    /// Samples about single objects.
    pub(super) fn object_samples(&self, said: &Said<'_>) -> Output {
        let (samples, notes) = samples(said, self.chain.cfg, self.keys.of(Stage::Samples));
        let records = samples.into_iter().map(|sample| Record::Sample(Box::new(sample)));
        Output { records: records.collect(), notes }
    }
}

/// The model, and what came of it.
type Made = (String, (Descriptions, Vec<Note>));
