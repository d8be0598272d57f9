//! Masks that come in any order become masklets.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;

use indexmap::IndexMap;

use super::ReadOptions;
use crate::error::{Error, Result};
use crate::mask::{Mask, PixelBox};
use crate::masklet::{FrameKey, IndexSpace};
use crate::records::{Masklet, MaskletFrame, Masklets};
use crate::rle::Rle;
use crate::sample::Schema;

/// Something wrong about a record of a file.
pub(super) fn wrong(path: &Path, record: impl Display, reason: impl Display) -> Error {
    Error::Track { path: path.to_owned(), record: record.to_string(), reason: reason.to_string() }
}

/// What an object's entry says of a mask; none where nothing is to be seen.
pub(super) fn entry(mask: &Mask) -> Option<MaskletFrame> {
    entry_of(Rle::from_mask(mask))
}

/// The same of run lengths.
fn entry_of(rle: Rle) -> Option<MaskletFrame> {
    let PixelBox { x0, y0, x1, y1 } = rle.bbox()?;
    let area = rle.area();
    let bbox_xywh = [x0, y0, x1 - x0, y1 - y0].map(|length| length as u32);
    Some(MaskletFrame { rle: rle.into(), area, bbox_xywh })
}

/// The mask of an entry.
pub(super) fn mask_of(path: &Path, eid: &str, key: FrameKey, frame: &MaskletFrame) -> Result<Mask> {
    let rle = Rle::try_from(frame.rle.clone());
    Ok(rle.map_err(|error| wrong(path, format!("object {eid}, frame {key}"), error))?.to_mask())
}

/// Objects of one video.
#[derive(Debug)]
pub(super) struct Collector<'a> {
    path: &'a Path,
    objects: IndexMap<String, Object>,
    size: Option<(usize, usize)>,
}

#[derive(Debug, Default)]
struct Object {
    label: Option<String>,
    frames: BTreeMap<u32, MaskletFrame>,
}

impl<'a> Collector<'a> {
    /// Nothing yet.
    pub(super) fn new(path: &'a Path) -> Self {
        Self { path, objects: IndexMap::new(), size: None }
    }

    /// The file that is read.
    pub(super) fn path(&self) -> &'a Path {
        self.path
    }

    /// An object, which may be seen nowhere.
    pub(super) fn declare(&mut self, eid: &str, label: Option<&str>) {
        let object = self.objects.entry(eid.to_owned()).or_default();
        let label = label.filter(|label| *label != NO_LABEL).map(str::to_owned);
        object.label = object.label.take().or(label);
    }

    /// The mask of an object in a frame. `record` names it in messages.
    pub(super) fn add(&mut self, eid: &str, frame: u32, mask: &Mask, record: &str) -> Result<()> {
        self.add_rle(eid, frame, Rle::from_mask(mask), record)
    }

    /// The same of run lengths.
    pub(super) fn add_rle(&mut self, eid: &str, frame: u32, rle: Rle, record: &str) -> Result<()> {
        let size = (rle.height(), rle.width());
        let known = *self.size.get_or_insert(size);
        if known != size {
            let reason = format!("a mask of {size:?} (height, width) among masks of {known:?}");
            return Err(wrong(self.path, record, reason));
        }
        let Some(entry) = entry_of(rle) else { return Ok(()) };
        let object = self.objects.entry(eid.to_owned()).or_default();
        match object.frames.insert(frame, entry) {
            None => Ok(()),
            Some(_) => Err(wrong(self.path, record, format!("a second mask of {eid} in frame {frame}"))),
        }
    }

    /// Objects that are named by numbers come in the order of these.
    pub(super) fn sort(&mut self) {
        self.objects.sort_by(|a, _, b, _| a.len().cmp(&b.len()).then(a.cmp(b)));
    }

    /// The record. `n_frames`: the length of the video, where it is known.
    pub(super) fn finish(
        self,
        video_id: String,
        fps: Option<f64>,
        n_frames: Option<usize>,
    ) -> Result<Masklets> {
        let last = self.objects.values().filter_map(|object| object.frames.keys().next_back()).max();
        let shown = last.map_or(0, |last| *last as usize + 1);
        let n_frames = n_frames.unwrap_or(shown);
        if shown > n_frames {
            let reason = format!("a mask in frame {}, the video has {n_frames} frames", shown - 1);
            return Err(wrong(self.path, format!("video {video_id}"), reason));
        }
        if n_frames > MOST_FRAMES {
            return Err(wrong(self.path, format!("video {video_id}"), format!("{n_frames} frames")));
        }
        let frame_times_s = match fps {
            Some(fps) if fps.is_finite() && fps > 0.0 => {
                (0..n_frames).map(|frame| frame as f64 / fps).collect()
            }
            Some(fps) => {
                return Err(wrong(self.path, format!("video {video_id}"), format!("{fps} frames a second")));
            }
            None => Vec::new(),
        };
        let object = |(eid, object): (String, Object)| Masklet {
            eid,
            detector_label: object.label,
            detector_score: None,
            box_start_xyxy: None,
            assign: None,
            confidence: None,
            gaps: Vec::new(),
            frames: object.frames.into_iter().map(|(frame, entry)| (FrameKey(frame), entry)).collect(),
        };
        Ok(Masklets {
            schema: Schema::V1,
            video_id,
            provenance: None,
            index_space: IndexSpace::Source,
            frame_times_s,
            start_index: None,
            n_read: None,
            failure: None,
            objects: self.objects.into_iter().map(object).collect(),
        })
    }
}

