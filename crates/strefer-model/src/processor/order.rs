//! The order in which frames are shown.

use strefer_core::Rng;

use crate::region::RegionRows;

/// The order in which frames are shown. Masks stay with the frames that they lie on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum FrameOrder {
    /// From the first to the last.
    #[default]
    Straight,
    /// From the last to the first.
    Reversed,
    /// Drawn, the same for the same seed.
    Shuffled(u64),
}

impl FrameOrder {
    /// The rows of shown frames in this order; those of an image's tiles stay as they are.
    pub(super) fn of(self, mut rows: Vec<u32>, is_tiled: bool) -> Vec<u32> {
        match self {
            Self::Straight => {}
            _ if is_tiled => {}
            Self::Reversed => rows.reverse(),
            Self::Shuffled(seed) => Rng::new(seed, "frame order").shuffle(&mut rows),
        }
        rows
    }
}

/// Gives masks the times at which their frames are shown, and puts each object's in the order of these.
///
/// `shares` are the rows' places in time, 0 to 1; `before` and `after` the rows that are shown, from the first to the last
/// and in their new order.
pub(super) fn retime(regions: &mut [RegionRows], shares: &[f32], before: &[u32], after: &[u32]) {
    let apart = |place: &usize, row: u32| (shares[after[*place] as usize] - shares[row as usize]).abs();
    for region in regions {
        for (row, place) in region.rows.iter().zip(&mut region.places) {
            let nearest = (0..after.len()).min_by(|a, b| apart(a, *row).total_cmp(&apart(b, *row)));
            if let Some(at) = nearest {
                place.time = shares[before[at] as usize];
            }
        }
        let mut order: Vec<usize> = (0..region.rows.len()).collect();
        order.sort_by(|&a, &b| region.places[a].time.total_cmp(&region.places[b].time));
        region.rows = order.iter().map(|&at| region.rows[at]).collect();
        region.grid_masks = order.iter().map(|&at| region.grid_masks[at].clone()).collect();
        region.places = order.iter().map(|&at| region.places[at]).collect();
    }
}

#[cfg(test)]
mod tests {
    use crate::region::MaskPlace;

    use super::*;

    #[test]
    fn frames_are_turned_around_or_drawn_and_tiles_are_not() {
        let rows: Vec<u32> = (0..8).collect();
        assert_eq!(FrameOrder::Straight.of(rows.clone(), false), rows);
        assert_eq!(FrameOrder::Reversed.of(rows.clone(), false), [7, 6, 5, 4, 3, 2, 1, 0]);
        let drawn = FrameOrder::Shuffled(3).of(rows.clone(), false);
        assert_eq!(drawn, FrameOrder::Shuffled(3).of(rows.clone(), false));
        assert_ne!(drawn, rows);
        let mut sorted = drawn;
        sorted.sort_unstable();
        assert_eq!(sorted, rows);
        assert_eq!(FrameOrder::Reversed.of(rows.clone(), true), rows);
    }

    #[test]
    fn masks_move_in_time_with_their_frames() {
        let place = |time| MaskPlace { time, ..MaskPlace::default() };
        let mut regions = [RegionRows {
            rows: vec![0, 2],
            grid_masks: vec![vec![0.0], vec![2.0]],
            places: vec![place(0.0), place(0.5)],
        }];
        retime(&mut regions, &[0.0, 0.25, 0.5, 1.0], &[0, 1, 2, 3], &[3, 2, 1, 0]);
        assert_eq!(regions[0].rows, [2, 0]);
        assert_eq!(regions[0].grid_masks, [[2.0], [0.0]]);
        assert_eq!(regions[0].places.iter().map(|place| place.time).collect::<Vec<_>>(), [0.25, 1.0]);
    }
}
