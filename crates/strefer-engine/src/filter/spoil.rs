//! Right samples become wrong ones in ways that happen, so that checks can be measured: masks of another object, other times, masks
//! that are gone or lie elsewhere, actions that nobody did; questions that give their object away, broken sentences, repeats.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use strefer_core::{FrameMask, Mask, QuizFacts, Rng, Sample, Span};

use super::evidence::Evidence;
use super::run::as_region;
use crate::facts::{EntityFacts, Facts};
use crate::language::verbs::{Form, conjugate};
use crate::stages::Stages;

/// A way in which a sample is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Spoilt {
    /// Masks of another object, of the same category if there is one, for which the answer is wrong.
    OtherObject,
    /// A time at which the object does something else.
    OtherTime,
    /// Masks that are empty.
    NoMask,
    /// Masks half a frame aside.
    WrongMask,
    /// An action that the object does not do then, or the answer to another question of this kind.
    Invented,
    /// A question that says which object is meant.
    Leak,
    /// A word said twice, or a wrong article.
    Garbled,
    /// What an earlier question said, in other letters.
    Repeated,
}

impl Spoilt {
    /// What is said is not true.
    pub const CONTENT: [Self; 5] =
        [Self::OtherObject, Self::OtherTime, Self::NoMask, Self::WrongMask, Self::Invented];
    /// How it is said.
    pub const FORM: [Self; 3] = [Self::Leak, Self::Garbled, Self::Repeated];
}

/// What is true of a sample (a line of `labels.jsonl`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Label {
    /// The sample.
    pub id: String,
    /// How it is wrong; absent where it is right.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub spoilt: Option<Spoilt>,
}

/// Spoils a share of right single questions, whose facts `truth` knows; ways are drawn evenly among those of `ways` that a sample allows.
pub fn spoil(
    samples: &[Sample],
    truth: &Evidence,
    ways: &[Spoilt],
    share: f64,
    seed: u64,
) -> (Vec<Sample>, Vec<Label>) {
    let rng = Rng::new(seed, "spoil");
    let rng_of = |sample: &Sample| rng.named(&sample.id);
    let spoil = |(at, sample): (usize, &Sample)| {
        let mut rng = rng_of(sample);
        let facts = truth.about(&sample.video_id).filter(|_| rng.chance(share));
        let mut ways = ways.to_vec();
        rng.shuffle(&mut ways);
        let wrong = facts.and_then(|facts| {
            let stays = |other: &Sample| !rng_of(other).chance(share);
            let scene = Scene { sample, facts, earlier: &samples[..at], samples, stays: &stays };
            ways.into_iter().find_map(|way| Some((scene.spoilt(way, &mut rng)?, way)))
        });
        let (sample, spoilt) = match wrong {
            Some((wrong, way)) => (wrong, Some(way)),
            None => (sample.clone(), None),
        };
        let label = Label { id: sample.id.clone(), spoilt };
        (sample, label)
    };
    samples.iter().enumerate().map(spoil).unzip()
}

/// Records as another teacher would have them, who is wrong at times: a share of what is said to be done is something else that is done in the
/// video, and in that share of the videos two objects have each other's masks.
pub fn spoil_records(mut stages: Stages, share: f64, seed: u64) -> Stages {
    let mut rng = Rng::new(seed, "spoil records").named(&stages.video.video_id);
    let said: BTreeSet<String> =
        stages.transcript.items.iter().filter_map(|item| item.text.clone()).collect();
    for item in &mut stages.transcript.items {
        if let Some(text) = item.text.as_mut().filter(|_| rng.chance(share)) {
            let others: Vec<&String> = said.iter().filter(|other| *other != text).collect();
            if let Some(other) = rng.choose(&others) {
                (*text).clone_from(other);
            }
        }
    }
    let objects = &mut stages.masklets.objects;
    if objects.len() > 1 && rng.chance(share) {
        let order = rng.permutation(objects.len());
        let (one, other) = (order[0].min(order[1]), order[0].max(order[1]));
        let (before, after) = objects.split_at_mut(other);
        std::mem::swap(&mut before[one].frames, &mut after[0].frames);
    }
    stages
}

