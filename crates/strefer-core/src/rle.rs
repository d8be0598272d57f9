//! COCO run-length encoding: runs along columns, the first run counts pixels outside.
//!
//! The string form and the rasterising of polygons come from `hotcoco`; sizes that a file claims are checked against
//! the runs and against [`MAX_PIXELS`] before anything of that size is allocated.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::mask::{Mask, PixelBox};

/// The largest mask that is ever decoded (16384 x 16384 pixels).
pub const MAX_PIXELS: u64 = 1 << 28;

/// A binary mask as run lengths whose sum equals `height * width`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "RleRecord", into = "RleRecord")]
pub struct Rle {
    height: u32,
    width: u32,
    counts: Vec<u32>,
}

/// Run lengths as files write them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RleRecord {
    /// Height and width in pixels.
    pub size: [u32; 2],
    /// The runs.
    pub counts: Counts,
}

/// The two ways in which COCO files write runs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Counts {
    /// The compressed string, which many samples may share.
    Compressed(#[serde(with = "shared")] Arc<str>),
    /// A list of run lengths.
    Runs(Vec<u32>),
}

/// Text that several records hold.
mod shared {
    use std::sync::Arc;

    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(text: &Arc<str>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(text)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Arc<str>, D::Error> {
        String::deserialize(deserializer).map(Arc::from)
    }
}

fn bad(height: u32, width: u32, reason: impl ToString) -> Error {
    Error::BadRle { height: height.into(), width: width.into(), reason: reason.to_string() }
}

impl Rle {
    /// Runs that are known to fill the mask.
    pub fn new(height: u32, width: u32, counts: Vec<u32>) -> Result<Self> {
        let pixels = u64::from(height) * u64::from(width);
        if pixels > MAX_PIXELS {
            return Err(bad(height, width, format!("more than {MAX_PIXELS} pixels")));
        }
        let filled: u64 = counts.iter().map(|&run| u64::from(run)).sum();
        if filled != pixels {
            return Err(bad(height, width, format!("the runs fill {filled} of {pixels} pixels")));
        }
        Ok(Self { height, width, counts })
    }

    /// Runs from the compressed string.
    pub fn from_compressed(height: u32, width: u32, text: &str) -> Result<Self> {
        if u64::from(height) * u64::from(width) > MAX_PIXELS {
            return Err(bad(height, width, format!("more than {MAX_PIXELS} pixels")));
        }
        let rle = hotcoco::mask::rle_from_string(text, height, width).map_err(|e| bad(height, width, e))?;
        Self::new(height, width, rle.counts)
    }

    /// The runs of a dense mask.
    pub fn from_mask(mask: &Mask) -> Self {
        let (height, width) = (mask.height(), mask.width());
        let (mut counts, mut run, mut inside) = (Vec::new(), 0u32, 0u8);
        for x in 0..width {
            for y in 0..height {
                let pixel = mask.as_slice()[y * width + x];
                if pixel != inside {
                    counts.push(run);
                    (run, inside) = (0, pixel);
                }
                run += 1;
            }
        }
        counts.push(run);
        Self { height: height as u32, width: width as u32, counts }
    }

    /// The union of polygons `[x0, y0, x1, y1, …]` in pixels, rasterised as COCO does.
    pub fn from_polygons(height: u32, width: u32, polygons: &[Vec<f64>]) -> Result<Self> {
        if u64::from(height) * u64::from(width) > MAX_PIXELS {
            return Err(bad(height, width, format!("more than {MAX_PIXELS} pixels")));
        }
        let far = 16.0 * f64::from(height.max(width).max(64));
        for polygon in polygons {
            if polygon.len() < 6 || polygon.len() % 2 != 0 {
                return Err(bad(height, width, format!("a polygon of {} numbers", polygon.len())));
            }
            if let Some(number) = polygon.iter().find(|number| number.is_nan() || number.abs() > far) {
                return Err(bad(height, width, format!("a polygon with the coordinate {number}")));
            }
        }
        if polygons.is_empty() {
            return Self::new(height, width, vec![height * width]);
        }
        let rle = hotcoco::mask::fr_polys(polygons, height, width).map_err(|e| bad(height, width, e))?;
        Self::new(height, width, rle.counts)
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height as usize
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width as usize
    }

    /// Run lengths, outside first.
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// Number of pixels inside.
    pub fn area(&self) -> u64 {
        self.counts.iter().skip(1).step_by(2).map(|&run| u64::from(run)).sum()
    }

    /// Number of pixels inside both masks.
    ///
    /// # Errors
    /// Masks of different sizes.
    pub fn shared_area(&self, other: &Self) -> Result<u64> {
        if (self.height, self.width) != (other.height, other.width) {
            return Err(Error::SizeMismatch {
                left: (self.height(), self.width()),
                right: (other.height(), other.width()),
            });
        }
        let (mut left, mut right) = (self.counts.iter(), other.counts.iter());
        let (mut run, mut other_run) = (left.next().copied(), right.next().copied());
        let (mut inside, mut other_inside, mut shared) = (false, false, 0);
        while let (Some(length), Some(other_length)) = (run, other_run) {
            let step = length.min(other_length);
            if inside && other_inside {
                shared += u64::from(step);
            }
            if length == step {
                (run, inside) = (left.next().copied(), !inside);
            } else {
                run = Some(length - step);
            }
            if other_length == step {
                (other_run, other_inside) = (right.next().copied(), !other_inside);
            } else {
                other_run = Some(other_length - step);
            }
        }
        Ok(shared)
    }

