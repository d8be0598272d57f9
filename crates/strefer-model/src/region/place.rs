//! Where masks lie in their frames, and how they move, as an addition to objects' tokens.

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use strefer_core::Mask;
use strefer_nn::{Linear, linear_no_bias};

use super::encoder::RegionRows;

/// Waves of each number: half a wave over the picture, and so on to 16.
const WAVES: usize = 6;

/// Numbers of each mask: its box, how it differs from the one before, and how the one behind differs from it.
const NUMBERS: usize = 3 * 4;

/// Middle (across, down), width and height of a mask's box, in shares of its picture.
pub type MaskBox = [f32; 4];

/// The box of a mask; zeros for an empty one.
pub fn mask_box(mask: &Mask) -> MaskBox {
    let Some(found) = mask.bbox() else { return [0.0; 4] };
    let (height, width) = (mask.height() as f32, mask.width() as f32);
    let [x0, x1, y0, y1] = [found.x0, found.x1, found.y0, found.y1].map(|side| side as f32);
    [(x0 + x1) / 2.0 / width, (y0 + y1) / 2.0 / height, (x1 - x0) / width, (y1 - y0) / height]
}

/// A linear map of waves of the numbers. Movement could be found by comparing tokens, but is read from one far sooner.
#[derive(Debug, Clone)]
pub(super) struct Place(Linear);

impl Place {
    /// Parameter `weight` below `vb`.
    pub fn new(text_dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self(linear_no_bias(NUMBERS * 2 * WAVES, text_dim, vb)?))
    }

    /// One vector for each frame of each region, `(k, d)` in f32.
    pub fn forward(&self, regions: &[RegionRows], device: &Device) -> Result<Tensor> {
        let mut waves = Vec::new();
        let mut k = 0;
        for region in regions {
            if region.boxes.len() != region.rows.len() {
                bail!("a region of {} frames with {} boxes", region.rows.len(), region.boxes.len());
            }
            k += region.boxes.len();
            for number in (0..region.boxes.len()).flat_map(|at| numbers(&region.boxes, at)) {
                let angle = |wave: usize| std::f32::consts::PI * (1 << wave) as f32 * number;
                waves.extend((0..WAVES).flat_map(|wave| [angle(wave).sin(), angle(wave).cos()]));
            }
        }
        let waves = Tensor::from_vec(waves, (k, NUMBERS * 2 * WAVES), device)?;
        self.0.forward(&waves)?.to_dtype(DType::F32)
    }
}

/// What is told of the mask `at` so many masks of an object. Where there is none before or behind, nothing has moved.
fn numbers(boxes: &[MaskBox], at: usize) -> [f32; NUMBERS] {
    let here = boxes[at];
    let before = if at > 0 { boxes[at - 1] } else { here };
    let behind = boxes.get(at + 1).copied().unwrap_or(here);
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
        assert_eq!(mask_box(&mask), [0.5, 0.3, 0.5, 0.2]);
        assert_eq!(mask_box(&Mask::from_fn(4, 4, |_, _| false)), [0.0; 4]);
    }

    #[test]
    fn movement_is_told_from_both_neighbours() {
        let boxes = [[0.5, 0.5, 0.25, 0.25], [0.75, 0.5, 0.25, 0.25], [0.75, 0.25, 0.5, 0.25]];
        let told = numbers(&boxes, 1);
        assert_eq!(told[..4], boxes[1]);
        assert_eq!(told[4..], [0.25, 0.0, 0.0, 0.0, 0.0, -0.25, 0.25, 0.0]);
        assert_eq!(numbers(&boxes[..1], 0)[4..], [0.0; 8]);
    }
}
