//! What lies inside a mask: its parts, and the place that is farthest from its border.

use crate::mask::Mask;

impl Mask {
    /// The mask without parts of fewer than `least` pixels; pixels that touch at a corner are one part.
    pub fn without_specks(&self, least: usize) -> Self {
        let (height, width) = (self.height(), self.width());
        let mut kept = Self::zeros(height, width);
        let mut seen = Self::zeros(height, width);
        for start in 0..height * width {
            let (y, x) = (start / width, start % width);
            if !self.get(y, x) || seen.get(y, x) {
                continue;
            }
            seen.set(y, x, true);
            let mut part = vec![(y, x)];
            let mut at = 0;
            while at < part.len() {
                let (y, x) = part[at];
                at += 1;
                for near_y in y.saturating_sub(1)..(y + 2).min(height) {
                    for near_x in x.saturating_sub(1)..(x + 2).min(width) {
                        if self.get(near_y, near_x) && !seen.get(near_y, near_x) {
                            seen.set(near_y, near_x, true);
                            part.push((near_y, near_x));
                        }
                    }
                }
            }
            if part.len() >= least {
                part.into_iter().for_each(|(y, x)| kept.set(y, x, true));
            }
        }
        kept
    }

    /// Row and column of the pixel that is farthest from everything outside, the frame's surroundings included; of
    /// several the one in the middle of the list, row by row. `None` when the mask is empty.
    pub fn deepest_pixel(&self) -> Option<(usize, usize)> {
        let depths = self.squared_depths();
        let deepest = depths.iter().copied().max().filter(|&depth| depth > 0)?;
        let places: Vec<usize> = (0..depths.len()).filter(|&place| depths[place] == deepest).collect();
        let middle = places[places.len() / 2];
        Some((middle / self.width(), middle % self.width()))
    }

    /// Squared distance of every pixel to the nearest one outside, 0 outside. Exact: along columns first, then the lower
    /// envelope of one parabola a column along rows (Felzenszwalb and Huttenlocher, 2012).
    fn squared_depths(&self) -> Vec<i64> {
        let (height, width) = (self.height(), self.width());
        let mut depths = vec![0i64; height * width];
        for x in 0..width {
            for y in 0..height {
                let above = if y > 0 { depths[(y - 1) * width + x] } else { 0 };
                depths[y * width + x] = if self.get(y, x) { above + 1 } else { 0 };
            }
            let mut below = 0;
            for y in (0..height).rev() {
                let depth = &mut depths[y * width + x];
                *depth = (*depth).min(below + 1);
                below = *depth;
            }
        }
        let mut envelope = Envelope::default();
        for row in depths.chunks_exact_mut(width.max(1)) {
            envelope.transform(row);
        }
        depths
    }
}

/// Parabolas `(x - vertex)² + height` of which each is the lowest from its start on.
#[derive(Default)]
struct Envelope {
    /// Vertex, height and start.
    parts: Vec<(i64, i64, f64)>,
}

impl Envelope {
    /// Turns distances along columns into squared distances; one column beyond both ends is outside.
    fn transform(&mut self, row: &mut [i64]) {
        self.parts.clear();
        self.push(-1, 0);
        for (x, depth) in row.iter().enumerate() {
            self.push(x as i64, depth * depth);
        }
        self.push(row.len() as i64, 0);
        let mut part = 0;
        for (x, value) in row.iter_mut().enumerate() {
            while self.parts.get(part + 1).is_some_and(|&(_, _, start)| start <= x as f64) {
                part += 1;
            }
            let (vertex, height, _) = self.parts[part];
            *value = (x as i64 - vertex).pow(2) + height;
        }
    }

    fn push(&mut self, vertex: i64, height: i64) {
        while let Some(&(before, low, start)) = self.parts.last() {
            let rise = (height + vertex * vertex) - (low + before * before);
            let crossing = rise as f64 / (2 * (vertex - before)) as f64;
            if crossing > start {
                self.parts.push((vertex, height, crossing));
                return;
            }
            self.parts.pop();
        }
        self.parts.push((vertex, height, f64::NEG_INFINITY));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::mask::PixelBox;

    proptest! {
        #[test]
        fn depths_equal_those_that_are_searched_for(
            height in 1usize..9,
            width in 1usize..9,
            bits in proptest::collection::vec(0u8..5, 64),
        ) {
            let mask = Mask::from_fn(height, width, |y, x| bits[y * width + x] > 0);
            let inside = |y: i64, x: i64| {
                (0..height as i64).contains(&y) && (0..width as i64).contains(&x) && mask.get(y as usize, x as usize)
            };
            let searched = |place: usize| {
                let (y, x) = ((place / width) as i64, (place % width) as i64);
                let around = (-1..=height as i64).flat_map(|y| (-1..=width as i64).map(move |x| (y, x)));
                let outside = around.filter(|&(y, x)| !inside(y, x));
                outside.map(|(other_y, other_x)| (other_y - y).pow(2) + (other_x - x).pow(2)).min().unwrap_or(0)
            };
            let expected: Vec<i64> = (0..height * width).map(searched).collect();
            prop_assert_eq!(mask.squared_depths(), expected);
        }
    }

    #[test]
    fn the_deepest_pixel_is_the_middle_of_a_square_and_of_a_row() {
        let square = Mask::from_box(20, 20, PixelBox { x0: 3, y0: 2, x1: 8, y1: 7 });
        assert_eq!(square.deepest_pixel(), Some((4, 5)));
        // Six pixels are equally deep; the fourth is taken.
        let bar = Mask::from_box(9, 9, PixelBox { x0: 1, y0: 4, x1: 7, y1: 5 });
        assert_eq!(bar.deepest_pixel(), Some((4, 4)));
        assert_eq!(Mask::zeros(4, 4).deepest_pixel(), None);
        let hollow = Mask::from_fn(9, 12, |y, x| (y, x) != (4, 4));
        assert_eq!(hollow.deepest_pixel().map(|(_, x)| x > 5), Some(true), "the hole keeps the mark away");
    }

    #[test]
    fn specks_go_and_parts_that_touch_at_a_corner_stay_together() {
        let steps = Mask::from_fn(10, 10, |y, x| y == x || (y, x) == (0, 9));
        assert_eq!(steps.without_specks(10).area(), 10);
        assert_eq!(steps.without_specks(1), steps);
        assert!(steps.without_specks(11).is_empty());
    }
}
