//! A video whose facts are known becomes the records that the perception stages would write about it.
//!
//! Parts end wherever something changes: a cut, the start or end of an action, an entity coming into sight or
//! leaving it. So every (part, entity) has one thing to say, and adjacent parts that say the same can be joined again.

use serde::{Deserialize, Serialize};
use strefer_core::masklet::{FrameMap, IndexSpace};
use strefer_core::records::{
    Assign, AssignStatus, Boundary, ClipSpan, Clips, Entities, Entity, FactMap, Masklet, MaskletFrame,
    Masklets, Transcript, TranscriptItem, Video,
};
use strefer_core::sample::{Provenance, Schema};
use strefer_core::{Rle, Span};

use crate::facts::HELD_OUT;
use crate::stages::Stages;

/// Moments closer than this are one moment.
const SAME_MOMENT_S: f64 = 1e-3;

/// A change of visibility closer than this to another change ends no part of its own.
const SHORTEST_CLIP_S: f64 = 0.2;

/// Everything that is known about a video.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruthVideo {
    /// The video and its measures.
    pub video: Video,
    /// Its source, for the records' provenance.
    pub dataset: String,
    /// What the keys of all masks count.
    pub index_space: IndexSpace,
    /// Seconds of every frame of the index space.
    pub frame_times_s: Vec<f64>,
    /// What is in it.
    pub entities: Vec<TruthEntity>,
    /// Moments at which the view changes.
    #[serde(default)]
    pub cuts_s: Vec<f64>,
    /// A sentence about the place.
    #[serde(default)]
    pub scene: Option<String>,
}

/// Everything that is known about one entity.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruthEntity {
    /// A phrase that describes it: "large red striped ball".
    pub expression: String,
    /// Its category: "ball".
    pub noun: String,
    /// Its broad category: "toy".
    pub general_noun: String,
    /// Facts by name, such as colour, pattern, shape and size.
    #[serde(default)]
    pub attributes: FactMap,
    /// Whether its combination of attributes is kept from training.
    #[serde(default)]
    pub held_out: bool,
    /// What can be seen of it, by frame; frames without an entry do not show it.
    pub masks: FrameMap<Rle>,
    /// When it can be seen.
    pub visible: Vec<Span>,
    /// What it does, as predicates in the third person ("moves to the left").
    pub actions: Vec<TruthAction>,
}

/// Something that an entity does for a while.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TruthAction {
    /// When.
    pub span: Span,
    /// What.
    pub text: String,
}

impl TruthVideo {
    /// The records of all stages.
    pub fn stages(&self) -> Stages {
        let clips = self.clips();
        let video_id = self.video.video_id.clone();
        let provenance = |stage: &str| {
            let (dataset, stage) = (self.dataset.clone(), Some(stage.to_owned()));
            Some(Provenance { dataset, stage, model: Some("truth".to_owned()), ..Provenance::default() })
        };
        let mut items = Vec::new();
        for clip in &clips {
            let span = Span { start_s: clip.start_s, end_s: clip.end_s };
            items.extend((0..self.entities.len()).map(|at| self.transcribe(at, &clip.cid, &span)));
        }
        let scene_text = match &self.scene {
            Some(scene) => clips.iter().map(|clip| (clip.cid.clone(), scene.clone())).collect(),
            None => FactMap::new(),
        };
        Stages {
            video: self.video.clone(),
            entities: Entities {
                schema: Schema::V1,
                video_id: video_id.clone(),
                provenance: provenance("entities"),
                paragraph: None,
                items: (0..self.entities.len()).map(|at| self.entity(at)).collect(),
            },
            masklets: Masklets {
                schema: Schema::V1,
                video_id: video_id.clone(),
                provenance: provenance("masklets"),
                index_space: self.index_space,
                frame_times_s: self.frame_times_s.clone(),
                start_index: None,
                n_read: None,
                failure: None,
                objects: (0..self.entities.len()).map(|at| self.masklet(at)).collect(),
            },
            clips: Clips {
                schema: Schema::V1,
                video_id: video_id.clone(),
                provenance: provenance("clips"),
                items: clips,
            },
            transcript: Transcript {
                schema: Schema::V1,
                video_id,
                provenance: provenance("transcript"),
                items,
                scene_text,
            },
        }
    }

    fn entity(&self, at: usize) -> Entity {
        let truth = &self.entities[at];
        let mut attributes = truth.attributes.clone();
        if truth.held_out {
            attributes.insert(HELD_OUT.to_owned(), "true".to_owned());
        }
        Entity {
            eid: eid(at),
            expression: truth.expression.clone(),
            noun: truth.noun.clone(),
            general_noun: truth.general_noun.clone(),
            active: !truth.actions.is_empty(),
            source_span: None,
            attributes,
        }
    }

