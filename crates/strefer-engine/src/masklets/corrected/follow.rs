//! Boxes become tracks, forward and backward.

use std::collections::{BTreeMap, BTreeSet};

use strefer_core::records::{MaskletsFailure, PerceptionStage};
use strefer_core::{Mask, Rle};

use super::CorrectedConfig;
use crate::masklets::boxes;
use crate::masklets::hungarian;
use crate::masklets::seam::{Area, Detection, Perception, Tracking, Way, at};

/// A box that a track was found in.
#[derive(Debug, Clone)]
pub(super) struct Hit {
    pub score: f64,
    pub noun: Option<usize>,
    pub expression: Option<usize>,
}

/// What was followed from one box.
#[derive(Debug, Clone)]
pub(super) struct Track {
    pub born: usize,
    pub area: Area,
    pub masks: BTreeMap<usize, Rle>,
    pub hits: BTreeMap<usize, Hit>,
    pub looks: BTreeMap<usize, Vec<f32>>,
    /// Since when it lies on an object that another track is on.
    doubled: Option<usize>,
    is_living: bool,
}

impl Track {
    /// The expression that a person drew it for.
    pub fn drawn(&self) -> Option<usize> {
        self.hits.values().find_map(|hit| hit.expression)
    }

    /// Whether a person said that two tracks are two things.
    fn is_apart(&self, other: &Self) -> bool {
        self.drawn().zip(other.drawn()).is_some_and(|(own, other)| own != other)
    }
}

/// A track, or a part of one that was cut.
#[derive(Debug, Clone)]
pub(super) struct Piece {
    pub track: usize,
    pub area: Area,
    pub born: usize,
    pub masks: BTreeMap<usize, Rle>,
    pub score: f64,
    /// How well each noun fits, summed over its boxes.
    pub nouns: Vec<f64>,
    /// Frames that show it and that the detector looked at, and those of them in which it found it.
    pub shown: usize,
    pub hits: usize,
    pub look: Option<Vec<f32>>,
    pub expression: Option<usize>,
}

/// What was followed through a video.
#[derive(Debug, Default)]
pub(super) struct Followed {
    pub tracks: Vec<Track>,
    /// Frames that the detector looked at.
    pub looked: usize,
    pub looked_at: BTreeSet<usize>,
    /// Pairs of tracks that were found to be on one object.
    pub met: Vec<(usize, usize)>,
}

/// Through the video once; the detector looks at every few frames and at the last.
pub(super) fn forward(
    n_frames: usize,
    nouns: &[String],
    perception: &mut Perception,
    cfg: &CorrectedConfig,
) -> Result<Followed, MaskletsFailure> {
    let mut followed = Followed::default();
    if n_frames == 0 {
        return Ok(followed);
    }
    let tracker = perception.tracker;
    let mut session = at(PerceptionStage::Tracker, 0, tracker.begin(0, Way::Forward))?;
    for position in 0..n_frames {
        let found = at(PerceptionStage::Tracker, position, session.step(position))?;
        let mut seen: BTreeMap<usize, Mask> = found
            .into_iter()
            .map(|(object, mask)| (object as usize, mask))
            .filter(|(object, mask)| !mask.is_empty() && followed.tracks[*object].is_living)
            .collect();
        for (&object, mask) in &seen {
            followed.tracks[object].masks.insert(position, Rle::from_mask(mask));
        }
        if position % cfg.every != 0 && position + 1 != n_frames {
            continue;
        }
        followed.looked += 1;
        followed.looked_at.insert(position);
        let detections = perception.detector.detect(position, nouns);
        let detections = at(PerceptionStage::Detector, position, detections)?;
        let detections = distinct(detections, cfg);
        let left = support(&mut followed, position, &seen, detections, cfg);
        end_doubles(&mut followed, position, &mut seen, session.as_mut(), cfg);
        for detection in left {
            open(&mut followed, position, &mut seen, detection, session.as_mut(), cfg)?;
        }
        for (&object, mask) in &seen {
            let look = at(PerceptionStage::Looks, position, perception.looks.look(position, mask))?;
            if let Some(look) = look {
                followed.tracks[object].looks.insert(position, look);
            }
        }
    }
    Ok(followed)
}

