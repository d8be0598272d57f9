//! Samples for formats that count frames of the source video.

use strefer_core::Sample;
use strefer_core::masklet::{FrameKey, FrameMap, IndexSpace};

/// The same sample with masks keyed by source frames, as VideoRefer's records are; `None` when a key lies outside of
/// a video of `n_frames` frames. Two keys that stand for one frame keep the first mask.
pub fn source_keyed(sample: &Sample, n_frames: usize) -> Option<Sample> {
    let mut sample = sample.clone();
    for region in &mut sample.regions {
        let frame_of = |key: FrameKey| {
            let frame = region.index_space.source_frame(key, n_frames)?;
            u32::try_from(frame).ok().map(FrameKey)
        };
        let mut masks = FrameMap::new();
        for (key, mask) in &region.masks {
            masks.entry(frame_of(*key)?).or_insert_with(|| mask.clone());
        }
        region.fixed_key = match region.fixed_key {
            Some(key) => Some(frame_of(key)?),
            None => None,
        };
        region.masks = masks;
        region.index_space = IndexSpace::Source;
    }
    Some(sample)
}
