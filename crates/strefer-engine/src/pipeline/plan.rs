//! What a run would do: videos, questions, tokens and cost, before anybody is asked.

use std::collections::BTreeMap;

use serde::Serialize;
use strefer_core::Record;
use strefer_teacher::{Prompt, Usage};

use super::at_hand::AtHand;
use super::chain::Chain;
use super::failures::Failures;
use super::fault::Failure;
use super::input::Input;
use super::keys::Keys;
use super::run::Run;
use super::stage::Stage;

/// Entities of a video that nobody has looked at.
const ENTITIES: u64 = 4;

/// Seconds of a part of a video that is not split yet.
const PART_S: f64 = 5.0;

/// Samples of a video, where questions are put into other words.
const SAMPLES: u64 = 4;

/// Pixels of a side that become one token, as vision towers have it today.
const PIXELS_A_TOKEN: u64 = 28;

/// What is missing of one stage, and what that takes.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct StagePlan {
    /// Videos that have it.
    pub there: usize,
    /// Videos that lack it.
    pub missing: usize,
    /// Questions.
    pub asks: u64,
    /// Tokens that are read.
    pub prompt_tokens: u64,
    /// Tokens that are written.
    pub completion_tokens: u64,
    /// Cost, in the unit of the prices.
    pub cost: f64,
    /// Whether tokens are the mean of what such questions took before; otherwise they are guessed from their length.
    pub measured: bool,
}

/// What a run would do.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Plan {
    /// Videos.
    pub videos: usize,
    /// Videos with nothing left to do.
    pub finished: usize,
    /// Videos that are parked.
    pub parked: usize,
    /// Videos that cannot be opened, and why.
    pub unreadable: Vec<Failure>,
    /// By stage, those that are given left out.
    pub stages: BTreeMap<Stage, StagePlan>,
    /// Questions of all stages.
    pub asks: u64,
    /// Tokens of all stages.
    pub tokens: u64,
    /// Cost of all stages.
    pub cost: f64,
}

/// One kind of question of one video.
struct Kind<'a> {
    stage: Stage,
    teacher: &'a str,
    prompt: &'a Prompt,
    asks: u64,
    guess: Usage,
}