/// Boxes that fit, each object once.
fn distinct(mut detections: Vec<Detection>, cfg: &CorrectedConfig) -> Vec<Detection> {
    detections
        .retain(|found| found.score >= cfg.keep_score && found.area.iter().all(|side| side.is_finite()));
    // What a person drew comes first.
    let rank = |found: &Detection| (found.expression.is_none(), -found.score);
    detections.sort_by(|a, b| {
        let ((a_drawn, a_score), (b_drawn, b_score)) = (rank(a), rank(b));
        a_drawn.cmp(&b_drawn).then(a_score.total_cmp(&b_score))
    });
    let mut kept: Vec<Detection> = Vec::new();
    for found in detections {
        let twin = |other: &Detection| {
            let drawn_apart = found.expression.is_some() && other.expression.is_some();
            !drawn_apart && boxes::iou(other.area, found.area) > cfg.same_box_iou
        };
        if !kept.iter().any(twin) {
            kept.push(found);
        }
    }
    kept
}

/// Gives each living track the box that fits it best; returns the boxes that no track explains.
fn support(
    followed: &mut Followed,
    position: usize,
    seen: &BTreeMap<usize, Mask>,
    detections: Vec<Detection>,
    cfg: &CorrectedConfig,
) -> Vec<Detection> {
    let objects: Vec<usize> = seen.keys().copied().collect();
    let areas: Vec<Area> = seen.values().map(boxes::around).collect();
    let tracks = &followed.tracks;
    let overlap = |found: &Detection| -> Vec<f64> {
        let of = |(object, area): (&usize, &Area)| {
            let drawn = found.expression.zip(tracks[*object].drawn());
            // A person's box is no other object's.
            if drawn.is_some_and(|(own, other)| own != other) { 0.0 } else { boxes::iou(found.area, *area) }
        };
        objects.iter().zip(&areas).map(of).collect()
    };
    let overlaps: Vec<Vec<f64>> = detections.iter().map(overlap).collect();
    let costs: Vec<Vec<f64>> =
        overlaps.iter().map(|row| row.iter().map(|overlap| -overlap).collect()).collect();
    let matched = hungarian::assign(&costs);
    let mut left = Vec::new();
    for ((found, row), column) in detections.into_iter().zip(&overlaps).zip(matched) {
        match column.filter(|&column| row[column] > cfg.match_iou) {
            Some(column) => {
                let hit = Hit { score: found.score, noun: found.noun, expression: found.expression };
                followed.tracks[objects[column]].hits.insert(position, hit);
            }
            None if found.score >= cfg.open_score && row.iter().all(|overlap| *overlap <= cfg.match_iou) => {
                left.push(found);
            }
            None => {}
        }
    }
    left
}

/// A track that lies on another's object twice in a row ends where that began: the one that no person drew, the one
/// without a box of its own, or the younger.
fn end_doubles(
    followed: &mut Followed,
    position: usize,
    seen: &mut BTreeMap<usize, Mask>,
    session: &mut dyn Tracking,
    cfg: &CorrectedConfig,
) {
    let objects: Vec<usize> = seen.keys().copied().collect();
    let mut doubled = BTreeSet::new();
    for (at, &first) in objects.iter().enumerate() {
        for &second in &objects[at + 1..] {
            let tracks = &followed.tracks;
            let overlaps = seen[&first].iou(&seen[&second]).is_ok_and(|iou| iou > cfg.same_mask_iou);
            if overlaps && !tracks[first].is_apart(&tracks[second]) {
                let right = |object: usize| {
                    let track = &tracks[object];
                    (track.drawn().is_some(), track.hits.contains_key(&position))
                };
                doubled.insert(if right(second) > right(first) { first } else { second });
            }
        }
    }
    for object in objects {
        let track = &mut followed.tracks[object];
        match track.doubled {
            _ if !doubled.contains(&object) => track.doubled = None,
            None => track.doubled = Some(position),
            Some(since) => {
                track.masks.split_off(&since);
                track.hits.split_off(&since);
                track.looks.split_off(&since);
                track.is_living = false;
                session.remove(object as u32);
                seen.remove(&object);
            }
        }
    }
}

