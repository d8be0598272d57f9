//! Ways to put an item: as it is, pointed at in the pixels, or changed so that an answer shows whether the model looked.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};
use strefer_core::sample::Region;
use strefer_core::{FrameMask, Mask, Sample};
use strefer_model::{FrameOrder, VisualPrompt};

use super::benchmark::Benchmark;
use super::item::Item;
use crate::error::{Error, Result};

/// How an item is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum View {
    /// As it is.
    Real,
    /// Grey frames and empty masks.
    NoVideo,
    /// The masks of other objects of the same video.
    OtherMask,
    /// The masks moved by half the picture to the side and down, over its border to the other side.
    ShiftedMask,
    /// Other moments in the question; where it names none, frames in a drawn order.
    ShuffledTimes,
    /// Frames from the last to the first.
    Reversed,
    /// Objects outlined and numbered in the frames.
    Som,
    /// Frames numbered in the frames.
    Numberit,
}

/// How frames are shown in a view.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Look {
    /// Everything grey and every mask empty.
    pub blind: bool,
    /// The order of the frames.
    pub order: FrameOrder,
    /// What is drawn in place of what the run draws.
    pub draw: Option<VisualPrompt>,
}

impl View {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 8] = [
        Self::Real,
        Self::NoVideo,
        Self::OtherMask,
        Self::ShiftedMask,
        Self::ShuffledTimes,
        Self::Reversed,
        Self::Som,
        Self::Numberit,
    ];

    /// Probes of questions about masked objects.
    pub(super) const OF_MASKS: [Self; 4] =
        [Self::NoVideo, Self::OtherMask, Self::ShiftedMask, Self::Reversed];

    /// Probes of questions about moments.
    pub(super) const OF_TIMES: [Self; 3] = [Self::NoVideo, Self::ShuffledTimes, Self::Reversed];

    /// Probes of questions about masked objects at moments.
    pub(super) const OF_MASKS_AND_TIMES: [Self; 5] =
        [Self::NoVideo, Self::OtherMask, Self::ShiftedMask, Self::ShuffledTimes, Self::Reversed];

    /// Probes of questions about what happens, and in which order.
    pub(super) const OF_ORDER: [Self; 3] = [Self::NoVideo, Self::Reversed, Self::ShuffledTimes];

    /// As it is called in files and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Real => "real",
            Self::NoVideo => "no_video",
            Self::OtherMask => "other_mask",
            Self::ShiftedMask => "shifted_mask",
            Self::ShuffledTimes => "shuffled_times",
            Self::Reversed => "reversed",
            Self::Som => "som",
            Self::Numberit => "numberit",
        }
    }

    /// How frames are shown; their order in [`View::ShuffledTimes`] depends on the question and is not told here.
    pub fn look(self) -> Look {
        let look = Look::default();
        match self {
            Self::NoVideo => Look { blind: true, ..look },
            Self::Reversed => Look { order: FrameOrder::Reversed, ..look },
            Self::Som => Look { draw: Some(VisualPrompt::Som), ..look },
            Self::Numberit => Look { draw: Some(VisualPrompt::Numberit), ..look },
            _ => look,
        }
    }
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for View {
    type Err = serde::de::value::Error;

    fn from_str(text: &str) -> std::result::Result<Self, Self::Err> {
        Self::deserialize(text.replace('-', "_").into_deserializer())
    }
}

/// An item as it is put in a view.
#[derive(Debug, Clone)]
pub struct Put {
    /// What is shown and asked.
    pub sample: Sample,
    /// How frames are shown.
    pub look: Look,
}

/// The items of a benchmark in any view.
pub struct Views<'a> {
    items: &'a [Item],
    /// By video, the masked objects that its questions are about.
    objects: HashMap<&'a str, Vec<&'a Region>>,
    seed: u64,
}

impl<'a> Views<'a> {
    /// Of a benchmark; `seed` is for what is drawn.
    pub fn new(benchmark: &'a dyn Benchmark, seed: u64) -> Self {
        let items = benchmark.items();
        let mut objects: HashMap<&str, Vec<&Region>> = HashMap::new();
        for item in items {
            let known = objects.entry(&item.sample.video_id).or_default();
            for region in &item.sample.regions {
                if !known.iter().any(|other| other.masks == region.masks) {
                    known.push(region);
                }
            }
        }
        Self { items, objects, seed }
    }

