//! Objects as VideoRefer annotates them.

use serde_json::{Map, Value, json};
use strefer_core::masklet::FrameKey;
use strefer_core::sample::Region;
use strefer_core::{FrameMask, IndexSpace, Rle, RleRecord};

use crate::error::{Error, Result};

fn area(mask: &FrameMask) -> u64 {
    match mask {
        FrameMask::Rle(record) => Rle::try_from(record.clone()).map_or(0, |rle| rle.area()),
        _ => 0,
    }
}

/// The frame that shows an object largest, the earliest of several.
pub(super) fn largest(region: &Region) -> Option<FrameKey> {
    let seen = region.masks.iter().max_by_key(|(key, mask)| (area(mask), std::cmp::Reverse(**key)));
    seen.map(|(key, _)| *key)
}

/// One object: frames of the source to compressed run lengths.
///
/// # Errors
/// Masks that are not keyed by frames of the source, or are no run lengths.
pub(super) fn object(id: &str, region: &Region) -> Result<Value> {
    let refuse = |reason: &str| Error::Counterpart { id: id.to_owned(), reason: reason.to_owned() };
    if region.index_space != IndexSpace::Source {
        return Err(refuse("its masks do not count frames of the source"));
    }
    let mut frames = Map::new();
    for (key, mask) in &region.masks {
        let FrameMask::Rle(record) = mask else { return Err(refuse("a mask of it is no run lengths")) };
        let rle = Rle::try_from(record.clone())?;
        frames.insert(key.to_string(), json!({ "segmentation": RleRecord::from(rle) }));
    }
    Ok(frames.into())
}
