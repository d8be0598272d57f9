//! How MonST3R sees a frame: made smaller, then cut. Masks and metric depth go the same way before they meet its depth.

use strefer_core::Mask;

use crate::stkit::depth::{Raster, is_depth};
use crate::stkit::fault::Fault;

/// The longer side of a frame after it was made smaller.
const LONG_SIDE: f64 = 512.0;

/// The way of one video's frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Processed {
    original: (usize, usize),
    resized: (usize, usize),
    top: usize,
    left: usize,
    size: (usize, usize),
}

impl Processed {
    /// Frames of `height` and `width` pixels: the longer side becomes 512, then the middle is cut out, with sides that are multiples
    /// of 16; a square becomes 4:3.
    pub fn new(height: usize, width: usize) -> Self {
        let longest = height.max(width).max(1) as f64;
        let side = |length: usize| (length as f64 * LONG_SIDE / longest).round_ties_even() as usize;
        let (resized_height, resized_width) = (side(height), side(width));
        let (middle_y, middle_x) = (resized_height / 2, resized_width / 2);
        let half = |middle: usize| 2 * middle / 16 * 8;
        let half_width = half(middle_x);
        let half_height = if resized_height == resized_width { 3 * half_width / 4 } else { half(middle_y) };
        Self {
            original: (height, width),
            resized: (resized_height, resized_width),
            top: middle_y - half_height,
            left: middle_x - half_width,
            size: (2 * half_height, 2 * half_width),
        }
    }

    /// Height and width of what is left.
    pub fn size(&self) -> (usize, usize) {
        self.size
    }

    /// A mask of the original frame, by its nearest pixels.
    ///
    /// # Errors
    /// A mask of another size.
    pub fn mask(&self, mask: &Mask) -> Result<Mask, Fault> {
        self.check("mask", (mask.height(), mask.width()))?;
        let resized = mask.resize(self.resized.0, self.resized.1);
        Ok(Mask::from_fn(self.size.0, self.size.1, |y, x| resized.get(y + self.top, x + self.left)))
    }

    /// Depth of the original frame, bilinearly; where one of its neighbours is unknown, so is a pixel. Depth that has gone this way
    /// already stays as it is.
    ///
    /// # Errors
    /// A map of another size.
    pub fn depth(&self, depth: Raster) -> Result<Raster, Fault> {
        if depth.size() == self.size {
            return Ok(depth);
        }
        self.check("metric depth", depth.size())?;
        self.whole(&depth)
    }

    /// The same of a map of any size that shows the whole frame.
    ///
    /// # Errors
    /// A map without pixels.
    pub fn whole(&self, depth: &Raster) -> Result<Raster, Fault> {
        let (height, width) = depth.size();
        if height * width == 0 {
            return Err(Fault::Size {
                what: "metric depth",
                found: (height, width),
                expected: self.original,
            });
        }
        let values = (0..self.size.0 * self.size.1).map(|at| {
            let (y, x) = (at / self.size.1 + self.top, at % self.size.1 + self.left);
            let (above, below, down) = between(y, height, self.resized.0);
            let (before, after, right) = between(x, width, self.resized.1);
            let value = |y: usize, x: usize| depth.values()[y * width + x];
            let four = [value(above, before), value(above, after), value(below, before), value(below, after)];
            if !four.into_iter().all(is_depth) {
                return 0.0;
            }
            let upper = four[0] + right * (four[1] - four[0]);
            let lower = four[2] + right * (four[3] - four[2]);
            upper + down * (lower - upper)
        });
        Raster::new(self.size.0, self.size.1, values.collect())
    }

    fn check(&self, what: &'static str, found: (usize, usize)) -> Result<(), Fault> {
        if found == self.original {
            Ok(())
        } else {
            Err(Fault::Size { what, found, expected: self.original })
        }
    }
}

/// The two source pixels round the centre of a target pixel, and how far it lies from the first to the second.
fn between(target: usize, from: usize, to: usize) -> (usize, usize, f64) {
    let source = ((target as f64 + 0.5) * from as f64 / to as f64 - 0.5).clamp(0.0, (from - 1) as f64);
    let first = source as usize;
    (first, (first + 1).min(from - 1), source - first as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_those_of_the_reference() {
        // 1600x900 becomes 512x288, all of it multiples of 16; 1280x720 the same.
        assert_eq!(Processed::new(900, 1600).size(), (288, 512));
        assert_eq!(Processed::new(720, 1280).size(), (288, 512));
        // 500x375: 512x384. 1000x333: 512x170.496, 170, cut to 160.
        assert_eq!(Processed::new(375, 500).size(), (384, 512));
        assert_eq!(Processed::new(333, 1000).size(), (160, 512));
        // Upright, and a square, which is cut to 4:3.
        assert_eq!(Processed::new(1600, 900).size(), (512, 288));
        assert_eq!(Processed::new(600, 600).size(), (384, 512));
    }

    #[test]
    fn masks_are_made_smaller_and_cut_in_the_middle() {
        let way = Processed::new(2000, 2000);
        // The middle 400 of 2000 columns are 102.4 of 512; the rows 1000 to 1199 are 256 to 307 of 512, 192 to 243 of the cut.
        let mask = Mask::from_fn(2000, 2000, |y, x| (800..1200).contains(&x) && (1000..1200).contains(&y));
        let area = way.mask(&mask).unwrap().bbox().unwrap();
        assert_eq!((area.x0, area.x1, area.y0, area.y1), (205, 307, 192, 243));
        assert!(way.mask(&Mask::zeros(9, 9)).is_err());
    }

    #[test]
    fn depth_is_a_plane_before_and_after() {
        let (height, width) = (40, 1024);
        let values = (0..height * width).map(|at| 1.0 + (at % width) as f64).collect();
        let way = Processed::new(height, width);
        let depth = way.depth(Raster::new(height, width, values).unwrap()).unwrap();
        assert_eq!(depth.size(), (16, 512));
        // Pixel 3 of the smaller frame lies between pixels 6 and 7.
        assert_eq!(depth.values()[3], 7.5);
        assert_eq!(way.depth(depth.clone()).unwrap(), depth, "depth of this size has gone this way");
        let mut holed = vec![2.0; height * width];
        // Rows 4 and 5 make the first row that is left.
        holed[4 * width + 6] = f64::NAN;
        let holed = way.depth(Raster::new(height, width, holed).unwrap()).unwrap();
        assert_eq!(holed.values().iter().filter(|value| **value == 0.0).count(), 1);
        assert!(way.depth(Raster::new(2, 2, vec![1.0; 4]).unwrap()).is_err());
    }
}
