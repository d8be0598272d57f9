//! Where and when masks lie in their video, how they move and which outline they have, as an addition to objects' tokens.

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use strefer_core::{Mask, PixelBox};
use strefer_nn::{Linear, linear_no_bias};

use super::encoder::RegionRows;

/// Waves of each number: sines and cosines, half a wave over the picture or the video, and so on to 16.
pub const WAVES: usize = 2 * 6;

/// Numbers of each mask's place: its box, how it differs from the one before, how the one behind differs from it.
const NUMBERS: usize = 3 * 4;

/// Cells of an outline along each side.
const CELLS: usize = 12;

/// Where and when a mask lies, and its outline.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MaskPlace {
    /// Middle (across, down), width and height of its box, in shares of its picture; zeros for an empty mask.
    pub bbox: [f32; 4],
    /// When its frame is shown: 0 at the start of the video, 1 at its end.
    pub time: f32,
    /// Shares of the cells of its box that it covers, row by row, 12 by 12; zeros where they are not told.
    pub outline: [f32; CELLS * CELLS],
}

impl Default for MaskPlace {
    fn default() -> Self {
        Self { bbox: [0.0; 4], time: 0.0, outline: [0.0; CELLS * CELLS] }
    }
}

impl MaskPlace {
    /// The place of a mask in a frame that is shown at the share `time` of the video, without its outline.
    pub fn new(mask: &Mask, time: f32) -> Self {
        let Some(found) = mask.bbox() else { return Self { time, ..Self::default() } };
        let (height, width) = (mask.height() as f32, mask.width() as f32);
        let [x0, x1, y0, y1] = [found.x0, found.x1, found.y0, found.y1].map(|side| side as f32);
        let bbox = [(x0 + x1) / 2.0 / width, (y0 + y1) / 2.0 / height, (x1 - x0) / width, (y1 - y0) / height];
        Self { bbox, time, ..Self::default() }
    }

    /// The same with the outline of the mask.
    #[must_use]
    pub fn with_outline(self, mask: &Mask) -> Self {
        mask.bbox().map_or(self, |found| Self { outline: outline(mask, found), ..self })
    }

    /// The place that `row` tells: box, time, outline; `None` unless it has as many numbers.
    pub fn from_row(row: &[f32]) -> Option<Self> {
        let (&[x, y, width, height, time], outline) = row.split_first_chunk::<5>()?;
        Some(Self { bbox: [x, y, width, height], time, outline: outline.try_into().ok()? })
    }
}

/// Shares of the cells of a mask's box that it covers.
fn outline(mask: &Mask, area: PixelBox) -> [f32; CELLS * CELLS] {
    // The pixels of a cell, at least one.
    let pixels = |cell: usize, low: usize, high: usize| {
        let from = low + cell * (high - low) / CELLS;
        from..(low + (cell + 1) * (high - low) / CELLS).max(from + 1)
    };
    std::array::from_fn(|at| {
        let rows = pixels(at / CELLS, area.y0, area.y1);
        let columns = pixels(at % CELLS, area.x0, area.x1);
        let count = rows.len() * columns.len();
        let inside = rows.flat_map(|y| columns.clone().map(move |x| (y, x)));
        inside.filter(|&(y, x)| mask.get(y, x)).count() as f32 / count as f32
    })
}

/// A linear map of waves of the numbers. Movement could be found by comparing tokens, but is read from one far sooner.
#[derive(Debug, Clone)]
pub(super) struct Place {
    linear: Linear,
    outline: bool,
}

