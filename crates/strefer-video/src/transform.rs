//! Frames become a model's pixels, to the last bit as the reference's image processor makes them.

use image::{Rgb, RgbImage};
use serde::{Deserialize, Serialize};

pub use crate::bicubic::resize_bicubic;

/// What happens to the sides of a frame that is not square.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Resize {
    /// They are stretched.
    Square,
    /// The frame is centred on a square of the mean colour first.
    Pad,
}

/// The mean colour of SigLIP's normalisation, `int(0.5 * 255)`.
pub const MEAN_COLOUR: [u8; 3] = [127, 127, 127];

/// The frame centred on a square of one colour; the odd pixel goes to the right or bottom.
pub fn pad_to_square(image: &RgbImage, colour: [u8; 3]) -> RgbImage {
    let (width, height) = image.dimensions();
    if width == height {
        return image.clone();
    }
    let side = width.max(height);
    let mut padded = RgbImage::from_pixel(side, side, Rgb(colour));
    let (left, top) = ((side - width) / 2, (side - height) / 2);
    image::imageops::replace(&mut padded, image, left.into(), top.into());
    padded
}

/// The frame as a square of `size` pixels.
pub fn to_square(image: &RgbImage, size: u32, resize: Resize) -> RgbImage {
    match resize {
        Resize::Square => resize_bicubic(image, size, size),
        Resize::Pad => resize_bicubic(&pad_to_square(image, MEAN_COLOUR), size, size),
    }
}

/// The frame in squares of `size` pixels, row by row: as large as fits on all of them in its own shape, centred on black;
/// an odd pixel goes to the right or bottom.
pub fn to_tiles(image: &RgbImage, rows: u32, columns: u32, size: u32) -> Vec<RgbImage> {
    let (width, height) = (columns * size, rows * size);
    let (fitted_width, fitted_height) = fitted(image.dimensions(), (width, height));
    let mut canvas = RgbImage::new(width, height);
    let (left, top) = ((width - fitted_width) / 2, (height - fitted_height) / 2);
    let fitted = resize_bicubic(image, fitted_width, fitted_height);
    image::imageops::replace(&mut canvas, &fitted, left.into(), top.into());
    let places = (0..rows).flat_map(|row| (0..columns).map(move |column| (column * size, row * size)));
    places.map(|(x, y)| image::imageops::crop_imm(&canvas, x, y, size, size).to_image()).collect()
}

/// Width and height of the largest picture of a shape on a canvas; fractions are rounded up.
fn fitted((width, height): (u32, u32), (canvas_width, canvas_height): (u32, u32)) -> (u32, u32) {
    let scale_x = f64::from(canvas_width) / f64::from(width);
    let scale_y = f64::from(canvas_height) / f64::from(height);
    let scaled = |length: u32, scale: f64| (f64::from(length) * scale).ceil() as u32;
    match scale_x < scale_y {
        true => (canvas_width, scaled(height, scale_x).min(canvas_height)),
        false => (scaled(width, scale_y).min(canvas_width), canvas_height),
    }
}

/// The frame stretched to `size` x `size`, channels first, `0..=255` as `-1.0..=1.0`.
///
/// # Shapes
/// - returns: `(3, size, size)`
pub fn to_pixels(image: &RgbImage, size: u32) -> Vec<f32> {
    normalise(&resize_bicubic(image, size, size))
}

/// A frame's pixels channels first, `x / 255` less 0.5, over 0.5.
///
/// # Shapes
/// - returns: `(3, h, w)`
pub fn normalise(image: &RgbImage) -> Vec<f32> {
    let scaled: Vec<f32> = (0..=255u8).map(|value| (f32::from(value) / 255.0 - 0.5) / 0.5).collect();
    let mut pixels = Vec::with_capacity(image.as_raw().len());
    for channel in 0..3 {
        pixels.extend(image.pixels().map(|pixel| scaled[usize::from(pixel.0[channel])]));
    }
    pixels
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn padding_centres_and_fills_with_the_mean() {
        let padded = pad_to_square(&RgbImage::from_pixel(5, 2, Rgb([9, 8, 7])), MEAN_COLOUR);
        assert_eq!(padded.dimensions(), (5, 5));
        let inside: Vec<bool> = (0..5).map(|y| padded.get_pixel(0, y).0 == [9, 8, 7]).collect();
        assert_eq!(inside, [false, true, true, false, false]);
        assert_eq!(padded.get_pixel(4, 4).0, MEAN_COLOUR);
    }

    #[test]
    fn tiles_show_the_frame_in_its_own_shape_on_black() {
        let white = RgbImage::from_pixel(6, 3, Rgb([255; 3]));
        // Three times as large: 18 by 9 of 18 by 12 pixels, one black row above and two below.
        let tiles = to_tiles(&white, 2, 3, 6);
        assert_eq!(tiles.len(), 6);
        for (at, tile) in tiles.iter().enumerate() {
            let black = |y: u32| (at < 3 && y < 1) || (at >= 3 && y >= 4);
            for (_, y, pixel) in tile.enumerate_pixels() {
                assert_eq!(pixel.0, [if black(y) { 0 } else { 255 }; 3], "tile {at}, row {y}");
            }
        }
        assert_eq!(fitted((61, 26), (66, 44)), (66, 29));
        assert_eq!(fitted((26, 61), (44, 66)), (29, 66));
    }

    #[test]
    fn black_is_minus_one_and_white_is_one() {
        let mut image = RgbImage::new(2, 1);
        image.put_pixel(1, 0, Rgb([255, 0, 255]));
        assert_eq!(normalise(&image), [-1.0, 1.0, -1.0, -1.0, -1.0, 1.0]);
    }
}
