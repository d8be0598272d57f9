//! How well boundaries agree (Perazzi et al., CVPR 2016, as DAVIS computes it).

use strefer_core::Mask;

/// Boundaries agree within this share of the picture's diagonal.
const TOLERANCE: f64 = 0.008;

/// Pixels inside whose right, lower or lower right neighbour is outside, and pixels outside with such a neighbour inside.
/// There is nothing beyond the picture's edge.
pub fn boundary(mask: &Mask) -> Mask {
    let (height, width) = (mask.height(), mask.width());
    Mask::from_fn(height, width, |y, x| {
        let (below, right) = ((y + 1).min(height - 1), (x + 1).min(width - 1));
        let own = mask.get(y, x);
        own != mask.get(below, x) || own != mask.get(y, right) || own != mask.get(below, right)
    })
}

/// Row and column of the pixels inside.
fn points(mask: &Mask) -> Vec<(usize, usize)> {
    let width = mask.width().max(1);
    let inside = mask.as_slice().iter().enumerate().filter(|(_, pixel)| **pixel != 0);
    inside.map(|(at, _)| (at / width, at % width)).collect()
}

/// Share of `points` that have a pixel of `mask` within a disc; `steps` are the disc's rows and columns.
fn matched(points: &[(usize, usize)], mask: &Mask, steps: &[(i64, i64)]) -> f64 {
    let near = |&&(y, x): &&(usize, usize)| {
        steps.iter().any(|&(down, right)| {
            let (y, x) = (y as i64 + down, x as i64 + right);
            let inside = (0..mask.height() as i64).contains(&y) && (0..mask.width() as i64).contains(&x);
            inside && mask.get(y as usize, x as usize)
        })
    };
    points.iter().filter(near).count() as f64 / points.len() as f64
}

/// The harmonic mean of the shares of each boundary that lies near the other; 1 where neither mask has one, 0 where one
/// has none. Masks must have one size.
pub fn f_measure(found: &Mask, truth: &Mask) -> f64 {
    let (height, width) = (truth.height(), truth.width());
    let radius = (TOLERANCE * (height as f64).hypot(width as f64)).ceil() as i64;
    let mut steps: Vec<(i64, i64)> = (-radius..=radius)
        .flat_map(|down| (-radius..=radius).map(move |right| (down, right)))
        .filter(|(down, right)| down * down + right * right <= radius * radius)
        .collect();
    // The nearest first: most boundaries agree.
    steps.sort_by_key(|(down, right)| down * down + right * right);
    let [own, other] = [found, truth].map(boundary);
    let [own_points, other_points] = [&own, &other].map(points);
    match (own_points.is_empty(), other_points.is_empty()) {
        (true, true) => 1.0,
        (true, false) | (false, true) => 0.0,
        (false, false) => {
            let precision = matched(&own_points, &other, &steps);
            let recall = matched(&other_points, &own, &steps);
            if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 }
        }
    }
}

#[cfg(test)]
mod tests {
    use strefer_core::PixelBox;

    use super::*;

    fn square(x0: usize) -> Mask {
        Mask::from_box(40, 40, PixelBox { x0, y0: 10, x1: x0 + 10, y1: 20 })
    }

    #[test]
    fn boundaries_by_hand() {
        let dot = Mask::from_fn(4, 4, |y, x| (y, x) == (1, 2));
        let edge: Vec<(usize, usize)> = points(&boundary(&dot));
        assert_eq!(edge, [(0, 1), (0, 2), (1, 1), (1, 2)]);
        assert!(boundary(&Mask::from_fn(4, 4, |_, _| true)).is_empty(), "nothing lies beyond the edge");
    }

    #[test]
    fn boundaries_agree_within_a_pixel_of_a_small_picture() {
        assert_eq!(f_measure(&square(10), &square(10)), 1.0);
        // 0.008 of a diagonal of 57 pixels is one pixel.
        assert_eq!(f_measure(&square(11), &square(10)), 1.0);
        let far = f_measure(&square(14), &square(10));
        assert!(far > 0.3 && far < 0.8, "{far}");
        let empty = Mask::zeros(40, 40);
        assert_eq!(
            [f_measure(&empty, &empty), f_measure(&empty, &square(1)), f_measure(&square(1), &empty)],
            [1.0, 0.0, 0.0]
        );
    }
}
