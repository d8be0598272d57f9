//! Images as the model wants them.

use candle_core::Tensor;

use crate::error::Result;
use crate::layers::planes;

/// An image of any size as a normalised square of `side` pixels: `rgb` holds three bytes a pixel, row by row. Height and
/// width are scaled apart.
///
/// # Shapes
/// - returns: `(1, 3, side, side)`
pub fn pixels(rgb: &[u8], height: usize, width: usize, side: usize) -> Result<Tensor> {
    planes(rgb, height, width, (side, side))
}