    /// Intersection over union; two empty masks agree fully.
    ///
    /// # Errors
    /// Masks of different sizes.
    pub fn iou(&self, other: &Self) -> Result<f64> {
        let shared = self.shared_area(other)?;
        let union = self.area() + other.area() - shared;
        Ok(if union == 0 { 1.0 } else { shared as f64 / union as f64 })
    }

    /// The smallest box around the mask; `None` when it is empty.
    pub fn bbox(&self) -> Option<PixelBox> {
        let height = self.height();
        let mut found: Option<PixelBox> = None;
        let mut begin = 0usize;
        for (at, &run) in self.counts.iter().enumerate() {
            let end = begin + run as usize;
            if at % 2 == 1 && run > 0 {
                let (x0, x1) = (begin / height, (end - 1) / height + 1);
                // A run over a column's end reaches from top to bottom.
                let (y0, y1) =
                    if x1 - x0 > 1 { (0, height) } else { (begin % height, (end - 1) % height + 1) };
                let area = found.get_or_insert(PixelBox { x0, y0, x1, y1 });
                area.x1 = area.x1.max(x1);
                area.y0 = area.y0.min(y0);
                area.y1 = area.y1.max(y1);
            }
            begin = end;
        }
        found
    }

    /// The compressed string.
    pub fn to_compressed(&self) -> String {
        let (h, w) = (self.height, self.width);
        hotcoco::mask::rle_to_string(&hotcoco::Rle { h, w, counts: self.counts.clone() })
    }

    /// The dense mask.
    pub fn to_mask(&self) -> Mask {
        let mut mask = Mask::zeros(self.height(), self.width());
        let mut at = 0usize;
        for (index, &run) in self.counts.iter().enumerate() {
            let end = at + run as usize;
            if index % 2 == 1 {
                for pixel in at..end {
                    mask.set(pixel % self.height(), pixel / self.height(), true);
                }
            }
            at = end;
        }
        mask
    }
}

impl TryFrom<RleRecord> for Rle {
    type Error = Error;

    fn try_from(record: RleRecord) -> Result<Self> {
        let [height, width] = record.size;
        match record.counts {
            Counts::Compressed(text) => Self::from_compressed(height, width, &text),
            Counts::Runs(runs) => Self::new(height, width, runs),
        }
    }
}

impl From<Rle> for RleRecord {
    fn from(rle: Rle) -> Self {
        Self { size: [rle.height, rle.width], counts: Counts::Compressed(rle.to_compressed().into()) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn encoding_and_decoding_gives_the_mask_back(
            height in 1usize..20,
            width in 1usize..20,
            bits in proptest::collection::vec(any::<bool>(), 400),
        ) {
            let mask = Mask::from_fn(height, width, |y, x| bits[y * width + x]);
            let rle = Rle::from_mask(&mask);
            prop_assert_eq!(rle.area() as usize, mask.area());
            let text = rle.to_compressed();
            let again = Rle::from_compressed(height as u32, width as u32, &text).unwrap();
            prop_assert_eq!(&again, &rle);
            prop_assert_eq!(again.to_mask(), mask);
        }

        #[test]
        fn overlap_and_box_are_those_of_the_dense_masks(
            height in 1usize..12,
            width in 1usize..12,
            bits in proptest::collection::vec(0u8..4, 144),
            share in 0u8..4,
        ) {
            let [left, right] = [0, share].map(|least| Mask::from_fn(height, width, |y, x| bits[y * width + x] > least));
            let [a, b] = [&left, &right].map(Rle::from_mask);
            prop_assert_eq!(a.iou(&b).unwrap(), left.iou(&right).unwrap());
            prop_assert_eq!(a.shared_area(&b).unwrap(), left.intersection(&right).unwrap().area() as u64);
            prop_assert_eq!(b.bbox(), right.bbox());
        }

        #[test]
        fn no_string_makes_decoding_panic(text in "[0-~]{0,24}", height in 0u32..9, width in 0u32..9) {
            let _ = Rle::from_compressed(height, width, &text);
        }
    }

    #[test]
    fn sizes_from_files_are_limits_not_memory() {
        assert!(Rle::new(u32::MAX, u32::MAX, vec![5]).is_err());
        assert!(Rle::from_compressed(60_000, 60_000, "g1").is_err());
        assert!(Rle::new(4, 4, vec![3, 4]).is_err());
        assert!(Rle::new(4, 4, vec![16]).unwrap().iou(&Rle::new(2, 8, vec![16]).unwrap()).is_err());
        assert!(Rle::from_polygons(10, 10, &[vec![0.0, 0.0, 1e300, 5.0, 3.0, 3.0]]).is_err());
        assert!(Rle::from_polygons(10, 10, &[vec![0.0, 0.0, f64::NAN, 5.0, 3.0, 3.0]]).is_err());
    }
}
