//! Masks of both directions under one numbering.

use std::collections::BTreeMap;

use strefer_core::{Mask, Rle};

use crate::masklets::boxes::giou;
use crate::masklets::hungarian;
use crate::masklets::seam::Area;

/// Which forward box each backward box is: the one-to-one matching of most overlap. Nothing where an overlap is undefined.
pub fn matching(backward: &[Area], forward: &[Area]) -> Option<Vec<Option<usize>>> {
    let row = |area: &Area| forward.iter().map(|other| giou(*area, *other).map(|found| -found)).collect();
    Some(hungarian::assign(&backward.iter().map(row).collect::<Option<Vec<Vec<f64>>>>()?))
}

/// The objects of each frame in the backward numbering: frames before the start from the backward pass, which lists them from
/// the start back, the start and later ones from the forward pass.
pub fn merge<T: Clone>(
    start: usize,
    backward: &[Vec<T>],
    forward: &[Vec<T>],
    matching: &[Option<usize>],
) -> Vec<BTreeMap<usize, T>> {
    let earlier = backward[1..].iter().rev().map(|objects| objects.iter().cloned().enumerate().collect());
    debug_assert_eq!(backward.len(), start + 1);
    let later = forward.iter().map(|objects| {
        let renamed = matching.iter().enumerate();
        renamed.filter_map(|(own, other)| Some((own, objects.get((*other)?)?.clone()))).collect()
    });
    earlier.chain(later).collect()
}

/// Masks by object and frame; frames that do not show an object have none.
#[derive(Debug, Clone, Default)]
pub struct Tracks(Vec<BTreeMap<usize, Rle>>);

impl Tracks {
    /// Of merged frames.
    pub fn of(frames: &[BTreeMap<usize, Mask>]) -> Self {
        let mut tracks: Vec<BTreeMap<usize, Rle>> = Vec::new();
        for (position, objects) in frames.iter().enumerate() {
            for (&object, mask) in objects.iter().filter(|(_, mask)| !mask.is_empty()) {
                tracks.resize(tracks.len().max(object + 1), BTreeMap::new());
                tracks[object].insert(position, Rle::from_mask(mask));
            }
        }
        Self(tracks)
    }

    /// Where an object is.
    pub fn masks_of(&self, object: usize) -> BTreeMap<usize, Rle> {
        self.0.get(object).cloned().unwrap_or_default()
    }
}
