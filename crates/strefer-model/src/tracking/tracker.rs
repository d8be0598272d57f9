//! Following through the frames that a model is shown.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use image::RgbImage;
use strefer_core::Mask;
use strefer_video::VideoSource;
use strefer_vision::sam2::{FrameMasks, Pass, Sam2Video, Session, SessionOptions, VideoPrompt, pixels};

use super::prompt;
use crate::error::{Error, Result};
use crate::question::Mark;

/// SAM 2.1, ready to follow what is pointed at.
#[derive(Debug)]
pub struct Tracker {
    sam: Sam2Video,
    device: Device,
}

/// Where one object is.
#[derive(Debug, Clone, PartialEq)]
pub struct Tracked {
    /// The frame in which it was pointed at.
    pub marked: usize,
    /// How many frames were looked at.
    pub frames: usize,
    /// Its mask in each of these frames in which it is to be seen, by the frame's number.
    pub masks: BTreeMap<usize, Mask>,
}

impl Tracked {
    /// The smallest and the largest share of the frame that it covers where it is to be seen.
    pub fn shares(&self) -> (f64, f64) {
        let share = |mask: &Mask| mask.area() as f64 / (mask.height() * mask.width()).max(1) as f64;
        let shares = self.masks.values().map(share);
        shares.fold((1.0, 0.0), |(least, most), share| (share.min(least), share.max(most)))
    }
}

/// An object to be followed: which of the marks, in which frame, and what is said there.
struct Wanted {
    mark: usize,
    frame: usize,
    prompt: VideoPrompt,
}

impl Tracker {
    /// Opens a folder or file of SAM 2.1, in the original layout or that of transformers.
    ///
    /// # Errors
    /// Files that are missing or are no SAM 2.1.
    pub fn open(path: &Path, device: &Device, dtype: DType) -> Result<Self> {
        Ok(Self::new(Sam2Video::open(path, device, dtype)?, device))
    }

    /// A tracker around a model that lies on `device`.
    pub fn new(sam: Sam2Video, device: &Device) -> Self {
        Self { sam, device: device.clone() }
    }

    /// Follows every mark that is given in one frame through `shown` frames, from the earliest mark to the end and back to the
    /// beginning. Frames are decoded one at a time, and none is kept. Marks with masks in several frames need no following
    /// and have no result. `id` names the question in messages; `see` gets the number of frames done and of all.
    ///
    /// # Errors
    /// A time outside the video, what marks nothing of its frame, an object that SAM sees nowhere.
    pub fn track(
        &self,
        id: &str,
        source: &VideoSource,
        marks: &[Mark],
        shown: &[usize],
        mut see: impl FnMut(usize, usize),
    ) -> Result<Vec<Option<Tracked>>> {
        let wanted = wanted(id, source, marks)?;
        let mut frames: Vec<usize> =
            wanted.iter().map(|one| one.frame).chain(shown.iter().copied()).collect();
        frames.sort_unstable();
        frames.dedup();
        let mut found: Vec<Option<Tracked>> = marks.iter().map(|_| None).collect();
        let Some(first) = wanted.iter().map(|one| one.frame).min() else { return Ok(found) };
        for one in &wanted {
            found[one.mark] =
                Some(Tracked { marked: one.frame, frames: frames.len(), masks: BTreeMap::new() });
        }
        let (height, width) = size(source);
        let mut session = Session::new((height, width), Some(frames.len()), SessionOptions::default());
        let place = |frame: usize| frames.partition_point(|other| *other < frame);
        let pixels = |at: usize| self.pixels(source, frames[at]).map(Some);
        let mut by_frame: BTreeMap<usize, Vec<&Wanted>> = BTreeMap::new();
        for one in &wanted {
            by_frame.entry(one.frame).or_default().push(one);
        }
        for (frame, wanted) in by_frame {
            let features = self.sam.image().encode(&self.pixels(source, frame)?)?;
            for one in wanted {
                self.sam.prompt(&mut session, place(frame), &features, one.mark as u64, &one.prompt)?;
            }
        }
        // Both passes look at the frame that they begin at.
        let (total, mut done) = (frames.len() + usize::from(place(first) > 0), 0);
        for pass in [Pass::forward(), Pass::backward(place(first))] {
            for masks in self.sam.propagate(&mut session, pass, pixels)? {
                keep(&mut found, &masks?, &frames, (height, width))?;
                done += 1;
                see(done, total);
            }
        }
        match found.iter().position(|one| one.as_ref().is_some_and(|one| one.masks.is_empty())) {
            None => Ok(found),
            Some(mark) => Err(Error::Grounding {
                subject: format!("question {id}, mark {mark}"),
                reason: format!("the segmenter sees no object there, in none of {} frames", frames.len()),
            }),
        }
    }

    fn pixels(&self, source: &VideoSource, frame: usize) -> Result<Tensor> {
        let image: RgbImage = source.frames_at_indices(&[frame])?.swap_remove(0).image;
        let (width, height) = image.dimensions();
        let side = self.sam.image().image_size();
        Ok(pixels(image.as_raw(), height as usize, width as usize, side)?.to_device(&self.device)?)
    }
}

/// Height and width of a video.
fn size(source: &VideoSource) -> (usize, usize) {
    (source.info().height as usize, source.info().width as usize)
}

fn wanted(id: &str, source: &VideoSource, marks: &[Mark]) -> Result<Vec<Wanted>> {
    let info = source.info();
    let (height, width) = size(source);
    let mut wanted = Vec::new();
    for (mark, given) in marks.iter().enumerate() {
        let Mark::Once { shape, at_s } = given else { continue };
        let frame = info.index_at(*at_s).ok_or_else(|| {
            let end_s = info.times_s.last().copied().unwrap_or(0.0);
            Error::Video(strefer_video::Error::NoFrame { path: source.path().to_owned(), at_s: *at_s, end_s })
        })?;
        let prompt =
            prompt(shape, height, width).map_err(|source| Error::Mark { id: id.to_owned(), mark, source })?;
        wanted.push(Wanted { mark, frame, prompt });
    }
    Ok(wanted)
}

fn keep(
    found: &mut [Option<Tracked>],
    masks: &FrameMasks,
    frames: &[usize],
    (height, width): (usize, usize),
) -> Result<()> {
    for object in &masks.objects {
        let mask = object.mask(height, width)?;
        if let (Some(Some(tracked)), false) = (found.get_mut(object.object_id as usize), mask.is_empty()) {
            tracked.masks.insert(frames[masks.frame_idx], mask);
        }
    }
    Ok(())
}
