//! Where masks lie in their frames, as an addition to what is pooled under them.

use candle_core::{DType, Device, Module, Result, Tensor, bail};
use candle_nn::VarBuilder;
use strefer_core::Mask;
use strefer_nn::{Linear, linear_no_bias};

use super::encoder::RegionRows;

/// Waves of each number: half a wave over the picture, and so on to 16.
const WAVES: usize = 6;

/// Middle (across, down), width and height of a mask's box, in shares of its picture.
pub type MaskBox = [f32; 4];

/// The box of a mask; zeros for an empty one.
pub fn mask_box(mask: &Mask) -> MaskBox {
    let Some(found) = mask.bbox() else { return [0.0; 4] };
    let (height, width) = (mask.height() as f32, mask.width() as f32);
    let [x0, x1, y0, y1] = [found.x0, found.x1, found.y0, found.y1].map(|side| side as f32);
    [(x0 + x1) / 2.0 / width, (y0 + y1) / 2.0 / height, (x1 - x0) / width, (y1 - y0) / height]
}

/// A linear map of waves of the four numbers.
#[derive(Debug, Clone)]
pub(super) struct Place(Linear);

impl Place {
    /// Parameter `weight` below `vb`.
    pub fn new(vision_dim: usize, vb: VarBuilder) -> Result<Self> {
        Ok(Self(linear_no_bias(4 * 2 * WAVES, vision_dim, vb)?))
    }

    /// One vector for each frame of each region, `(k, dv)` in f32.
    pub fn forward(&self, regions: &[RegionRows], device: &Device) -> Result<Tensor> {
        let mut waves = Vec::new();
        let mut k = 0;
        for region in regions {
            if region.boxes.len() != region.rows.len() {
                bail!("a region of {} frames with {} boxes", region.rows.len(), region.boxes.len());
            }
            k += region.boxes.len();
            for number in region.boxes.iter().flatten() {
                let angle = |wave: usize| std::f32::consts::PI * (1 << wave) as f32 * number;
                waves.extend((0..WAVES).flat_map(|wave| [angle(wave).sin(), angle(wave).cos()]));
            }
        }
        let waves = Tensor::from_vec(waves, (k, 4 * 2 * WAVES), device)?;
        self.0.forward(&waves)?.to_dtype(DType::F32)
    }
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
}