struct Scene<'a> {
    sample: &'a Sample,
    facts: &'a Facts,
    samples: &'a [Sample],
    /// Those before it.
    earlier: &'a [Sample],
    /// Whether a sample is left as it is.
    stays: &'a dyn Fn(&Sample) -> bool,
}

impl Scene<'_> {
    fn spoilt(&self, way: Spoilt, rng: &mut Rng) -> Option<Sample> {
        let mut wrong = self.sample.clone();
        match way {
            Spoilt::OtherObject => {
                let region = wrong.regions.first_mut()?;
                let (eid, rid) = (region.eid.clone(), region.rid);
                *region = self.other_object(rng)?;
                // The record still believes that it is the one.
                (region.eid, region.rid) = (eid, rid);
            }
            Spoilt::OtherTime => {
                let (entity, text) = (self.entity()?, self.action()?);
                let runs: Vec<Span> = entity
                    .actions()
                    .filter(|(run, other)| {
                        *other != text && run.span.length_s() > 0.4 && entity.is_sighted(&run.span)
                    })
                    .map(|(run, _)| run.span)
                    .collect();
                let span = rng.choose(&runs)?;
                let last = wrong.times.len().checked_sub(1)?;
                for (at, time) in wrong.times.iter_mut().enumerate() {
                    let along = if last == 0 { 0.5 } else { 0.15 + 0.7 * at as f64 / last as f64 };
                    time.s = ((span.start_s + along * span.length_s()) * 1000.0).round() / 1000.0;
                }
            }
            Spoilt::NoMask => self.each_mask(&mut wrong, |mask| Mask::zeros(mask.height(), mask.width()))?,
            Spoilt::WrongMask => {
                let aside = rng.range(0.4, 0.6);
                self.each_mask(&mut wrong, |mask| rolled(mask, aside))?;
            }
            Spoilt::Invented => {
                let answer = wrong.conversations.last_mut()?;
                answer.text = match self.action() {
                    Some(text) => self.invented(&answer.text, text, rng)?,
                    None => self.other_answer(rng)?,
                };
            }
            Spoilt::Leak => {
                let name = &self.entity()?.entity.expression;
                let question = wrong.conversations.first_mut()?;
                let named = format!("the {name} <region:0>");
                question.text = question.text.replacen("<region:0>", &named, 1);
            }
            Spoilt::Garbled => {
                let answer = wrong.conversations.last_mut()?;
                let words: Vec<&str> = answer.text.split(' ').collect();
                let at = rng.below(words.len());
                let word = words[at].trim_end_matches(['.', ',']);
                let (before, after) = (words[..at].join(" "), words[at..].join(" "));
                answer.text = format!("{before} {word} {after}").trim().to_owned();
            }
            Spoilt::Repeated => {
                // Of the same video: nobody else could have said it.
                let same = |other: &&Sample| other.video_id == self.sample.video_id && (self.stays)(other);
                let same: Vec<&Sample> = self.earlier.iter().filter(same).collect();
                let (id, said) = (wrong.id.clone(), *rng.choose(&same)?);
                wrong = Sample { id, ..said.clone() };
                let answer = wrong.conversations.last_mut()?;
                answer.text = answer.text.to_uppercase();
            }
        }
        (wrong != *self.sample).then_some(wrong)
    }

    /// The entity that the sample points at.
    fn entity(&self) -> Option<&EntityFacts> {
        let eid = self.sample.regions.first()?.eid.as_ref()?;
        self.facts.entities.iter().find(|entity| entity.entity.eid == *eid)
    }

    /// What it does at the time that is asked about, where that is what is asked.
    fn action(&self) -> Option<&str> {
        self.sample.task.as_ref().filter(|task| task.name == "mask_time_behavior")?;
        self.entity()?.action_in(&self.asked()?)
    }

    fn asked(&self) -> Option<Span> {
        let times = &self.sample.times;
        Some(Span { start_s: times.first()?.s, end_s: times.last()?.s })
    }

    fn other_object(&self, rng: &mut Rng) -> Option<strefer_core::sample::Region> {
        let region = self.sample.regions.first()?;
        let (Some(entity), Some(text), Some(asked)) = (self.entity(), self.action(), self.asked()) else {
            return Some(QuizFacts::of(self.sample)?.other?.region);
        };
        let differs = |other: &&EntityFacts| {
            let does = other.action_in(&asked);
            other.entity.eid != entity.entity.eid && does.is_some_and(|does| does != text)
        };
        let all: Vec<&EntityFacts> = self.facts.entities.iter().filter(differs).collect();
        let alike: Vec<&EntityFacts> =
            all.iter().copied().filter(|other| other.entity.noun == entity.entity.noun).collect();
        let chosen = rng.choose(if alike.is_empty() { &all } else { &alike })?;
        as_region(chosen, self.facts, region)
    }

    fn each_mask(&self, wrong: &mut Sample, mut change: impl FnMut(&Mask) -> Mask) -> Option<()> {
        let size = self.sample.media.first().and_then(|media| media.size);
        let region = wrong.regions.first_mut()?;
        for mask in region.masks.values_mut() {
            let before = mask.to_mask(size).ok().flatten()?;
            *mask = FrameMask::from(&change(&before));
        }
        Some(())
    }

    /// The answer with another action of the world in the place of its own.
    fn invented(&self, answer: &str, text: &str, rng: &mut Rng) -> Option<String> {
        let (entity, asked) = (self.entity()?, self.asked()?);
        let done: BTreeSet<&str> = entity
            .actions()
            .filter(|(run, _)| run.span.intersection(&asked).is_some() || run.span.contains(asked.start_s))
            .map(|(_, text)| text)
            .collect();
        let all: BTreeSet<&str> =
            self.facts.entities.iter().flat_map(|entity| entity.actions().map(|(_, text)| text)).collect();
        let others: Vec<&str> = all.into_iter().filter(|other| !done.contains(other)).collect();
        let other = rng.choose(&others)?;
        let forms = [Form::Third, Form::Progressive, Form::Past, Form::Base];
        let form = forms.into_iter().find(|form| answer.contains(&conjugate(text, *form)))?;
        Some(answer.replace(&conjugate(text, form), &conjugate(other, form)))
    }

    /// What another question of the same kind is answered, where that is something else.
    fn other_answer(&self, rng: &mut Rng) -> Option<String> {
        let own = QuizFacts::of(self.sample)?;
        let others: Vec<&str> = self
            .samples
            .iter()
            .filter(|other| {
                QuizFacts::of(other).is_some_and(|facts| facts.kind == own.kind && facts.answer != own.answer)
            })
            .filter_map(|other| Some(other.conversations.last()?.text.as_str()))
            .collect();
        rng.choose(&others).map(|text| (*text).to_owned())
    }
}

/// The mask moved by a share of the frame, both ways; what leaves on one side comes in on the other.
fn rolled(mask: &Mask, share: f64) -> Mask {
    let (height, width) = (mask.height(), mask.width());
    let by = |length: usize| ((share * length as f64) as usize).clamp(1, length);
    let (down, right) = (by(height), by(width));
    Mask::from_fn(height, width, |y, x| mask.get((y + height - down) % height, (x + width - right) % width))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_moves_and_keeps_its_size() {
        let mask = Mask::from_fn(10, 20, |y, x| y < 2 && x < 3);
        let moved = rolled(&mask, 0.5);
        assert_eq!((moved.area(), moved.bbox().unwrap().y0, moved.bbox().unwrap().x0), (6, 5, 10));
        assert_eq!(moved.intersection(&mask).unwrap().area(), 0);
    }
}
