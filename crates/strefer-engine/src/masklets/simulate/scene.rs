//! What is known about a video, laid out by frames.

use strefer_core::{FrameKey, Mask};

use crate::masklets::boxes;
use crate::masklets::request::{Sought, query};
use crate::masklets::seam::Area;
use crate::truth::TruthVideo;

/// Objects smaller than this share of the picture are seen by nobody.
const SMALLEST: f64 = 0.001;

/// The objects of a video on each frame.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Keys of the frames.
    pub keys: Vec<FrameKey>,
    /// Height and width.
    pub size: (usize, usize),
    /// By frame, then by entity; nothing where an entity is not to be seen.
    pub masks: Vec<Vec<Option<Mask>>>,
    /// By frame, then by entity.
    pub areas: Vec<Vec<Option<Area>>>,
    /// The largest area of each entity, in pixels.
    pub largest: Vec<usize>,
    /// The expression of each entity.
    pub expressions: Vec<String>,
    /// The broad noun of each entity, as a position in the nouns of the query.
    pub nouns: Vec<usize>,
    /// The nouns of the query.
    pub query: Vec<String>,
}

impl Scene {
    /// Of the frames for which times are known.
    pub fn new(truth: &TruthVideo) -> Self {
        let sought: Vec<Sought> = truth.stages().entities.items.iter().map(Sought::from).collect();
        let query = query(&sought);
        let keys: Vec<FrameKey> = (0..truth.frame_times_s.len() as u32).map(FrameKey).collect();
        let (height, width) = (truth.video.height as usize, truth.video.width as usize);
        let least = (SMALLEST * (height * width) as f64).max(1.0) as usize;
        let mask = |entity: usize, key: &FrameKey| {
            let mask = truth.entities[entity].masks.get(key)?.to_mask();
            (mask.area() >= least && (mask.height(), mask.width()) == (height, width)).then_some(mask)
        };
        let masks: Vec<Vec<Option<Mask>>> =
            keys.iter().map(|key| (0..sought.len()).map(|entity| mask(entity, key)).collect()).collect();
        let area = |mask: &Option<Mask>| mask.as_ref().map(boxes::around);
        let noun = |sought: &Sought| query.iter().position(|noun| *noun == sought.noun.trim()).unwrap_or(0);
        Self {
            areas: masks.iter().map(|frame| frame.iter().map(area).collect()).collect(),
            largest: (0..sought.len())
                .map(|entity| {
                    masks.iter().filter_map(|frame| frame[entity].as_ref()).map(Mask::area).max().unwrap_or(1)
                })
                .collect(),
            nouns: sought.iter().map(noun).collect(),
            expressions: sought.into_iter().map(|sought| sought.expression).collect(),
            size: (height, width),
            keys,
            masks,
            query,
        }
    }

    /// The entity whose box overlaps one most, where the overlap is more than `least`.
    pub fn under(&self, position: usize, area: Area, least: f64) -> Option<(usize, f64)> {
        let overlap = |(entity, own): (usize, &Option<Area>)| Some((entity, boxes::iou((*own)?, area)));
        let overlaps = self.areas.get(position)?.iter().enumerate().filter_map(overlap);
        overlaps.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, overlap)| *overlap > least)
    }

    /// The entity that a mask shows most of, where that is a third of the mask or more.
    pub fn inside(&self, position: usize, mask: &Mask) -> Option<usize> {
        let shared = |(entity, own): (usize, &Option<Mask>)| {
            let shared = own.as_ref()?.intersection(mask).ok()?.area();
            (3 * shared >= mask.area() && shared > 0).then_some((entity, shared))
        };
        let found = self.masks.get(position)?.iter().enumerate().filter_map(shared);
        found.max_by_key(|(_, shared)| *shared).map(|(entity, _)| entity)
    }

    /// Entities of the same noun that can be seen on a frame.
    pub fn look_alikes(&self, entity: usize, position: usize) -> Vec<usize> {
        let alike = |other: &usize| {
            *other != entity
                && self.nouns[*other] == self.nouns[entity]
                && self.masks[position][*other].is_some()
        };
        (0..self.nouns.len()).filter(alike).collect()
    }
}