    fn masklet(&self, at: usize) -> Masklet {
        let seen = self.entities[at].masks.iter().filter(|(_, rle)| rle.area() > 0);
        let frames = seen.map(|(&key, rle)| {
            let area = rle.area();
            let bbox_xywh = rle.to_mask().bbox().map_or([0; 4], |found| {
                [found.x0, found.y0, found.x1 - found.x0, found.y1 - found.y0].map(|pixels| pixels as u32)
            });
            (key, MaskletFrame { rle: rle.clone().into(), area, bbox_xywh })
        });
        Masklet {
            eid: eid(at),
            detector_label: None,
            detector_score: None,
            box_start_xyxy: None,
            assign: Some(Assign {
                model: "truth".to_owned(),
                answer_indices: vec![],
                status: AssignStatus::Truth,
            }),
            confidence: None,
            gaps: Vec::new(),
            frames: frames.collect(),
        }
    }

    /// One (part, entity): the predicate that fills most of the part while the entity can be seen for at least half
    /// of it. Text without any mask among the part's frames, or the other way round, is a conflict.
    fn transcribe(&self, at: usize, cid: &str, clip: &Span) -> TranscriptItem {
        let truth = &self.entities[at];
        let seen_s: f64 =
            truth.visible.iter().filter_map(|span| span.intersection(clip)).map(|part| part.length_s()).sum();
        let overlap =
            |action: &TruthAction| action.span.intersection(clip).map_or(0.0, |part| part.length_s());
        let longest = truth.actions.iter().max_by(|a, b| overlap(a).total_cmp(&overlap(b)));
        let does = longest.filter(|action| overlap(action) > 0.5 * clip.length_s());
        let text = does.filter(|_| seen_s >= 0.5 * clip.length_s()).map(|action| action.text.clone());
        let mut frames =
            self.frame_times_s.iter().enumerate().filter(|(_, at_s)| clip.contains(**at_s)).peekable();
        let sampled = frames.peek().is_some();
        let masked = frames.any(|(frame, _)| self.has_mask(at, frame));
        let visible = seen_s > 0.0;
        // A moment of visibility between two sampled frames is no contradiction, but it proves nothing either.
        let conflict =
            sampled && (masked != visible || (masked && text.is_none()) || (!masked && text.is_some()));
        TranscriptItem { cid: cid.to_owned(), eid: eid(at), text, visible: Some(visible), conflict }
    }

    fn has_mask(&self, at: usize, frame: usize) -> bool {
        let shows = |key: u32| match self.index_space {
            IndexSpace::Uniform { .. } => key as usize == frame,
            IndexSpace::Source => {
                (f64::from(key) / self.video.fps - self.frame_times_s[frame]).abs() < SAME_MOMENT_S
            }
        };
        self.entities[at].masks.iter().any(|(key, rle)| shows(key.0) && rle.area() > 0)
    }

    /// Parts between all moments at which something changes.
    fn clips(&self) -> Vec<ClipSpan> {
        let end_s = self.video.duration_s;
        let mut changes: Vec<(f64, Boundary)> = vec![(0.0, Boundary::Semantic), (end_s, Boundary::End)];
        let mut add = |at_s: f64, boundary, closest_s: f64| {
            if changes.iter().all(|(other, _)| (other - at_s).abs() > closest_s) && at_s > 0.0 && at_s < end_s
            {
                changes.push((at_s, boundary));
            }
        };
        for &cut_s in &self.cuts_s {
            add(cut_s, Boundary::Shot, SAME_MOMENT_S);
        }
        for action in self.entities.iter().flat_map(|entity| &entity.actions) {
            add(action.span.start_s, Boundary::Semantic, SAME_MOMENT_S);
            add(action.span.end_s, Boundary::Semantic, SAME_MOMENT_S);
        }
        for span in self.entities.iter().flat_map(|entity| &entity.visible) {
            add(span.start_s, Boundary::Semantic, SHORTEST_CLIP_S);
            add(span.end_s, Boundary::Semantic, SHORTEST_CLIP_S);
        }
        changes.sort_by(|a, b| a.0.total_cmp(&b.0));
        let parts = changes.windows(2).enumerate();
        parts
            .map(|(at, pair)| ClipSpan {
                cid: format!("c{at}"),
                start_s: pair[0].0,
                end_s: pair[1].0,
                boundary: pair[1].1,
                score: None,
            })
            .collect()
    }
}

fn eid(at: usize) -> String {
    format!("e{at}")
}
