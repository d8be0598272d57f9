//! Images as both towers want them.

use candle_core::{Device, Tensor};
use image::RgbImage;
use strefer_video::transform::{pad_to_square, resize_bicubic};

use super::RexSeekConfig;
use crate::connector::bilinear;
use crate::error::{Error, Result};

const MEAN: [f32; 3] = [0.481_454_66, 0.457_827_5, 0.408_210_73];
const STD: [f32; 3] = [0.268_629_54, 0.261_302_6, 0.275_777_1];

/// The mean as a colour, `int(255 mean)`.
const MEAN_COLOUR: [u8; 3] = [122, 116, 104];

/// An image on the square canvas, normalised.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// For ConvNeXt: `(1, 3, canvas, canvas)`
    pub canvas: Tensor,
    /// For CLIP, the canvas made smaller: `(1, 3, size, size)`
    pub small: Tensor,
}

/// Centres an image on a square of the mean colour, resizes it to the canvas, normalises it, and makes a smaller copy.
///
/// # Errors
/// An image without pixels.
pub fn prepare(image: &RgbImage, cfg: &RexSeekConfig) -> Result<Prepared> {
    let (width, height) = image.dimensions();
    if width == 0 || height == 0 {
        let reason = format!("{width}x{height} (width x height) has no pixels");
        return Err(Error::Grounding { subject: "image".into(), reason });
    }
    let side = cfg.canvas as u32;
    let square = resize_bicubic(&pad_to_square(image, MEAN_COLOUR), side, side);
    let mut values = Vec::with_capacity(square.as_raw().len());
    for (channel, (mean, std)) in MEAN.into_iter().zip(STD).enumerate() {
        let table: Vec<f32> =
            (0..=255u8).map(|value| ((f64::from(value) / 255.0) as f32 - mean) / std).collect();
        values.extend(square.pixels().map(|pixel| table[usize::from(pixel.0[channel])]));
    }
    let canvas = Tensor::from_vec(values, (1, 3, cfg.canvas, cfg.canvas), &Device::Cpu)?;
    let size = cfg.clip.image_size;
    let small = bilinear::resize(&canvas.permute((0, 2, 3, 1))?, size, size)?; // (1, size, size, 3)
    Ok(Prepared { small: small.permute((0, 3, 1, 2))?.contiguous()?, canvas })
}
