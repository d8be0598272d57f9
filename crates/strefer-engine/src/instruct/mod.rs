//! Facts become questions and answers: Strefer's eleven tasks in eight groups, and those of the base recipe.
//!
//! Every task lists all questions that the facts allow, each true by construction; `balance` keeps some of them, and
//! `pack` makes samples. A question about a masked object names it first and is then rewritten
//! ([`crate::language::rewrite`]), so that words never tell which object is meant.

mod balance;
mod context;
mod draft;
mod mask_time;
mod masked;
mod pack;
mod plain;
mod region;
mod scene;
mod story;
pub mod task;
mod timed;
mod timeline;

use strefer_core::Sample;
use strefer_core::validate::MediaFacts;

use crate::config::{Form, InstructConfig};
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::instruct::context::Context;
use crate::instruct::draft::Draft;
use crate::instruct::task::TaskKind;

/// All samples about one video; the same for the same facts and configuration, whatever else is generated.
///
/// # Errors
/// A configuration that cannot be meant, or a sample that contradicts itself (facts that passed
/// [`Facts::new`] give none).
pub fn generate(facts: &Facts, cfg: &InstructConfig) -> Result<Vec<Sample>> {
    cfg.validate()?;
    let cx = Context::new(facts, cfg);
    let mut drafts: Vec<Draft> = Vec::new();
    for task in TaskKind::ALL {
        let wanted = cx.wanted(task);
        if wanted > 0 {
            drafts.extend(balance::pick(
                candidates(&cx, task),
                wanted,
                &mut cx.rng(task.name()).named("pick"),
            ));
        }
    }
    balance::limit_negatives(&mut drafts, cfg.negative_share);
    let hash = config_hash(cfg)?;
    let samples = match cfg.form {
        Form::Conversations => pack::conversations(&cx, drafts, &hash),
        Form::Frames => pack::frames(&cx, &drafts, &hash),
        Form::SingleTurn => pack::singles(&cx, &drafts, &hash),
    };
    let known = MediaFacts { duration_s: Some(facts.duration_s()), frame_size: None };
    for sample in &samples {
        sample.validate(known)?;
    }
    Ok(samples)
}

fn candidates(cx: &Context<'_>, task: TaskKind) -> Vec<Draft> {
    match task {
        TaskKind::SceneCaption => scene::captions(cx),
        TaskKind::RegionAttribute => region::attributes(cx),
        TaskKind::RegionName => region::names(cx),
        TaskKind::RegionBox => region::boxes(cx),
        TaskKind::RegionCaption => region::short_captions(cx),
        TaskKind::RegionCaptionDetailed => region::detailed_captions(cx),
        TaskKind::SceneCount => scene::counts(cx),
        TaskKind::SceneExists => scene::existence(cx),
        TaskKind::MaskBehavior => masked::behavior(cx),
        TaskKind::MaskOrder => masked::order(cx),
        TaskKind::MaskRelation => masked::relation(cx),
        TaskKind::MaskVerify => masked::verify(cx),
        TaskKind::TimeBehavior => timed::behavior(cx),
        TaskKind::TimeScene => timed::scene(cx),
        TaskKind::TimeVerify => timed::verify(cx),
        TaskKind::CoarseLocate => plain::coarse_locate(cx),
        TaskKind::Concurrent => plain::concurrent(cx),
        TaskKind::MaskTimeBehavior => mask_time::behavior(cx),
        TaskKind::MaskTimeline => timeline::timelines(cx),
        TaskKind::MaskTimePosition => mask_time::positions(cx),
        TaskKind::MaskTimeBox => mask_time::boxes(cx),
        TaskKind::MaskTimeNegative => mask_time::negative(cx),
    }
}

/// A name for a configuration: the same text gives the same name.
pub fn config_hash<T: serde::Serialize>(cfg: &T) -> Result<String> {
    let text = serde_json::to_vec(cfg).map_err(|error| Error::Config(error.to_string()))?;
    Ok(blake3::hash(&text).to_hex()[..16].to_owned())
}
