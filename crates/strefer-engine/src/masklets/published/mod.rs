//! The algorithm as it was released: one start frame, both directions from there, one question an expression.
//!
//! What it gets wrong is kept: a conflict costs a whole partition, expressions that read the same are one, nothing is
//! looked for after the start frame. Where the original depends on the order of a set of its language, ours ascends.

pub mod assign;
pub mod merge;
pub mod start;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::Mask;
use strefer_core::records::{AssignStatus, Masklets, MaskletsFailure, PerceptionStage};

use self::assign::{Kept, Partition};
use self::merge::Tracks;
use self::start::{Policy, Start};
use super::boxes;
use super::record::{Draft, Recorder};
use super::request::{Sought, Timeline, query};
use super::seam::{Answer, Perception, Way, at};

/// The published constants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct PublishedConfig {
    /// Order in which frames are looked at.
    pub policy: Policy,
    /// Boxes that fit less well are dropped.
    pub min_score: f64,
}

impl Default for PublishedConfig {
    fn default() -> Self {
        Self { policy: Policy::MiddleOut, min_score: 0.5 }
    }
}

/// The masklets of a video, or why there are none.
pub fn run(
    video_id: &str,
    sought: &[Sought],
    timeline: &Timeline,
    perception: &mut Perception,
    cfg: &PublishedConfig,
) -> Masklets {
    let recorder = Recorder { video_id, timeline, rules: "published" };
    match find(sought, timeline, perception, cfg) {
        Ok((start, drafts)) => recorder.record(Some(start), drafts),
        Err(failure) => recorder.failed(failure),
    }
}

fn find(
    sought: &[Sought],
    timeline: &Timeline,
    perception: &mut Perception,
    cfg: &PublishedConfig,
) -> Result<(usize, Vec<Draft>), MaskletsFailure> {
    let nouns = query(sought);
    if nouns.is_empty() {
        return Err(MaskletsFailure::NoEntity);
    }
    let order = cfg.policy.order(timeline.len());
    let start = start::find(&order, sought.len(), cfg.min_score, |position| {
        at(PerceptionStage::Detector, position, perception.detector.detect(position, &nouns))
    })?;
    let Some(start) = start.filter(|start| !start.detections.is_empty()) else {
        return Err(MaskletsFailure::NoDetection { looked: order.len() as u32 });
    };
    let tracks = track(&start, timeline.len(), perception)?;
    let labels: Vec<&str> = start.detections.iter().map(|found| found.label.as_str()).collect();
    let wanted: Vec<&str> = sought.iter().map(|sought| sought.noun.as_str()).collect();
    let expressions: Vec<&str> = sought.iter().map(|sought| sought.expression.as_str()).collect();
    let mut kept = Vec::new();
    let mut said = vec![Answer::default(); sought.len()];
    let mut asked = vec![false; sought.len()];
    for partition in assign::partitions(&labels, &wanted) {
        kept.extend(ask(&partition, &start, &expressions, &wanted, perception, &mut said, &mut asked)?);
    }
    let merged = assign::merge(kept);
    let drafts = merged.expressions.iter().enumerate().filter_map(|(at, &expression)| {
        let object = *merged.objects.get(&(at as u32 + 1))?;
        let detection = &start.detections[object];
        let status = match (asked[expression], said[expression].indices.len()) {
            (false, _) => AssignStatus::Shortcut,
            (true, 1) => AssignStatus::Single,
            (true, _) => AssignStatus::Multi,
        };
        Some(Draft {
            eid: sought[expression].eid.clone(),
            label: Some(detection.label.clone()),
            score: Some(detection.score),
            area: Some(detection.area),
            model: perception.referee.name().to_owned(),
            answer: said[expression].indices.clone(),
            status,
            confidence: None,
            masks: tracks.masks_of(object),
            gaps: false,
        })
    });
    let drafts: Vec<Draft> = drafts.collect();
    if drafts.is_empty() {
        return Err(MaskletsFailure::NothingAssigned { tracks: start.detections.len() as u32 });
    }
    Ok((start.position, drafts))
}

/// Both directions from the start frame, put together.
fn track(start: &Start, n_frames: usize, perception: &Perception) -> Result<Tracks, MaskletsFailure> {
    let mut both = Vec::with_capacity(2);
    for way in [Way::Forward, Way::Backward] {
        let stage = PerceptionStage::Tracker;
        let mut session = at(stage, start.position, perception.tracker.begin(start.position, way))?;
        for (object, detection) in start.detections.iter().enumerate() {
            at(stage, start.position, session.add(object as u32, start.position, detection.area))?;
        }
        let positions: Vec<usize> = match way {
            Way::Forward => (start.position..n_frames).collect(),
            Way::Backward => (0..=start.position).rev().collect(),
        };
        let mut frames: Vec<Vec<Mask>> = Vec::with_capacity(positions.len());
        for position in positions {
            let mut masks = at(stage, position, session.step(position))?;
            masks.sort_by_key(|(object, _)| *object);
            frames.push(masks.into_iter().map(|(_, mask)| mask).collect());
        }
        both.push(frames);
    }
    let [backward, forward] = [both.pop(), both.pop()].map(Option::unwrap_or_default);
    let areas = |frames: &Vec<Vec<Mask>>| frames[0].iter().map(boxes::around).collect::<Vec<_>>();
    let matching = merge::matching(&areas(&backward), &areas(&forward))
        .ok_or(MaskletsFailure::UndefinedOverlap { position: start.position as u32 })?;
    Ok(Tracks::of(&merge::merge(backward.len() - 1, &backward, &forward, &matching)))
}

/// What a partition contributes.
fn ask(
    partition: &Partition,
    start: &Start,
    expressions: &[&str],
    nouns: &[&str],
    perception: &mut Perception,
    said: &mut [Answer],
    asked: &mut [bool],
) -> Result<Option<Kept>, MaskletsFailure> {
    if assign::is_settled(partition, expressions, nouns) {
        return Ok(Some(Kept::unchanged(partition)));
    }
    let areas: Vec<_> = partition.boxes.iter().map(|&found| start.detections[found].area).collect();
    let phrases: Vec<&str> = partition.expressions.iter().map(|&at| expressions[at]).collect();
    let answers = perception.referee.refer(start.position, &areas, &phrases);
    let mut answers = at(PerceptionStage::Referee, start.position, answers)?;
    answers.resize(phrases.len(), Answer::default());
    for (&expression, answer) in partition.expressions.iter().zip(&answers) {
        said[expression] = answer.clone();
        asked[expression] = true;
    }
    let indices: Vec<Vec<usize>> = answers.into_iter().map(|answer| answer.indices).collect();
    Ok(assign::resolve(partition, &phrases, &indices))
}
