//! Which masks of each region the model gets, and where they lie in the stack of frames.

use strefer_core::sample::RegionMode;
use strefer_core::{FrameKey, FrameMask, IndexSpace, Mask, Rng, Sample};

use super::clip::{Clip, FrameStack};
use super::mode_of;
use crate::config::{Fit, VideoLlmConfig};
use crate::error::{Error, Result};
use crate::region::{MaskPlace, RegionRows, grid_mask};

/// Per region the keys that were chosen and their source frames, in the order of merging.
pub fn choose(sample: &Sample, clip: &Clip, rng: Option<&Rng>) -> Result<Vec<Vec<(FrameKey, usize)>>> {
    (0..sample.regions.len())
        .map(|index| {
            let region = &sample.regions[index];
            let shown: Vec<FrameKey> = region
                .masks
                .iter()
                .filter(|(_, mask)| matches!(mask, FrameMask::Rle(_) | FrameMask::Polygons(_)))
                .map(|(key, _)| *key)
                .collect();
            // An object that is visible nowhere still has its token: an empty mask on its first frame.
            let keys = if shown.is_empty() { region.masks.keys().take(1).copied().collect() } else { shown };
            let keys = match mode_of(sample, index) {
                RegionMode::Multi => of_shown(keys, region.index_space, clip),
                RegionMode::SingleFixed => region.fixed_key.into_iter().collect(),
                RegionMode::SingleRandom => {
                    let drawn = rng.map_or(0, |rng| rng.at(index as u64).below(keys.len().max(1)));
                    keys.get(drawn).copied().into_iter().collect()
                }
            };
            keys.into_iter()
                .map(|key| {
                    let frame =
                        clip.source_frame(region.index_space, key).ok_or_else(|| Error::MaskFrame {
                            id: sample.id.clone(),
                            region: index,
                            key: key.0,
                            video: clip.path().clone(),
                            n_frames: clip.facts().n_frames,
                        })?;
                    Ok((key, frame))
                })
                .collect()
        })
        .collect()
}

/// Of an object with masks in more frames than are shown, those in shown frames, if there are such.
fn of_shown(keys: Vec<FrameKey>, space: IndexSpace, clip: &Clip) -> Vec<FrameKey> {
    if keys.len() <= clip.shown().len() {
        return keys;
    }
    let is_shown =
        |key: &FrameKey| clip.source_frame(space, *key).is_some_and(|frame| clip.shown().contains(&frame));
    let shown: Vec<FrameKey> = keys.iter().copied().filter(is_shown).collect();
    if shown.is_empty() { keys } else { shown }
}

/// The mask of a region in one frame, in the video's pixels; `None` where it has none.
pub fn mask_at(sample: &Sample, index: usize, key: FrameKey, clip: &Clip) -> Result<Option<Mask>> {
    let (height, width) = (clip.facts().height, clip.facts().width);
    let mask = sample.regions[index].masks[&key].to_mask(Some((height, width)))?;
    match mask {
        Some(mask) if (mask.height(), mask.width()) != (height as usize, width as usize) => {
            Err(Error::MaskSize {
                id: sample.id.clone(),
                region: index,
                mask_height: mask.height(),
                mask_width: mask.width(),
                video: clip.path().clone(),
                height,
                width,
            })
        }
        mask => Ok(mask),
    }
}

/// Rows and grid masks of all regions.
pub fn rows(
    sample: &Sample,
    chosen: &[Vec<(FrameKey, usize)>],
    stack: &FrameStack,
    clip: &Clip,
    cfg: &VideoLlmConfig,
    blind: bool,
) -> Result<Vec<RegionRows>> {
    let side = cfg.grid_side();
    let outlines = cfg.region.is_some_and(|region| region.outline);
    let mut regions = Vec::with_capacity(chosen.len());
    for (index, frames) in chosen.iter().enumerate() {
        let mut region = RegionRows { rows: Vec::new(), grid_masks: Vec::new(), places: Vec::new() };
        for (key, frame) in frames {
            let time = clip.share_of(*frame);
            let (grid, place) = match mask_at(sample, index, *key, clip)?.filter(|_| !blind) {
                None => (vec![0.0; side * side], MaskPlace { time, ..MaskPlace::default() }),
                Some(mask) => {
                    let padded = cfg.frames.region_fit == Fit::Pad;
                    let mask = if padded { mask.pad_to_square() } else { mask };
                    let place = MaskPlace::new(&mask, time);
                    (grid_mask(&mask, side, side), if outlines { place.with_outline(&mask) } else { place })
                }
            };
            region.places.push(place);
            region.rows.push(stack.rows[frame]);
            region.grid_masks.push(grid);
        }
        regions.push(region);
    }
    Ok(regions)
}
