//! Pixels that several objects have, for files in which a pixel has one.

use std::collections::BTreeSet;
use std::path::Path;

use super::collect::{entry, mask_of};
use crate::FrameKey;
use crate::error::Result;
use crate::mask::Mask;
use crate::records::Masklets;

/// The same masklets with every pixel in one mask at most: where objects overlap in a frame it is the smaller one's there, which
/// usually is in front; of equally large ones it is the earlier one's. An object that is covered whole is not seen in that frame.
///
/// # Errors
/// A mask that cannot be read, named by `path`, object and frame, or one of another size than others of its frame.
pub fn smaller_in_front(path: &Path, masklets: &Masklets) -> Result<Masklets> {
    let mut parted = masklets.clone();
    let keys: BTreeSet<FrameKey> =
        masklets.objects.iter().flat_map(|object| object.frames.keys().copied()).collect();
    for key in keys {
        let mut masks: Vec<(usize, Mask)> = Vec::new();
        for (at, object) in masklets.objects.iter().enumerate() {
            if let Some(frame) = object.frames.get(&key) {
                masks.push((at, mask_of(path, &object.eid, key, frame)?));
            }
        }
        masks.sort_by_key(|(at, mask)| (mask.area(), *at));
        let Some((_, first)) = masks.first() else { continue };
        let mut taken = Mask::zeros(first.height(), first.width());
        for (at, mask) in masks {
            let shared = mask.intersection(&taken)?;
            taken = taken.union(&mask)?;
            if shared.is_empty() {
                continue;
            }
            let own = Mask::from_fn(mask.height(), mask.width(), |y, x| mask.get(y, x) && !shared.get(y, x));
            match entry(&own) {
                Some(frame) => parted.objects[at].frames.insert(key, frame),
                None => parted.objects[at].frames.shift_remove(&key),
            };
        }
    }
    Ok(parted)
}
