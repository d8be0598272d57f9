//! Images as the model wants them.

use candle_core::Tensor;

use super::ImageBatch;
use crate::error::{Error, Result};
use crate::layers::planes;

/// The shorter side of images.
const SHORT: f64 = 800.0;

/// The longer side at most.
const LONG: f64 = 1333.0;

/// Height and width that an image is resized to: the shorter side becomes 800, or less so that the longer one stays within
/// 1333.
pub fn image_size(height: usize, width: usize) -> (usize, usize) {
    let (small, large) = (height.min(width) as f64, height.max(width) as f64);
    let (short, raw) = if large / small * SHORT > LONG {
        let raw = LONG * small / large;
        (raw.round_ties_even(), raw)
    } else {
        (SHORT, SHORT)
    };
    if small == short {
        return (height, width);
    }
    let long = (raw * large / small) as usize;
    if height < width { (short as usize, long) } else { (long, short as usize) }
}

/// Images, each three bytes a pixel, row by row, with height and width, as one batch.
pub fn batch(images: &[(&[u8], usize, usize)]) -> Result<ImageBatch> {
    if images.is_empty() || images.iter().any(|image| image.1 == 0 || image.2 == 0) {
        return Err(Error::input("a batch without images, or images without pixels"));
    }
    let sizes: Vec<(usize, usize)> = images.iter().map(|image| image_size(image.1, image.2)).collect();
    let height = sizes.iter().map(|size| size.0).max().unwrap_or_default();
    let width = sizes.iter().map(|size| size.1).max().unwrap_or_default();
    let padded = |(&(rgb, h, w), &size): (&(&[u8], usize, usize), &(usize, usize))| -> Result<Tensor> {
        let pixels = planes(rgb, h, w, size)?;
        Ok(pixels.pad_with_zeros(2, 0, height - size.0)?.pad_with_zeros(3, 0, width - size.1)?)
    };
    let pixels = images.iter().zip(&sizes).map(padded).collect::<Result<Vec<_>>>()?;
    Ok(ImageBatch { pixels: Tensor::cat(&pixels, 0)?, sizes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sides_follow_the_published_rule() {
        assert_eq!(image_size(480, 640), (800, 1066));
        assert_eq!(image_size(640, 480), (1066, 800));
        assert_eq!(image_size(1080, 1920), (750, 1333));
        assert_eq!(image_size(800, 1000), (800, 1000));
        assert_eq!(image_size(500, 500), (800, 800));
    }

    #[test]
    fn images_lie_in_the_top_left_corner() {
        let rgb = vec![200u8; 30 * 40 * 3];
        let batch = batch(&[(&rgb, 30, 40), (&rgb, 40, 30)]).unwrap();
        assert_eq!(batch.pixels.dims(), [2, 3, 1066, 1066]);
        assert_eq!(batch.sizes, [(800, 1066), (1066, 800)]);
        let below: f32 = batch
            .pixels
            .narrow(2, 800, 266)
            .unwrap()
            .get(0)
            .unwrap()
            .abs()
            .unwrap()
            .sum_all()
            .unwrap()
            .to_scalar()
            .unwrap();
        assert_eq!(below, 0.0);
    }
}
