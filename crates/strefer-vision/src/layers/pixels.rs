//! Images as normalised planes.

use candle_core::{Device, Tensor};

use super::{Filter, resize};
use crate::error::{Error, Result};

const MEAN: [f32; 3] = [0.485, 0.456, 0.406];
const STD: [f32; 3] = [0.229, 0.224, 0.225];

/// An image, `rgb` with three bytes a pixel, row by row, resized to `size` (height, width) and normalised. Values are
/// rounded to bytes after they were resized, as the references do.
///
/// # Shapes
/// - returns: `(1, 3, h, w)`
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
