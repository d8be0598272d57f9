//! Images as the model wants them.

use candle_core::{Device, Tensor};

use crate::error::{Error, Result};
use crate::layers::{Filter, resize};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// An image of any size as a normalised square of `side` pixels: `rgb` holds three bytes a pixel, row by row. Sides are
/// scaled apart; values are rounded to bytes after that, as the reference does.
///
/// # Shapes
/// - returns: `(1, 3, side, side)`
pub fn pixels(rgb: &[u8], height: usize, width: usize, side: usize) -> Result<Tensor> {
    planes(rgb, height, width, (side, side))
}

/// As [`pixels`], of any `size` (height, width).
pub(crate) fn planes(rgb: &[u8], height: usize, width: usize, size: (usize, usize)) -> Result<Tensor> {
    if rgb.len() != height * width * 3 || rgb.is_empty() {
        let bytes = rgb.len();
        return Err(Error::input(format!("{bytes} bytes are no image of {height}x{width} pixels")));
    }
    let image = Tensor::from_iter(rgb.iter().map(|byte| f32::from(*byte)), &Device::Cpu)?;
    let image = image.reshape((1, height, width, 3))?.permute((0, 3, 1, 2))?.contiguous()?;
    let image = (resize(&image, size, Filter::Antialias)?.round()? / 255.)?;
    let channel = |values: [f32; 3]| Tensor::new(&values, &Device::Cpu)?.reshape((1, 3, 1, 1));
    Ok(image.broadcast_sub(&channel(MEAN)?)?.broadcast_div(&channel(STD)?)?)
}