    /// Whether the item at a position can be put in a view.
    pub fn fits(&self, view: View, at: usize) -> bool {
        let sample = &self.items[at].sample;
        match view {
            View::OtherMask => self.other_objects(at).is_some(),
            View::ShiftedMask | View::Som => !sample.regions.is_empty(),
            View::ShuffledTimes => sample.times.is_empty() || self.other_times(at).is_some(),
            View::Real | View::NoVideo | View::Reversed | View::Numberit => true,
        }
    }

    /// The item at a position in a view that it [fits](Self::fits); otherwise as it is.
    ///
    /// # Errors
    /// A mask that has to be moved and cannot be read, words that depend on the video where that cannot be opened.
    pub fn put(&self, view: View, at: usize) -> Result<Put> {
        let item = &self.items[at];
        let mut put = Put { sample: item.sample.clone(), look: view.look() };
        if let Some(late) = &item.late {
            put.sample.conversations[0].text = late.turn()?;
        }
        match view {
            View::OtherMask => {
                if let Some((objects, _)) = self.other_objects(at) {
                    for (region, other) in put.sample.regions.iter_mut().zip(objects) {
                        *region = Region { rid: region.rid, ..other.clone() };
                    }
                }
            }
            View::ShiftedMask => {
                for region in &mut put.sample.regions {
                    *region = shifted(region).map_err(|source| Error::Mask {
                        id: item.id().to_owned(),
                        region: region.rid,
                        source,
                    })?;
                }
            }
            View::ShuffledTimes => match self.other_times(at) {
                Some((times_s, _)) => {
                    for (time, s) in put.sample.times.iter_mut().zip(times_s) {
                        time.s = s;
                    }
                }
                None => put.look.order = FrameOrder::Shuffled(self.seed),
            },
            View::Real | View::NoVideo | View::Reversed | View::Som | View::Numberit => {}
        }
        Ok(put)
    }

    /// The position of the offered answer that is right for what a view puts in, where that is known.
    pub fn other_answer(&self, view: View, at: usize) -> Option<usize> {
        match view {
            View::OtherMask => self.other_objects(at)?.1,
            View::ShuffledTimes => self.other_times(at)?.1,
            _ => None,
        }
    }

    /// Objects to be put in for those of an item: its own others, or what other questions about its video are about.
    fn other_objects(&self, at: usize) -> Option<(Vec<&'a Region>, Option<usize>)> {
        let item = &self.items[at];
        let own = &item.sample.regions;
        if own.is_empty() {
            return None;
        }
        let known = item.other.as_ref().and_then(|other| Some((other.regions.as_ref()?, other.answer)));
        if let Some((regions, answer)) = known {
            return (regions.len() == own.len()).then(|| (regions.iter().collect(), answer));
        }
        let objects = self.objects[item.sample.video_id.as_str()].iter().copied();
        let others: Vec<&Region> =
            objects.filter(|object| own.iter().all(|region| region.masks != object.masks)).collect();
        let chosen: Vec<&Region> = others.iter().copied().cycle().take(own.len()).collect();
        (!others.is_empty()).then_some((chosen, None))
    }

    /// Moments to be put in for those of an item: its own others, or those of the next question that names other ones.
    fn other_times(&self, at: usize) -> Option<(Vec<f64>, Option<usize>)> {
        let item = &self.items[at];
        if item.sample.times.is_empty() {
            return None;
        }
        let known = item.other.as_ref().and_then(|other| Some((other.times_s.clone()?, other.answer)));
        if known.is_some() {
            return known;
        }
        let others = self.items.iter().cycle().skip(at + 1).take(self.items.len());
        let mut alike = others.filter(|other| other.sample.times.len() == item.sample.times.len());
        let next = alike.find(|other| other.sample.times != item.sample.times)?;
        Some((next.sample.times.iter().map(|time| time.s).collect(), None))
    }
}

/// A region whose masks are moved by half a picture in both directions.
fn shifted(region: &Region) -> strefer_core::Result<Region> {
    let mut moved = region.clone();
    for mask in moved.masks.values_mut() {
        let size = mask.stated_size();
        if let Some(whole) = mask.to_mask(size)? {
            let (height, width) = (whole.height(), whole.width());
            let from = |y: usize, x: usize| whole.get((y + height / 2) % height, (x + width / 2) % width);
            *mask = FrameMask::from(&Mask::from_fn(height, width, from));
        }
    }
    Ok(moved)
}