impl Place {
    /// Parameter `weight` below `vb`.
    pub fn new(outline: bool, text_dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self { linear: linear_no_bias(inputs(outline), text_dim, vb)?, outline })
    }

    /// One vector for each frame of each region, `(k, d)` in f32, computed in a type on a device.
    pub fn forward(&self, regions: &[RegionRows], dtype: DType, device: &Device) -> Result<Tensor> {
        let mut inputs = Vec::new();
        let mut k = 0;
        for region in regions {
            if region.places.len() != region.rows.len() {
                bail!("a region of {} frames with {} places", region.rows.len(), region.places.len());
            }
            k += region.places.len();
            for (at, place) in region.places.iter().enumerate() {
                inputs.extend(numbers(&region.places, at).into_iter().flat_map(waves_of));
                if self.outline {
                    inputs.extend(place.outline);
                }
                inputs.extend(waves_of(place.time));
            }
        }
        let inputs = Tensor::from_vec(inputs, (k, self.linear.weight().dim(1)?), device)?;
        self.linear.forward(&inputs.to_dtype(dtype)?)?.to_dtype(DType::F32)
    }
}

/// Inputs of the map: waves of the numbers, the outline where it is told, waves of the time.
fn inputs(outline: bool) -> usize {
    NUMBERS * WAVES + if outline { CELLS * CELLS } else { 0 } + WAVES
}

/// The waves of a number from 0 to 1, as which the map sees the time too: its last columns are the time's.
pub fn waves_of(number: f32) -> [f32; WAVES] {
    let angle = |wave: usize| std::f32::consts::PI * (1 << wave) as f32 * number;
    std::array::from_fn(|at| if at % 2 == 0 { angle(at / 2).sin() } else { angle(at / 2).cos() })
}

/// What is told of the mask `at` so many masks of an object. Where there is none before or behind, nothing has moved.
fn numbers(places: &[MaskPlace], at: usize) -> [f32; NUMBERS] {
    let here = places[at].bbox;
    let before = if at > 0 { places[at - 1].bbox } else { here };
    let behind = places.get(at + 1).map_or(here, |place| place.bbox);
    std::array::from_fn(|number| match (number / 4, number % 4) {
        (0, side) => here[side],
        (1, side) => here[side] - before[side],
        (_, side) => behind[side] - here[side],
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn boxes_are_shares_of_the_picture() {
        let mask = Mask::from_fn(10, 20, |y, x| (2..4).contains(&y) && (5..15).contains(&x));
        let place = MaskPlace { bbox: [0.5, 0.3, 0.5, 0.2], time: 0.5, ..MaskPlace::default() };
        assert_eq!(MaskPlace::new(&mask, 0.5), place);
        assert_eq!(MaskPlace::new(&Mask::from_fn(4, 4, |_, _| false), 0.0), MaskPlace::default());
    }

    #[test]
    fn outlines_are_shares_of_the_cells_of_the_box() {
        // A triangle of 24 rows, its tip in the first.
        let mask = Mask::from_fn(40, 60, |y, x| (8..32).contains(&y) && x.abs_diff(30) <= (y - 8) / 2);
        let outline = MaskPlace::default().with_outline(&mask).outline;
        let row = |row: usize| outline[row * CELLS..][..CELLS].iter().sum::<f32>();
        assert!(row(0) < 1.0 && row(5) > 4.0 && row(5) < 8.0 && row(11) > 11.0, "{outline:?}");
        let pixel = Mask::from_fn(9, 9, |y, x| (y, x) == (3, 4));
        let tiny = MaskPlace::new(&pixel, 0.0).with_outline(&pixel);
        assert_eq!(tiny.outline, [1.0; CELLS * CELLS]);
        let row: Vec<f32> = [&tiny.bbox[..], &[0.0], &tiny.outline].concat();
        assert_eq!((MaskPlace::from_row(&row), MaskPlace::from_row(&row[1..])), (Some(tiny), None));
    }

    #[test]
    fn movement_is_told_from_both_neighbours() {
        let boxes = [[0.5, 0.5, 0.25, 0.25], [0.75, 0.5, 0.25, 0.25], [0.75, 0.25, 0.5, 0.25]];
        let places = boxes.map(|bbox| MaskPlace { bbox, ..MaskPlace::default() });
        let told = numbers(&places, 1);
        assert_eq!(told[..4], boxes[1]);
        assert_eq!(told[4..], [0.25, 0.0, 0.0, 0.0, 0.0, -0.25, 0.25, 0.0]);
        assert_eq!(numbers(&places[..1], 0)[4..], [0.0; 8]);
    }
}