/// Opens a track for a box, unless its mask is that of a track that lives.
fn open(
    followed: &mut Followed,
    position: usize,
    seen: &mut BTreeMap<usize, Mask>,
    found: Detection,
    session: &mut dyn Tracking,
    cfg: &CorrectedConfig,
) -> Result<(), MaskletsFailure> {
    let object = followed.tracks.len();
    let mask = at(PerceptionStage::Tracker, position, session.add(object as u32, position, found.area))?;
    let is_known = seen.values().any(|known| known.iou(&mask).is_ok_and(|iou| iou > cfg.same_mask_iou));
    let is_drawn = found.expression.is_some();
    let mut track = Track {
        born: position,
        area: found.area,
        masks: BTreeMap::new(),
        hits: BTreeMap::new(),
        looks: BTreeMap::new(),
        doubled: None,
        is_living: !mask.is_empty() && (is_drawn || !is_known),
    };
    if track.is_living {
        let hit = Hit { score: found.score, noun: found.noun, expression: found.expression };
        track.masks.insert(position, Rle::from_mask(&mask));
        track.hits.insert(position, hit);
        seen.insert(object, mask);
    } else {
        session.remove(object as u32);
    }
    followed.tracks.push(track);
    let living = |followed: &Followed| followed.tracks.iter().filter(|track| track.is_living).count();
    if living(followed) > cfg.most_tracks {
        let last_seen = |object: &usize| followed.tracks[*object].masks.keys().next_back().copied();
        let living = (0..object).filter(|&object| followed.tracks[object].is_living);
        if let Some(oldest) = living.min_by_key(last_seen) {
            followed.tracks[oldest].is_living = false;
            session.remove(oldest as u32);
            seen.remove(&oldest);
        }
    }
    Ok(())
}

/// Follows each track back from where it began, until nothing is to be seen or another track is met on the same object.
pub(super) fn backward(
    followed: &mut Followed,
    perception: &Perception,
    cfg: &CorrectedConfig,
) -> Result<(), MaskletsFailure> {
    let alive = |track: &Track| track.born > 0 && !track.masks.is_empty();
    let births: BTreeSet<usize> =
        followed.tracks.iter().filter(|track| alive(track)).map(|track| track.born).collect();
    for born in births {
        let stage = PerceptionStage::Tracker;
        let mut session = at(stage, born, perception.tracker.begin(born, Way::Backward))?;
        // Frames without a mask, and the track met last with how often.
        let mut open: BTreeMap<usize, (usize, Option<(usize, usize)>)> = BTreeMap::new();
        for object in 0..followed.tracks.len() {
            if followed.tracks[object].born == born && !followed.tracks[object].masks.is_empty() {
                at(stage, born, session.add(object as u32, born, followed.tracks[object].area))?;
                open.insert(object, (0, None));
            }
        }
        at(stage, born, session.step(born))?;
        for position in (0..born).rev() {
            if open.is_empty() {
                break;
            }
            for (object, mask) in at(stage, position, session.step(position))? {
                let object = object as usize;
                let Some((missed, met)) = open.get_mut(&object) else { continue };
                if mask.is_empty() {
                    *missed += 1;
                } else {
                    *missed = 0;
                    let mask = Rle::from_mask(&mask);
                    let other = others_there(&followed.tracks, object, position, &mask);
                    *met = match (other, *met) {
                        (Some(other), Some((known, times))) if other == known => Some((other, times + 1)),
                        (Some(other), _) => Some((other, 1)),
                        (None, _) => None,
                    };
                    if other.is_none() {
                        followed.tracks[object].masks.insert(position, mask);
                    }
                }
                let meets = met.filter(|(_, times)| *times >= 2);
                if let Some((other, _)) = meets {
                    followed.met.push((other, object));
                }
                if *missed > cfg.patience || meets.is_some() {
                    open.remove(&object);
                    session.remove(object as u32);
                }
            }
        }
    }
    Ok(())
}

/// The track whose mask lies where this one does.
fn others_there(tracks: &[Track], object: usize, position: usize, mask: &Rle) -> Option<usize> {
    (0..tracks.len()).find(|&other| {
        let there = tracks[other].masks.get(&position);
        other != object
            && !tracks[object].is_apart(&tracks[other])
            && there.is_some_and(|there| there.iou(mask).is_ok_and(|iou| iou > 0.5))
    })
}
