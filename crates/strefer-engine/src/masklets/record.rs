//! What was found becomes a record.

use std::collections::BTreeMap;

use strefer_core::Rle;
use strefer_core::records::{Assign, AssignStatus, Masklet, MaskletFrame, Masklets, MaskletsFailure};
use strefer_core::sample::{Provenance, Schema};

use super::request::Timeline;
use super::seam::Area;

/// An object that belongs to an entity.
pub(super) struct Draft {
    pub eid: String,
    pub label: Option<String>,
    pub score: Option<f64>,
    pub area: Option<Area>,
    pub model: String,
    pub answer: Vec<usize>,
    pub status: AssignStatus,
    pub confidence: Option<f64>,
    /// By position.
    pub masks: BTreeMap<usize, Rle>,
    /// Whether gaps are listed.
    pub gaps: bool,
}

/// Writes records about one video.
pub(super) struct Recorder<'a> {
    pub video_id: &'a str,
    pub timeline: &'a Timeline,
    pub rules: &'static str,
}

impl Recorder<'_> {
    pub fn record(&self, start: Option<usize>, drafts: Vec<Draft>) -> Masklets {
        let timeline = self.timeline;
        Masklets {
            schema: Schema::V1,
            video_id: self.video_id.to_owned(),
            provenance: Some(Provenance {
                stage: Some("masklets".to_owned()),
                model: Some(self.rules.to_owned()),
                ..Provenance::default()
            }),
            index_space: timeline.space,
            frame_times_s: timeline.times_s.clone(),
            start_index: start.map(|position| timeline.keys[position].0),
            n_read: timeline.is_partial.then_some(timeline.len() as u32),
            failure: None,
            objects: drafts.into_iter().map(|draft| self.masklet(draft)).collect(),
        }
    }

    pub fn failed(&self, failure: MaskletsFailure) -> Masklets {
        Masklets { failure: Some(failure), ..self.record(None, Vec::new()) }
    }

    fn masklet(&self, draft: Draft) -> Masklet {
        let round = |value: f64| (value * 1e6).round() / 1e6;
        let gaps = if draft.gaps { self.gaps(&draft.masks) } else { Vec::new() };
        let frames = draft.masks.into_iter().map(|(position, rle)| {
            let bbox_xywh = rle.bbox().map_or([0; 4], |found| {
                [found.x0, found.y0, found.x1 - found.x0, found.y1 - found.y0].map(|side| side as u32)
            });
            let frame = MaskletFrame { area: rle.area(), bbox_xywh, rle: rle.into() };
            (self.timeline.keys[position], frame)
        });
        Masklet {
            eid: draft.eid,
            detector_label: draft.label,
            detector_score: draft.score.map(round),
            box_start_xyxy: draft.area.map(|area| area.map(round)),
            assign: Some(Assign {
                model: draft.model,
                answer_indices: draft.answer.into_iter().map(|index| index as u32).collect(),
                status: draft.status,
            }),
            confidence: draft.confidence.map(round),
            gaps,
            frames: frames.collect(),
        }
    }

    /// Runs of positions without a mask, as keys.
    fn gaps(&self, masks: &BTreeMap<usize, Rle>) -> Vec<[u32; 2]> {
        let keys = &self.timeline.keys;
        let mut gaps: Vec<[usize; 2]> = Vec::new();
        for position in (0..keys.len()).filter(|position| !masks.contains_key(position)) {
            match gaps.last_mut() {
                Some(gap) if gap[1] + 1 == position => gap[1] = position,
                _ => gaps.push([position; 2]),
            }
        }
        gaps.into_iter().map(|gap| gap.map(|position| keys[position].0)).collect()
    }
}
