//! What the generator reads about one video: entities, where they are, and what they do when.
//!
//! Built from stage records alone, so it does not matter whether a world's truth or a perception stage wrote them.

use std::collections::BTreeMap;

use strefer_core::masklet::{FrameKey, IndexSpace};
use strefer_core::records::{ClipSpan, Entity, MaskletFrame, TranscriptItem, Video};
use strefer_core::{Rle, Span};

use crate::error::{Error, Result};
use crate::language::nouns::bare;
use crate::stages::Stages;

/// The attribute that marks an entity whose combination of attributes no training video shows.
pub const HELD_OUT: &str = "held_out";

/// One entity in one frame of the uniform sample.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The frame's key.
    pub key: FrameKey,
    /// When the frame is shown, in seconds.
    pub at_s: f64,
    /// Its mask.
    pub frame: MaskletFrame,
}

impl Sighting {
    /// Middle of the mask's box, in pixels.
    pub fn centre(&self) -> (f64, f64) {
        let [x, y, w, h] = self.frame.bbox_xywh.map(f64::from);
        (x + w / 2.0, y + h / 2.0)
    }
}

/// What one entity does in one part.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Cell {
    /// A predicate in the third person ("moves to the left"); nothing when it cannot be seen.
    pub text: Option<String>,
    /// Whether it can be seen, where that is known.
    pub visible: Option<bool>,
    /// Whether mask and text disagree; such a cell proves nothing.
    pub conflict: bool,
}

/// Adjacent parts in which an entity does the same.
#[derive(Debug, Clone, PartialEq)]
pub struct Run {
    /// First and last part.
    pub clips: (usize, usize),
    /// From the start of the first to the end of the last.
    pub span: Span,
    /// What it does; nothing when it cannot be seen.
    pub text: Option<String>,
    /// Whether it can be seen, where that is known.
    pub visible: Option<bool>,
}

/// One entity.
#[derive(Debug, Clone, PartialEq)]
pub struct EntityFacts {
    /// Its record.
    pub entity: Entity,
    /// Where it is seen, in the order of time.
    pub sightings: Vec<Sighting>,
    /// What it does in every part.
    pub cells: Vec<Cell>,
    /// The same, joined over parts.
    pub runs: Vec<Run>,
}

impl EntityFacts {
    /// Whether no training video shows such an entity.
    pub fn held_out(&self) -> bool {
        self.entity.attributes.get(HELD_OUT).is_some_and(|value| value == "true")
    }

    /// Runs in which it does something that can be seen.
    pub fn actions(&self) -> impl Iterator<Item = (&Run, &str)> {
        self.runs.iter().filter_map(|run| Some((run, run.text.as_deref()?)))
    }

    /// Runs in which it certainly cannot be seen.
    pub fn absences(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.text.is_none() && run.visible == Some(false))
    }

    /// Whether any frame inside the span shows it.
    pub fn is_sighted(&self, span: &Span) -> bool {
        self.sightings.iter().any(|sighting| span.contains(sighting.at_s))
    }

    /// What it does over the whole of `span`, if that is one thing.
    pub fn action_in(&self, span: &Span) -> Option<&str> {
        let inside =
            |run: &Run| run.span.start_s <= span.start_s + 1e-9 && run.span.end_s >= span.end_s - 1e-9;
        self.actions().find(|(run, _)| inside(run)).map(|(_, text)| text)
    }

    /// The first moment at which it is seen.
    pub fn first_seen_s(&self) -> Option<f64> {
        self.sightings.first().map(|sighting| sighting.at_s)
    }
}

/// One video.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    /// The video and its measures.
    pub video: Video,
    /// What mask keys count.
    pub index_space: IndexSpace,
    /// Its entities, in stable order.
    pub entities: Vec<EntityFacts>,
    /// Its parts, without gaps.
    pub clips: Vec<ClipSpan>,
    /// What happens in a part as a whole, by its name.
    pub scenes: BTreeMap<String, String>,
}

impl Facts {
    /// Reads the records of one video.
    ///
    /// # Errors
    /// Records about several videos, names that are not listed or listed twice, frames without a time, masks of
    /// another size than the video, parts that leave gaps.
    pub fn new(stages: &Stages) -> Result<Self> {
        stages.check_ids()?;
        let video_id = stages.video.video_id.clone();
        check_clips(&video_id, &stages.clips.items)?;
        let unknown = |stage, name: &str| Error::UnknownName {
            video_id: video_id.clone(),
            stage,
            name: name.to_owned(),
        };
        let mut entities: Vec<EntityFacts> = Vec::new();
        for entity in &stages.entities.items {
            if entities.iter().any(|known| known.entity.eid == entity.eid) {
                return Err(Error::NameTwice { video_id, name: entity.eid.clone() });
            }
            let cells = vec![Cell::default(); stages.clips.items.len()];
            entities.push(EntityFacts {
                entity: entity.clone(),
                sightings: Vec::new(),
                cells,
                runs: Vec::new(),
            });
        }
        let place = |eid: &str| stages.entities.items.iter().position(|entity| entity.eid == eid);
        for object in &stages.masklets.objects {
            let at = place(&object.eid).ok_or_else(|| unknown("masklets", &object.eid))?;
            for (&key, frame) in &object.frames {
                entities[at].sightings.extend(sighting(stages, &object.eid, key, frame)?);
            }
            entities[at].sightings.sort_by(|a, b| a.at_s.total_cmp(&b.at_s));
        }
        for item in &stages.transcript.items {
            let at = place(&item.eid).ok_or_else(|| unknown("transcript", &item.eid))?;
            let clip = stages.clips.items.iter().position(|clip| clip.cid == item.cid);
            let clip = clip.ok_or_else(|| unknown("transcript", &item.cid))?;
            entities[at].cells[clip] = cell(item, &entities[at].entity);
        }
        for entity in &mut entities {
            entity.runs = runs(&entity.cells, &stages.clips.items);
        }
        Ok(Self {
            video: stages.video.clone(),
            index_space: stages.masklets.index_space,
            entities,
            clips: stages.clips.items.clone(),
            scenes: stages.transcript.scene_text.clone(),
        })
    }