/// More frames (three days at 60 a second) are no video but a wrong number.
pub(super) const MOST_FRAMES: usize = 1 << 24;

/// What an object without a label is called where there must be one.
pub(super) const NO_LABEL: &str = "object";

/// The name of a video: as given, or that of its file or folder.
pub(super) fn video_id(path: &Path, options: &ReadOptions) -> String {
    let own = || path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    options.video_id.clone().unwrap_or_else(own)
}

/// What is to be written, checked: keys count source frames, and all masks have one size. Gives height and width; none
/// where no object is seen.
pub(super) fn size_of(path: &Path, masklets: &Masklets) -> Result<Option<(u32, u32)>> {
    let video = || format!("video {}", masklets.video_id);
    if masklets.index_space != IndexSpace::Source {
        return Err(wrong(path, video(), "its keys are positions in a sample, not source frames"));
    }
    let mut size = None;
    for object in &masklets.objects {
        for (key, frame) in &object.frames {
            let [height, width] = frame.rle.size;
            let known = *size.get_or_insert((height, width));
            if known != (height, width) {
                let reason =
                    format!("a mask of {:?} (height, width) among masks of {known:?}", (height, width));
                return Err(wrong(path, format!("object {}, frame {key}", object.eid), reason));
            }
        }
    }
    Ok(size)
}

/// As [`size_of`], for formats that cannot do without a size.
pub(super) fn known_size(path: &Path, masklets: &Masklets) -> Result<(u32, u32)> {
    let none = || {
        wrong(
            path,
            format!("video {}", masklets.video_id),
            "no object is seen, so the frames' size is unknown",
        )
    };
    size_of(path, masklets)?.ok_or_else(none)
}

/// The number of frames: of times, or up to the last that shows an object.
pub(super) fn frame_count(masklets: &Masklets) -> usize {
    let keys = masklets.objects.iter().flat_map(|object| object.frames.keys());
    let shown = keys.map(|key| key.0 as usize + 1).max().unwrap_or(0);
    shown.max(masklets.frame_times_s.len())
}

/// Frames a second, where times are known.
pub(super) fn frames_a_second(masklets: &Masklets) -> Option<f64> {
    let (first, last) = (masklets.frame_times_s.first()?, masklets.frame_times_s.last()?);
    let fps = (masklets.frame_times_s.len() - 1) as f64 / (last - first);
    (fps.is_finite() && fps > 0.0).then_some(fps)
}
