//! The default rules.
//!
//! One pass through the video, forward. Every few frames the detector looks again: what no living track explains opens a
//! new one, which is followed backwards, too. Two tracks on one object, and a track whose looks change, are cut. Pieces
//! that look alike and are never in two places at once are joined, so an object that left keeps its identity when it comes
//! back. The referee is asked about several frames; expressions and objects are then matched one to one, all at once, and
//! an expression that gets nothing costs no other anything.

mod assign;
mod cut;
mod follow;
mod join;
mod vote;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::records::{Masklets, MaskletsFailure};

use self::follow::Piece;
use super::record::{Draft, Recorder};
use super::request::{Sought, Timeline, query};
use super::seam::Perception;

/// How much is asked for, and what counts as the same.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct CorrectedConfig {
    /// The detector looks at every so many frames.
    pub every: usize,
    /// A box that fits better than this may open a track.
    pub open_score: f64,
    /// A box that fits better than this supports a track.
    pub keep_score: f64,
    /// Of two boxes that overlap more than this, the one that fits better counts.
    pub same_box_iou: f64,
    /// A box explains a track that it overlaps more than this.
    pub match_iou: f64,
    /// Two tracks whose masks overlap more than this are on one object.
    pub same_mask_iou: f64,
    /// Frames without a mask after which an object is followed backwards no longer.
    pub patience: usize,
    /// Most objects that are followed at once; the one not seen for longest makes room.
    pub most_tracks: usize,
    /// A track is cut where its looks before and after are less alike than this.
    pub cut_likeness: f64,
    /// Pieces are joined when their looks are more alike than this.
    pub join_likeness: f64,
    /// Frames that the referee is asked about, for each noun.
    pub vote_frames: usize,
    /// An object counts when the detector found it in this share of the frames that show it and that it looked at.
    pub least_support: f64,
    /// An expression gets no object of which less is certain.
    pub least_confidence: f64,
}

impl Default for CorrectedConfig {
    fn default() -> Self {
        Self {
            every: 2,
            open_score: 0.5,
            keep_score: 0.3,
            same_box_iou: 0.7,
            match_iou: 0.4,
            same_mask_iou: 0.8,
            patience: 4,
            most_tracks: 64,
            cut_likeness: 0.6,
            join_likeness: 0.8,
            vote_frames: 6,
            least_support: 0.3,
            least_confidence: 0.35,
        }
    }
}

impl CorrectedConfig {
    /// What makes no sense about it, if anything does.
    pub fn problem(&self) -> Option<String> {
        if self.every == 0 || self.most_tracks == 0 {
            return Some("every and most_tracks cannot be 0".to_owned());
        }
        let shares = [
            ("open_score", self.open_score),
            ("keep_score", self.keep_score),
            ("same_box_iou", self.same_box_iou),
            ("match_iou", self.match_iou),
            ("same_mask_iou", self.same_mask_iou),
            ("cut_likeness", self.cut_likeness),
            ("join_likeness", self.join_likeness),
            ("least_support", self.least_support),
            ("least_confidence", self.least_confidence),
        ];
        let wrong = shares.into_iter().find(|(_, share)| !(0.0..=1.0).contains(share));
        wrong.map(|(name, share)| format!("{name} is {share}, not between 0 and 1"))
    }
}

/// The masklets of a video, one an entity, or why there are none.
pub fn run(
    video_id: &str,
    sought: &[Sought],
    timeline: &Timeline,
    perception: &mut Perception,
    cfg: &CorrectedConfig,
) -> Masklets {
    let recorder = Recorder { video_id, timeline, rules: "corrected" };
    match find(sought, timeline, perception, cfg) {
        Ok((start, drafts)) => recorder.record(Some(start), drafts),
        Err(failure) => recorder.failed(failure),
    }
}

fn find(
    sought: &[Sought],
    timeline: &Timeline,
    perception: &mut Perception,
    cfg: &CorrectedConfig,
) -> Result<(usize, Vec<Draft>), MaskletsFailure> {
    let nouns = query(sought);
    if nouns.is_empty() {
        return Err(MaskletsFailure::NoEntity);
    }
    let mut followed = follow::forward(timeline.len(), &nouns, perception, cfg)?;
    if followed.tracks.is_empty() {
        return Err(MaskletsFailure::NoDetection { looked: followed.looked as u32 });
    }
    follow::backward(&mut followed, perception, cfg)?;
    let start = followed.tracks.iter().map(|track| track.born).min().unwrap_or(0);
    let (pieces, met) = cut::pieces(followed, nouns.len(), cfg);
    let objects = join::objects(&pieces, &met, cfg);
    let n_objects = objects.len();
    let drafts = assign::assign(sought, &nouns, pieces, objects, perception, cfg)?;
    if drafts.iter().all(|draft| draft.masks.is_empty()) {
        return Err(MaskletsFailure::NothingAssigned { tracks: n_objects as u32 });
    }
    Ok((start, drafts))
}

/// How alike two looks are, 0 to 1; nothing where one is not known.
fn likeness(a: Option<&Vec<f32>>, b: Option<&Vec<f32>>) -> Option<f64> {
    let product: f32 = a?.iter().zip(b?).map(|(a, b)| a * b).sum();
    Some(f64::from(product).clamp(0.0, 1.0))
}

/// The mean of looks, of length 1; nothing of none.
fn mean_look<'a>(looks: impl IntoIterator<Item = &'a Vec<f32>>) -> Option<Vec<f32>> {
    let mut looks = looks.into_iter();
    let mut sum = looks.next()?.clone();
    for look in looks {
        sum.iter_mut().zip(look).for_each(|(sum, value)| *sum += value);
    }
    let length = sum.iter().map(|value| value * value).sum::<f32>().sqrt();
    (length > 0.0).then(|| sum.into_iter().map(|value| value / length).collect())
}

/// Frames that show both pieces: whether they are two things in one of them, and how many show both at one place.
fn together(a: &Piece, b: &Piece) -> (bool, usize) {
    let (mut apart, mut shared) = (false, 0);
    for (position, mask) in &a.masks {
        if let Some(other) = b.masks.get(position) {
            // Masks of one video have one size.
            if mask.iou(other).is_ok_and(|iou| iou > 0.5) { shared += 1 } else { apart = true }
        }
    }
    (apart, shared)
}