    /// Length of the video in seconds.
    pub fn duration_s(&self) -> f64 {
        self.video.duration_s
    }

    /// Whether no other entity of the video is called the same.
    pub fn is_unique(&self, entity: usize) -> bool {
        let name = |at: usize| bare(&self.entities[at].entity.expression).to_ascii_lowercase();
        (0..self.entities.len()).all(|other| other == entity || name(other) != name(entity))
    }
}

/// Places of at most `wanted` of `count` things, spread evenly from the first to the last; of one that in the middle.
pub fn spread(count: usize, wanted: usize) -> impl Iterator<Item = usize> {
    let wanted = wanted.min(count);
    (0..wanted).map(move |nth| if wanted < 2 { count / 2 } else { nth * (count - 1) / (wanted - 1) })
}

/// A frame with its time; `None` when its mask is empty.
fn sighting(stages: &Stages, eid: &str, key: FrameKey, frame: &MaskletFrame) -> Result<Option<Sighting>> {
    let video = &stages.video;
    let times = &stages.masklets.frame_times_s;
    let at_s = match stages.masklets.index_space {
        IndexSpace::Uniform { .. } => times.get(key.0 as usize).copied(),
        IndexSpace::Source => Some(f64::from(key.0) / video.fps),
    };
    let at_s = at_s.ok_or_else(|| Error::NoFrameTime {
        video_id: video.video_id.clone(),
        eid: eid.to_owned(),
        key: key.0,
        n_times: times.len(),
    })?;
    let rle = Rle::try_from(frame.rle.clone())?;
    if (rle.height(), rle.width()) != (video.height as usize, video.width as usize) {
        return Err(strefer_core::Error::SizeMismatch {
            left: (video.height as usize, video.width as usize),
            right: (rle.height(), rle.width()),
        }
        .into());
    }
    Ok((frame.area > 0).then(|| Sighting { key, at_s, frame: frame.clone() }))
}

/// A transcript's text as a predicate: a subject that repeats the expression is cut off.
fn cell(item: &TranscriptItem, entity: &Entity) -> Cell {
    let text = item.text.as_deref().map(|text| {
        let text = text.trim().trim_end_matches('.');
        let without = bare(text);
        let expression = bare(&entity.expression);
        let named = without.len() > expression.len()
            && without.is_char_boundary(expression.len())
            && without[..expression.len()].eq_ignore_ascii_case(expression)
            && without[expression.len()..].starts_with(' ');
        if named { without[expression.len()..].trim().to_owned() } else { text.to_owned() }
    });
    Cell { text: text.filter(|text| !text.is_empty()), visible: item.visible, conflict: item.conflict }
}

fn check_clips(video_id: &str, clips: &[ClipSpan]) -> Result<()> {
    let mut expected_s = 0.0;
    for (at, clip) in clips.iter().enumerate() {
        if clips[..at].iter().any(|other| other.cid == clip.cid) {
            return Err(Error::NameTwice { video_id: video_id.to_owned(), name: clip.cid.clone() });
        }
        let joined = (clip.start_s - expected_s).abs() < 1e-6;
        if !joined || clip.end_s <= clip.start_s || !clip.end_s.is_finite() {
            return Err(Error::ClipOrder {
                video_id: video_id.to_owned(),
                cid: clip.cid.clone(),
                start_s: clip.start_s,
                end_s: clip.end_s,
                expected_s,
            });
        }
        expected_s = clip.end_s;
    }
    Ok(())
}

/// Joins adjacent cells that say the same; cells in conflict belong to no run.
fn runs(cells: &[Cell], clips: &[ClipSpan]) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for (at, (cell, clip)) in cells.iter().zip(clips).enumerate() {
        if cell.conflict {
            continue;
        }
        match runs.last_mut() {
            Some(run)
                if run.clips.1 + 1 == at
                    && run.text == cell.text
                    && (cell.text.is_some() || run.visible == cell.visible) =>
            {
                run.clips.1 = at;
                run.span.end_s = clip.end_s;
                run.visible = run.visible.or(cell.visible);
            }
            _ => runs.push(Run {
                clips: (at, at),
                span: Span { start_s: clip.start_s, end_s: clip.end_s },
                text: cell.text.clone(),
                visible: cell.visible,
            }),
        }
    }
    runs
}
