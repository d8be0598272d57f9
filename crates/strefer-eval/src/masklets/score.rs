//! Records scored beside true ones.

use std::collections::BTreeMap;

use strefer_core::records::{Masklet, MaskletsFailure};
use strefer_core::{FrameKey, IndexSpace, Rle};

use super::boundary::f_measure;
use super::identity::Shown;
use super::record::VideoMasklets;
use crate::coverage::{Coverage, Unmatched, pair};
use crate::error::{Error, Result};

/// An entity that is not to be seen in this share of the frames, from the first on, comes late.
const LATE: f64 = 0.1;

/// An entity that is away for this many frames in a row returns.
const AWAY: u32 = 2;

/// When an entity is to be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Presence {
    /// Not from the beginning.
    pub late: bool,
    /// Away for a while.
    pub returning: bool,
}

/// How well one entity was found.
#[derive(Debug, Clone, PartialEq)]
pub struct ObjectScore {
    /// Its name.
    pub eid: String,
    /// When it is to be seen.
    pub presence: Presence,
    /// Mean overlap over the frames that show it in truth or in the record.
    pub j: f64,
    /// Mean agreement of boundaries over the same frames.
    pub f: f64,
    /// Whether it has a masklet.
    pub covered: bool,
    /// Whether the masklet shows something else, if there is one.
    pub wrong: Option<bool>,
    /// How often the masklet goes over to another entity, if there is one.
    pub switches: Option<usize>,
    /// Frames from the first that shows it to the first that has it; all of its time where none does.
    pub delay: u32,
}

/// How well the entities of one video were found.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoScore {
    /// The video.
    pub video_id: String,
    /// One an entity that is to be seen.
    pub objects: Vec<ObjectScore>,
    /// Why there is nothing.
    pub failure: Option<MaskletsFailure>,
}

/// How well the entities of all videos were found.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// Which videos are scored.
    pub coverage: Coverage,
    /// In the order of the true records.
    pub videos: Vec<VideoScore>,
}

/// Scores records beside true ones; entities are matched by name.
///
/// # Errors
/// Videos that are missing or too much and not let pass, masks of another size than the true ones, records whose keys do
/// not count the same.
pub fn score(truth: &[VideoMasklets], found: &[VideoMasklets], unmatched: Unmatched) -> Result<Scores> {
    let paired = pair(truth, found, unmatched)?;
    let videos = paired.pairs.into_iter().map(|(truth, found)| score_video(truth, found));
    Ok(Scores { videos: videos.collect::<Result<_>>()?, coverage: paired.coverage })
}

fn masks(masklet: &Masklet) -> strefer_core::Result<BTreeMap<FrameKey, Rle>> {
    let masks = masklet.frames.iter().filter(|(_, frame)| frame.area > 0);
    masks.map(|(key, frame)| Ok((*key, Rle::try_from(frame.rle.clone())?))).collect()
}

fn score_video(truth: &VideoMasklets, found: &VideoMasklets) -> Result<VideoScore> {
    let (truth, found) = (&truth.0, &found.0);
    let bad = |reason: String| Error::Masklets { video_id: truth.video_id.clone(), reason };
    let read = |masklet: &Masklet| masks(masklet).map_err(|error| bad(error.to_string()));
    if found.failure.is_none() && found.index_space != truth.index_space {
        return Err(bad(format!(
            "its frames are {:?}, those of the true masklets {:?}",
            found.index_space, truth.index_space
        )));
    }
    let known: Vec<BTreeMap<FrameKey, Rle>> = truth.objects.iter().map(read).collect::<Result<_>>()?;
    let last = known.iter().filter_map(|masks| masks.keys().next_back()).max().map_or(0, |key| key.0);
    let n_frames = match truth.index_space {
        IndexSpace::Uniform { n, .. } => n,
        IndexSpace::Source => last + 1,
    };
    let mut objects = Vec::new();
    for (entity, object) in truth.objects.iter().enumerate().filter(|(entity, _)| !known[*entity].is_empty())
    {
        let masklet = found.objects.iter().find(|masklet| masklet.eid == object.eid);
        let own = masklet.map(read).transpose()?.unwrap_or_default();
        let one = score_object(&object.eid, entity, &known, &own, n_frames);
        objects.push(one.map_err(|error| bad(format!("entity {:?}: {error}", object.eid)))?);
    }
    Ok(VideoScore { video_id: truth.video_id.clone(), objects, failure: found.failure.clone() })
}

fn score_object(
    eid: &str,
    entity: usize,
    known: &[BTreeMap<FrameKey, Rle>],
    found: &BTreeMap<FrameKey, Rle>,
    n_frames: u32,
) -> strefer_core::Result<ObjectScore> {
    let truth = &known[entity];
    let (mut j, mut f) = (0.0, 0.0);
    let frames: std::collections::BTreeSet<&FrameKey> = truth.keys().chain(found.keys()).collect();
    for key in &frames {
        if let (Some(own), Some(true_mask)) = (found.get(*key), truth.get(*key)) {
            j += own.iou(true_mask)?;
            f += f_measure(&own.to_mask(), &true_mask.to_mask());
        }
    }
    let shown = Shown::new(found, known)?;
    let keys: Vec<u32> = truth.keys().map(|key| key.0).collect();
    let (first, last) = (keys[0], keys[keys.len() - 1]);
    let count = frames.len() as f64;
    Ok(ObjectScore {
        eid: eid.to_owned(),
        presence: Presence {
            late: f64::from(first) >= LATE * f64::from(n_frames) && first > 0,
            returning: keys.windows(2).any(|pair| pair[1] - pair[0] > AWAY),
        },
        j: j / count,
        f: f / count,
        covered: !found.is_empty(),
        wrong: (!found.is_empty()).then(|| shown.is_other(entity)),
        switches: (!found.is_empty()).then(|| shown.switches()),
        delay: shown.first(entity).map_or(last + 1 - first, |key| key.0.saturating_sub(first)),
    })
}
