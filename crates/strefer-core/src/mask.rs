//! Dense binary masks of one object in one frame.

use crate::error::{Error, Result};

/// A binary mask, one byte a pixel (0 or 1), rows first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mask {
    height: usize,
    width: usize,
    data: Vec<u8>,
}

/// An axis-aligned box in pixels; `x1`, `y1` are exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PixelBox {
    /// Left edge.
    pub x0: usize,
    /// Top edge.
    pub y0: usize,
    /// Right edge, exclusive.
    pub x1: usize,
    /// Bottom edge, exclusive.
    pub y1: usize,
}

impl Mask {
    /// An empty mask.
    pub fn zeros(height: usize, width: usize) -> Self {
        Self { height, width, data: vec![0; height * width] }
    }

    /// The mask of the pixels for which `inside(y, x)` holds.
    pub fn from_fn(height: usize, width: usize, mut inside: impl FnMut(usize, usize) -> bool) -> Self {
        let mut data = Vec::with_capacity(height * width);
        for y in 0..height {
            data.extend((0..width).map(|x| u8::from(inside(y, x))));
        }
        Self { height, width, data }
    }

    /// A mask from row-major bytes; everything but 0 is inside.
    pub fn from_bytes(height: usize, width: usize, bytes: &[u8]) -> Result<Self> {
        if bytes.len() != height * width {
            return Err(Error::BadRle {
                height: height as u64,
                width: width as u64,
                reason: format!("{} bytes for {} pixels", bytes.len(), height * width),
            });
        }
        Ok(Self { height, width, data: bytes.iter().map(|&byte| u8::from(byte != 0)).collect() })
    }

    /// The mask of a box, cut at the borders.
    pub fn from_box(height: usize, width: usize, area: PixelBox) -> Self {
        Self::from_fn(height, width, |y, x| y >= area.y0 && y < area.y1 && x >= area.x0 && x < area.x1)
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Row-major pixels, 0 or 1.
    pub fn as_slice(&self) -> &[u8] {
        &self.data
    }

    /// Whether the pixel in row `y`, column `x` is inside.
    pub fn get(&self, y: usize, x: usize) -> bool {
        self.data[y * self.width + x] != 0
    }

    /// Puts the pixel in row `y`, column `x` inside or outside.
    pub fn set(&mut self, y: usize, x: usize, inside: bool) {
        self.data[y * self.width + x] = u8::from(inside);
    }

    /// Number of pixels inside.
    pub fn area(&self) -> usize {
        self.data.iter().map(|&pixel| usize::from(pixel)).sum()
    }

    /// Whether no pixel is inside.
    pub fn is_empty(&self) -> bool {
        self.data.iter().all(|&pixel| pixel == 0)
    }

    /// The smallest box around the mask; `None` when it is empty.
    pub fn bbox(&self) -> Option<PixelBox> {
        let mut found: Option<PixelBox> = None;
        for (y, row) in self.data.chunks_exact(self.width.max(1)).enumerate() {
            let Some(first) = row.iter().position(|&pixel| pixel != 0) else { continue };
            let last = row.iter().rposition(|&pixel| pixel != 0).unwrap_or(first);
            let area = found.get_or_insert(PixelBox { x0: first, y0: y, x1: last + 1, y1: y + 1 });
            area.x0 = area.x0.min(first);
            area.x1 = area.x1.max(last + 1);
            area.y1 = y + 1;
        }
        found
    }

    /// Pixels inside either mask.
    pub fn union(&self, other: &Self) -> Result<Self> {
        self.combine(other, |a, b| a | b)
    }

    /// Pixels inside both masks.
    pub fn intersection(&self, other: &Self) -> Result<Self> {
        self.combine(other, |a, b| a & b)
    }

    /// Intersection over union; two empty masks agree fully.
    pub fn iou(&self, other: &Self) -> Result<f64> {
        let union = self.union(other)?.area();
        let both = self.intersection(other)?.area();
        Ok(if union == 0 { 1.0 } else { both as f64 / union as f64 })
    }

    fn combine(&self, other: &Self, op: impl Fn(u8, u8) -> u8) -> Result<Self> {
        if (self.height, self.width) != (other.height, other.width) {
            return Err(Error::SizeMismatch {
                left: (self.height, self.width),
                right: (other.height, other.width),
            });
        }
        let data = self.data.iter().zip(&other.data).map(|(&a, &b)| op(a, b)).collect();
        Ok(Self { data, ..*self })
    }

    /// The mask at another size: the nearest source pixel of every target pixel's centre.
    pub fn resize(&self, height: usize, width: usize) -> Self {
        let source =
            |target: usize, from: usize, to: usize| ((2 * target + 1) * from / (2 * to)).min(from - 1);
        if self.data.is_empty() {
            return Self::zeros(height, width);
        }
        Self::from_fn(height, width, |y, x| {
            self.get(source(y, self.height, height), source(x, self.width, width))
        })
    }

    /// The mask on a square canvas, centred; the odd pixel goes to the right or bottom.
    pub fn pad_to_square(&self) -> Self {
        let side = self.height.max(self.width);
        let (top, left) = ((side - self.height) / 2, (side - self.width) / 2);
        let mut padded = Self::zeros(side, side);
        for y in 0..self.height {
            let row = &self.data[y * self.width..(y + 1) * self.width];
            padded.data[(y + top) * side + left..][..self.width].copy_from_slice(row);
        }
        padded
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disc(side: usize) -> Mask {
        let middle = side as f64 / 2.0;
        Mask::from_fn(side, side, |y, x| (y as f64 - middle).hypot(x as f64 - middle) < middle / 2.0)
    }

    #[test]
    fn box_and_area_of_a_rectangle() {
        let area = PixelBox { x0: 3, y0: 1, x1: 7, y1: 4 };
        let mask = Mask::from_box(6, 9, area);
        assert_eq!(mask.area(), 12);
        assert_eq!(mask.bbox(), Some(area));
        assert_eq!(Mask::zeros(6, 9).bbox(), None);
    }

    #[test]
    fn union_needs_equal_sizes() {
        assert!(disc(8).union(&disc(9)).is_err());
        let left = Mask::from_fn(4, 4, |_, x| x < 2);
        let right = Mask::from_fn(4, 4, |_, x| x > 2);
        assert_eq!(left.union(&right).unwrap().area(), 12);
        assert_eq!(left.iou(&right).unwrap(), 0.0);
        assert_eq!(Mask::zeros(2, 2).iou(&Mask::zeros(2, 2)).unwrap(), 1.0);
    }

    #[test]
    fn doubling_and_halving_gives_the_mask_back() {
        let mask = disc(20);
        assert_eq!(mask.resize(40, 40).resize(20, 20), mask);
        assert_eq!(mask.resize(40, 40).area(), 4 * mask.area());
    }

    #[test]
    fn padding_puts_the_odd_pixel_right_and_below() {
        let padded = Mask::from_fn(2, 5, |_, _| true).pad_to_square();
        assert_eq!(padded.bbox(), Some(PixelBox { x0: 0, y0: 1, x1: 5, y1: 3 }));
    }
}