impl Run<'_> {
    /// Looks at all videos and counts. Videos are opened, nobody is asked, no stage runs, and nothing is written.
    pub fn plan(&self, inputs: &[Input], mut progress: impl FnMut()) -> Plan {
        let store = self.store();
        let chain = Chain { cfg: self.cfg, crew: self.crew, store: &store, only: self.only };
        let failures = Failures::new(self.folder.path("failed"), self.folder.hash(), self.only);
        let mut plan = Plan { videos: inputs.len(), ..Plan::default() };
        let desk = self.desk().without_writing();
        for input in inputs {
            let watch = self.watch();
            let at = desk.take(input, &watch);
            let looked = at.and_then(|at| Keys::new(&at, self.cfg, self.crew).map(|keys| (at, keys)));
            progress();
            let (at, keys) = match looked {
                Ok(looked) => looked,
                Err(fault) => {
                    let video_id = input.video_id.clone();
                    plan.unreadable.push(Failure { video_id, stage: None, fault, tries: 0, parked: false });
                    continue;
                }
            };
            if chain.is_finished(&keys) {
                plan.finished += 1;
            } else if failures.read(&input.video_id).is_some_and(|failure| failure.parked) && !self.retry {
                plan.parked += 1;
                continue;
            }
            let wanted = Stage::ALL
                .into_iter()
                .filter(|stage| chain.makes(*stage) && self.only.is_none_or(|only| only == *stage));
            let wanted: Vec<Stage> = wanted.collect();
            let missing = |stage: &Stage| !chain.is_finished(&keys) && !store.has(*stage, keys.of(*stage));
            for stage in &wanted {
                let entry = plan.stages.entry(*stage).or_default();
                if missing(stage) { entry.missing += 1 } else { entry.there += 1 }
            }
            for kind in self.questions(&chain, &at, &keys) {
                if wanted.contains(&kind.stage) && missing(&kind.stage) {
                    self.add(&mut plan, &kind);
                }
            }
        }
        plan
    }

    fn add(&self, plan: &mut Plan, kind: &Kind<'_>) {
        let teachers = &self.crew.teachers;
        let before = teachers.spent_on(kind.teacher, &kind.prompt.id().name);
        let each = |total: u64| total as f64 / before.answered.max(1) as f64;
        let measured = before.answered > 0;
        let (read, written) = match measured {
            true => (each(before.usage.prompt_tokens), each(before.usage.completion_tokens)),
            false => (kind.guess.prompt_tokens as f64, kind.guess.completion_tokens as f64),
        };
        let usage = Usage {
            prompt_tokens: (read * kind.asks as f64).round() as u64,
            completion_tokens: (written * kind.asks as f64).round() as u64,
        };
        let cost = teachers.get(kind.teacher).map_or(0.0, |asked| asked.teacher.cost(usage));
        let stage = plan.stages.entry(kind.stage).or_default();
        stage.asks += kind.asks;
        stage.prompt_tokens += usage.prompt_tokens;
        stage.completion_tokens += usage.completion_tokens;
        stage.cost += cost;
        stage.measured = measured;
        plan.asks += kind.asks;
        plan.tokens += usage.prompt_tokens + usage.completion_tokens;
        plan.cost += cost;
    }

    /// All questions about a video, as far as is known: what is not made yet is guessed.
    fn questions<'s>(&'s self, chain: &Chain<'_>, at: &AtHand<'_>, keys: &Keys) -> Vec<Kind<'s>> {
        let (cfg, prompts) = (self.cfg, &self.crew.prompts);
        let records = |stage: Stage| {
            let output = chain.store.read(stage, keys.of(stage)).ok().flatten();
            output.map(|output| output.records)
        };
        let count = |stage: Stage, given: Option<usize>| {
            let made = records(stage).and_then(|records| match records.first() {
                Some(Record::Entities(entities)) => Some(entities.items.len()),
                Some(Record::Clips(clips)) => Some(clips.items.len()),
                _ => None,
            });
            made.or(given).map(|count| count as u64)
        };
        let given = &at.given;
        let entities = count(Stage::Parse, given.entities.as_ref().map(|record| record.items.len()));
        let entities = entities.unwrap_or(ENTITIES);
        let parts = count(Stage::Clips, given.clips.as_ref().map(|record| record.items.len()));
        let parts = parts.unwrap_or((at.video.duration_s / PART_S).ceil() as u64);
        let usage = |prompt: &Prompt, pictures: usize, side: u32, written: u64| {
            let side = u64::from(side.min(at.video.width.max(at.video.height)));
            let picture = side.div_ceil(PIXELS_A_TOKEN).pow(2);
            let read = prompt.text().len() as u64 / 4 + pictures as u64 * picture;
            Usage { prompt_tokens: read, completion_tokens: written }
        };
        let mut kinds = Vec::new();
        if let Some(own) = &cfg.recognise {
            let guess = usage(&prompts.recognise, own.frames, own.side, 40 * ENTITIES);
            let (stage, teacher) = (Stage::Recognise, own.teacher.as_str());
            kinds.push(Kind { stage, teacher, prompt: &prompts.recognise, asks: 1, guess });
        }
        if let Some(own) = &cfg.parse {
            let (stage, teacher) = (Stage::Parse, own.teacher.as_str());
            let guess = usage(&prompts.parse, 0, 0, 30 * ENTITIES);
            kinds.push(Kind { stage, teacher, prompt: &prompts.parse, asks: 1, guess });
            let guess = usage(&prompts.general_noun, 0, 0, 10);
            if own.broad_nouns {
                kinds.push(Kind { stage, teacher, prompt: &prompts.general_noun, asks: entities, guess });
            }
        }
        if let Some(own) = &cfg.annotate {
            let (stage, teacher) = (Stage::Annotate, own.teacher.as_str());
            for prompt in [&prompts.motion, &prompts.appearance] {
                let guess = usage(prompt, own.frames, own.side, 60);
                kinds.push(Kind { stage, teacher, prompt, asks: entities, guess });
            }
        }
        if let Some(own) = &cfg.review {
            let stage = Stage::Review;
            if let Some(eyes) = &own.eyes {
                let guess = usage(&prompts.outlined, own.frames, own.side, 30);
                let prompt = &prompts.outlined;
                kinds.push(Kind { stage, teacher: eyes, prompt, asks: entities, guess });
            }
            let guess = usage(&prompts.compare, 0, 0, 30);
            let (teacher, prompt) = (own.teacher.as_str(), &prompts.compare);
            kinds.push(Kind { stage, teacher, prompt, asks: entities, guess });
        }
        if let Some(own) = &cfg.refine {
            let (stage, teacher) = (Stage::Refine, own.teacher.as_str());
            let guess = usage(&prompts.refine, 0, 0, 90);
            kinds.push(Kind { stage, teacher, prompt: &prompts.refine, asks: entities, guess });
        }
        if let Some(own) = &cfg.question {
            let (stage, teacher) = (Stage::Question, own.teacher.as_str());
            let written = 50 * (own.kinds.len() * own.pairs) as u64;
            let guess = usage(&prompts.question, own.frames, own.side, written);
            kinds.push(Kind { stage, teacher, prompt: &prompts.question, asks: entities, guess });
        }
        if let Some(own) = &cfg.transcribe {
            let portions = entities.div_ceil(own.entities_at_once as u64).max(1);
            let (stage, teacher) = (Stage::Transcribe, own.teacher.as_str());
            let guess = usage(&prompts.transcribe, own.frames, own.side, 30 + 30 * entities / portions);
            kinds.push(Kind { stage, teacher, prompt: &prompts.transcribe, asks: parts * portions, guess });
        }
        if let Some(own) = &cfg.rephrase {
            let turns = cfg.instruct.turns_per_sample as u64;
            let guess = usage(&prompts.rephrase, 0, 0, 25 * turns);
            let (stage, teacher) = (Stage::Samples, own.teacher.as_str());
            kinds.push(Kind { stage, teacher, prompt: &prompts.rephrase, asks: SAMPLES, guess });
        }
        kinds
    }
}
