//! Frames become squares of model size, and squares numbers.

use image::RgbImage;
use strefer_video::transform::{Resize, to_square, to_tiles};

use super::augment::Look;
use super::frame_cache::{Pixels, View};
use crate::config::Fit;

/// What a view shows of a frame: one square, or the squares of all tiles row by row.
pub fn squares(frame: &RgbImage, view: &View) -> Pixels {
    let size = view.size as u32;
    let resize = match view.fit {
        Fit::Stretch => Resize::Square,
        Fit::Pad => Resize::Pad,
    };
    match view.tiling {
        None => to_square(frame, size, resize).into_raw().into(),
        Some(tiling) => {
            let tiles = to_tiles(frame, tiling.rows as u32, tiling.columns as u32, size);
            tiles.into_iter().flat_map(RgbImage::into_raw).collect()
        }
    }
}

/// All squares of the frames in the sample's look.
///
/// # Shapes
/// - returns: `(squares, 3, size, size)`, flat
pub fn normalised(frames: &[Pixels], size: usize, look: Look) -> Vec<f32> {
    let values = frames.iter().map(|frame| frame.len()).sum();
    let mut pixels = Vec::with_capacity(values);
    for rgb in frames.iter().flat_map(|frame| frame.chunks_exact(3 * size * size)) {
        match look.of(rgb, size as u32) {
            Some(changed) => normalise_into(&mut pixels, &changed),
            None => normalise_into(&mut pixels, rgb),
        }
    }
    pixels
}

/// Appends `(x / 255 - 0.5) / 0.5`, channels first.
fn normalise_into(pixels: &mut Vec<f32>, rgb: &[u8]) {
    for channel in 0..3 {
        pixels.extend(rgb[channel..].iter().step_by(3).map(|&value| (f32::from(value) / 255.0 - 0.5) / 0.5));
    }
}
