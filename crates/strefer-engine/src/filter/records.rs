//! Whether masks, transcript and answer agree.

use strefer_core::segmentation::FrameMask;
use strefer_core::{IndexSpace, Rle, Sample, Span};

use crate::facts::{EntityFacts, Facts};
use crate::language::nouns::bare;
use crate::language::said;
use crate::language::verbs::{Form, conjugate};

/// Mean overlap (IoU) with the recorded masks below which masks show something else.
const SAME_MASKS: f64 = 0.5;

/// Tasks whose answers say what an object does, and nothing else.
const DOING: [&str; 3] = ["mask_time_behavior", "time_behavior", "mask_behavior"];

/// Why the records speak against a question with its answer; `None` when nothing does.
pub(super) fn fault(pair: &Sample, facts: &Facts) -> Option<String> {
    let negative = pair.task.as_ref().is_some_and(|task| task.negative);
    let asked = span(pair);
    for region in &pair.regions {
        let Some(entity) = region.eid.as_ref().and_then(|eid| find(facts, eid)) else {
            return Some(format!("region {}: the records have no such entity", region.rid));
        };
        let recorded = region.masks.iter().filter_map(|(key, mask)| {
            let FrameMask::Rle(record) = mask else { return Some(0.0) };
            let mask = Rle::try_from(record.clone()).ok()?;
            let known = entity.sightings.iter().find(|seen| seen.key == *key);
            Some(known.map_or(0.0, |seen| {
                Rle::try_from(seen.frame.rle.clone())
                    .ok()
                    .and_then(|known| known.iou(&mask).ok())
                    .unwrap_or(0.0)
            }))
        });
        let overlaps: Vec<f64> =
            if region.index_space == facts.index_space { recorded.collect() } else { Vec::new() };
        let mean = overlaps.iter().sum::<f64>() / overlaps.len().max(1) as f64;
        if !overlaps.is_empty() && mean < SAME_MASKS {
            return Some(format!("region {}: its masks overlap the recorded ones by {mean:.2}", region.rid));
        }
        if let Some(asked) = asked.filter(|_| !negative)
            && !is_near(entity, facts, &asked)
        {
            return Some(format!(
                "region {}: no mask shows it from {:.2} to {:.2} s",
                region.rid, asked.start_s, asked.end_s
            ));
        }
    }
    if negative {
        return None;
    }
    says(pair, facts, asked)
}

/// Whether the transcript says what the answer says, for questions about what is done.
fn says(pair: &Sample, facts: &Facts, asked: Option<Span>) -> Option<String> {
    let task = pair.task.as_ref().filter(|task| DOING.contains(&task.name.as_str()))?;
    let [question, answer] = [pair.conversations.iter().rev().nth(1)?, pair.conversations.last()?]
        .map(|turn| turn.text.to_lowercase());
    let entity = match pair.regions.first() {
        Some(region) => find(facts, region.eid.as_ref()?)?,
        None => named(facts, &question)?,
    };
    let whole = Span { start_s: 0.0, end_s: facts.duration_s() };
    let asked = asked.unwrap_or(whole);
    let known: Vec<&str> = entity
        .actions()
        .filter(|(run, _)| run.span.intersection(&asked).is_some() || run.span.contains(asked.start_s))
        .map(|(_, text)| text)
        .collect();
    if known.is_empty() {
        return Some(format!("the transcript says nothing about {} then", entity.entity.eid));
    }
    let forms = [Form::Third, Form::Base, Form::Progressive, Form::Past];
    let holds =
        |text: &&str| forms.into_iter().any(|form| answer.contains(&conjugate(text, form).to_lowercase()));
    let agrees = match task.name.as_str() {
        // All that it does, in order.
        "mask_behavior" => known.iter().all(holds),
        _ => known.iter().any(holds),
    };
    (!agrees).then(|| format!("the transcript says: {}", known.join("; ")))
}

/// The entity that a question names; of several the one with the longest name.
fn named<'a>(facts: &'a Facts, question: &str) -> Option<&'a EntityFacts> {
    let asked = said(question);
    let is_named =
        |name: &Vec<String>| !name.is_empty() && asked.windows(name.len()).any(|part| part == name);
    let names = facts.entities.iter().map(|known| (said(bare(&known.entity.expression)), known));
    names.filter(|(name, _)| is_named(name)).max_by_key(|(name, _)| name.len()).map(|(_, known)| known)
}

fn find<'a>(facts: &'a Facts, eid: &str) -> Option<&'a EntityFacts> {
    facts.entities.iter().find(|known| known.entity.eid == eid)
}

/// From the first to the last moment that is named.
fn span(pair: &Sample) -> Option<Span> {
    let times = pair.times.iter().map(|time| time.s);
    let start_s = times.clone().min_by(f64::total_cmp)?;
    let end_s = times.max_by(f64::total_cmp)?;
    Some(Span { start_s, end_s })
}

/// Whether a mask shows the entity inside the span, or on the frame that is nearest to it.
fn is_near(entity: &EntityFacts, facts: &Facts, span: &Span) -> bool {
    let step_s = match facts.index_space {
        IndexSpace::Uniform { n, .. } => facts.duration_s() / f64::from(n.max(1)),
        IndexSpace::Source => 1.0 / facts.video.fps,
    };
    entity.sightings.iter().any(|seen| seen.at_s >= span.start_s - step_s && seen.at_s <= span.end_s + step_s)
}
