//! Which entity a masklet shows.

use std::collections::BTreeMap;

use strefer_core::{FrameKey, Rle};

/// A masklet shows an entity on a frame where they overlap at least this much.
const SHOWS: f64 = 0.5;

/// What a masklet shows, frame by frame.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Shown {
    /// The entity on each frame that shows one.
    by_frame: BTreeMap<FrameKey, usize>,
}

impl Shown {
    /// Masks of the masklet beside those of all entities; all of one size.
    pub fn new(
        found: &BTreeMap<FrameKey, Rle>,
        truth: &[BTreeMap<FrameKey, Rle>],
    ) -> strefer_core::Result<Self> {
        let mut by_frame = BTreeMap::new();
        for (key, mask) in found {
            let mut best: Option<(usize, f64)> = None;
            for (entity, masks) in truth.iter().enumerate() {
                let Some(known) = masks.get(key) else { continue };
                let overlap = mask.iou(known)?;
                if overlap >= SHOWS && best.is_none_or(|(_, most)| overlap > most) {
                    best = Some((entity, overlap));
                }
            }
            by_frame.extend(best.map(|(entity, _)| (*key, entity)));
        }
        Ok(Self { by_frame })
    }

    /// How often the entity changes from one frame that shows one to the next.
    pub fn switches(&self) -> usize {
        let entities: Vec<usize> = self.by_frame.values().copied().collect();
        entities.windows(2).filter(|pair| pair[0] != pair[1]).count()
    }

    /// Whether it shows another entity on more frames than this one, or this one on none.
    pub fn is_other(&self, entity: usize) -> bool {
        let mut counts: BTreeMap<usize, usize> = BTreeMap::new();
        for shown in self.by_frame.values() {
            *counts.entry(*shown).or_default() += 1;
        }
        let own = counts.remove(&entity).unwrap_or(0);
        own == 0 || counts.values().any(|other| *other > own)
    }

    /// The first frame that shows an entity.
    pub fn first(&self, entity: usize) -> Option<FrameKey> {
        self.by_frame.iter().find(|(_, shown)| **shown == entity).map(|(key, _)| *key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(entities: &[usize]) -> Shown {
        Shown {
            by_frame: entities
                .iter()
                .enumerate()
                .map(|(at, entity)| (FrameKey(at as u32), *entity))
                .collect(),
        }
    }

    #[test]
    fn changes_are_counted_and_the_most_shown_counts() {
        let changing = shown(&[0, 0, 1, 0, 0]);
        assert_eq!(changing.switches(), 2);
        assert!(!changing.is_other(0) && changing.is_other(1) && changing.is_other(2));
        assert_eq!([changing.first(1), changing.first(2)], [Some(FrameKey(2)), None]);
        assert!(shown(&[]).is_other(0), "what shows nothing shows something else");
        assert!(!shown(&[1, 0]).is_other(0), "as often is not more often");
    }
}
