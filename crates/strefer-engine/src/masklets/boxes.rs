//! Boxes: around masks, as masks, and how they overlap.

use strefer_core::{Mask, PixelBox};

use super::seam::Area;

/// The box around a mask; four zeros around an empty one, as COCO writes it.
pub fn around(mask: &Mask) -> Area {
    mask.bbox().map_or([0.0; 4], |found| [found.x0, found.y0, found.x1, found.y1].map(|side| side as f64))
}

/// The pixels of a box, rounded to whole ones within a frame of `(height, width)`; at least one.
pub fn filled(area: Area, (height, width): (usize, usize)) -> Mask {
    let side = |value: f64, most: usize| (value.max(0.0).round() as usize).min(most);
    let (x0, y0) = (side(area[0], width.saturating_sub(1)), side(area[1], height.saturating_sub(1)));
    let (x1, y1) = (side(area[2], width).max(x0 + 1), side(area[3], height).max(y0 + 1));
    Mask::from_box(height, width, PixelBox { x0, y0, x1, y1 })
}

fn size([left, top, right, bottom]: Area) -> f64 {
    (right - left).max(0.0) * (bottom - top).max(0.0)
}

fn shared(a: Area, b: Area) -> f64 {
    size([a[0].max(b[0]), a[1].max(b[1]), a[2].min(b[2]), a[3].min(b[3])])
}

/// Intersection over union; 0 for two boxes without an inside.
pub fn iou(a: Area, b: Area) -> f64 {
    let both = shared(a, b);
    let union = size(a) + size(b) - both;
    if union > 0.0 { both / union } else { 0.0 }
}

/// Generalised intersection over union (arXiv 1902.09630): less the share of the hull that neither box covers. Nothing
/// where it is undefined: two boxes without an inside at one place, or a box that ends before it begins.
pub fn giou(a: Area, b: Area) -> Option<f64> {
    let ordered = |area: Area| area[0] <= area[2] && area[1] <= area[3];
    let both = shared(a, b);
    let union = size(a) + size(b) - both;
    let hull = size([a[0].min(b[0]), a[1].min(b[1]), a[2].max(b[2]), a[3].max(b[3])]);
    // The last one also where a coordinate is no number.
    (ordered(a) && ordered(b) && union > 0.0 && hull > 0.0).then(|| both / union - (hull - union) / hull)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_filled_within_their_frame() {
        let inside =
            |area: Area| filled(area, (6, 8)).bbox().map(|found| [found.x0, found.y0, found.x1, found.y1]);
        assert_eq!(inside([1.4, 0.6, 3.5, 4.0]), Some([1, 1, 4, 4]));
        assert_eq!(inside([-3.0, -1.0, 99.0, 99.0]), Some([0, 0, 8, 6]));
        assert_eq!(inside([20.0, 20.0, 30.0, 30.0]), Some([7, 5, 8, 6]));
    }

    #[test]
    fn overlaps_by_hand() {
        let unit = [0.0, 0.0, 2.0, 2.0];
        assert_eq!(iou(unit, [1.0, 0.0, 3.0, 2.0]), 2.0 / 6.0);
        assert_eq!(giou(unit, [1.0, 0.0, 3.0, 2.0]), Some(2.0 / 6.0));
        assert_eq!(giou(unit, [4.0, 0.0, 6.0, 2.0]), Some(-4.0 / 12.0));
        assert_eq!(giou([1.0; 4], [1.0; 4]), None);
        assert_eq!(giou(unit, [3.0, 0.0, 1.0, 2.0]), None);
        assert_eq!(iou([1.0; 4], [1.0; 4]), 0.0);
        assert_eq!(around(&Mask::zeros(4, 4)), [0.0; 4]);
    }
}
