//! Masks, boxes, labels and numbers on a frame: so that people see what was asked about, and models what is meant.

mod font;
mod marks;
mod number;

pub use marks::{MarkStyle, mark_colour, object_box, object_mark};
pub use number::{NumberPlace, NumberStyle, frame_number};

use image::{Rgb, RgbImage};
use strefer_core::mask::{Mask, PixelBox};

/// Colours that differ well from each other, one for each object in turn.
pub const PALETTE: [[u8; 3]; 8] = [
    [230, 57, 70],
    [42, 157, 244],
    [82, 196, 26],
    [250, 173, 20],
    [146, 84, 222],
    [19, 194, 194],
    [235, 47, 150],
    [240, 240, 240],
];

/// The colour of object `index`.
pub fn colour(index: usize) -> [u8; 3] {
    PALETTE[index % PALETTE.len()]
}

/// Tints the pixels inside a mask (`alpha` 0 leaves them, 1 covers them) and draws its outline. A mask of another size is
/// stretched over the frame.
pub fn mask(image: &mut RgbImage, mask: &Mask, colour: [u8; 3], alpha: f32) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let stretched;
    let mask = if (mask.height(), mask.width()) == (height, width) {
        mask
    } else {
        stretched = mask.resize(height, width);
        &stretched
    };
    let Some(area) = mask.bbox() else { return };
    for y in area.y0..area.y1 {
        for x in area.x0..area.x1 {
            if mask.get(y, x) {
                let weight = if is_border(mask, y, x) { 1.0 } else { alpha.clamp(0.0, 1.0) };
                blend(image.get_pixel_mut(x as u32, y as u32), colour, weight);
            }
        }
    }
}

fn is_border(mask: &Mask, y: usize, x: usize) -> bool {
    let inside_above = y > 0 && mask.get(y - 1, x);
    let inside_left = x > 0 && mask.get(y, x - 1);
    let inside_below = y + 1 < mask.height() && mask.get(y + 1, x);
    let inside_right = x + 1 < mask.width() && mask.get(y, x + 1);
    !(inside_above && inside_left && inside_below && inside_right)
}

fn blend(pixel: &mut Rgb<u8>, colour: [u8; 3], weight: f32) {
    for (value, target) in pixel.0.iter_mut().zip(colour) {
        let mixed = f32::from(*value) * (1.0 - weight) + f32::from(target) * weight;
        *value = mixed.round() as u8;
    }
}

/// Draws the edges of a box, `thickness` pixels wide, inwards.
pub fn rectangle(image: &mut RgbImage, area: PixelBox, colour: [u8; 3], thickness: usize) {
    let (x1, y1) = (area.x1.min(image.width() as usize), area.y1.min(image.height() as usize));
    for y in area.y0..y1 {
        for x in area.x0..x1 {
            let depth = (x - area.x0).min(area.x1 - 1 - x).min(y - area.y0).min(area.y1 - 1 - y);
            if depth < thickness {
                image.put_pixel(x as u32, y as u32, Rgb(colour));
            }
        }
    }
}

/// Size in pixels of a label with letters of `scale`.
pub fn label_size(text: &str, scale: u32) -> (u32, u32) {
    let letters = text.chars().count() as u32;
    ((letters * font::ADVANCE + 1) * scale, (font::HEIGHT + 2) * scale)
}

/// Writes a line of text on a ground of `colour`, its upper left corner at `(x, y)`, moved to lie inside the frame. Letters
/// are capitals; characters without a picture appear as a box.
pub fn label(image: &mut RgbImage, x: i64, y: i64, text: &str, colour: [u8; 3], scale: u32) {
    let (width, height) = label_size(text, scale);
    let (left, top) = moved_inside(image, (x, y), (width, height));
    fill(image, (left, top), (width, height), colour, 1.0);
    let ink = if brightness(colour) > 140 { BLACK } else { WHITE };
    letters(image, (left + i64::from(scale), top + i64::from(scale)), text, ink, scale);
}

const BLACK: [u8; 3] = [0, 0, 0];
const WHITE: [u8; 3] = [255, 255, 255];

/// How bright a colour looks, 0 to 255.
fn brightness(colour: [u8; 3]) -> u32 {
    colour.iter().zip([2, 5, 1]).map(|(&value, weight)| u32::from(value) * weight).sum::<u32>() / 8
}

/// The upper left corner of something of `size`, moved so that it lies inside the frame.
fn moved_inside(image: &RgbImage, (x, y): (i64, i64), (width, height): (u32, u32)) -> (i64, i64) {
    let left = x.min(i64::from(image.width()) - i64::from(width)).max(0);
    let top = y.min(i64::from(image.height()) - i64::from(height)).max(0);
    (left, top)
}

/// Size in pixels of letters without a ground.
fn letters_size(text: &str, scale: u32) -> (u32, u32) {
    let letters = text.chars().count() as u32;
    ((letters * font::ADVANCE).saturating_sub(1) * scale, font::HEIGHT * scale)
}

/// Writes letters and no ground, their upper left corner at `(left, top)`.
fn letters(image: &mut RgbImage, (left, top): (i64, i64), text: &str, ink: [u8; 3], scale: u32) {
    for (column, letter) in text.chars().enumerate() {
        for (row, bits) in font::glyph(letter).into_iter().enumerate() {
            for bit in (0..font::WIDTH).filter(|bit| bits >> (font::WIDTH - 1 - bit) & 1 == 1) {
                let dot_x = left + i64::from((column as u32 * font::ADVANCE + bit) * scale);
                let dot_y = top + i64::from(row as u32 * scale);
                fill(image, (dot_x, dot_y), (scale, scale), ink, 1.0);
            }
        }
    }
}

fn fill(image: &mut RgbImage, (x, y): (i64, i64), (width, height): (u32, u32), colour: [u8; 3], alpha: f32) {
    let columns = x.max(0)..(x + i64::from(width)).min(image.width().into());
    for row in y.max(0)..(y + i64::from(height)).min(image.height().into()) {
        for column in columns.clone() {
            blend(image.get_pixel_mut(column as u32, row as u32), colour, alpha);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RED: [u8; 3] = [200, 0, 0];

    #[test]
    fn a_mask_tints_its_pixels_and_no_others() {
        let area = PixelBox { x0: 2, y0: 1, x1: 7, y1: 6 };
        let mut image = RgbImage::new(10, 8);
        mask(&mut image, &Mask::from_box(8, 10, area), RED, 0.5);
        assert_eq!(image.get_pixel(2, 1).0, RED, "the outline covers");
        assert_eq!(image.get_pixel(4, 3).0, [100, 0, 0]);
        let touched = image.pixels().filter(|pixel| pixel.0 != [0; 3]).count();
        assert_eq!(touched, 25);
    }

    #[test]
    fn a_box_past_the_border_is_cut() {
        let mut image = RgbImage::new(6, 6);
        rectangle(&mut image, PixelBox { x0: 3, y0: 3, x1: 20, y1: 5 }, RED, 1);
        let touched = image.pixels().filter(|pixel| pixel.0 == RED).count();
        assert_eq!(touched, 6);
        rectangle(&mut image, PixelBox { x0: 30, y0: 30, x1: 40, y1: 40 }, RED, 1);
    }

    #[test]
    fn a_label_at_the_corner_is_moved_inside() {
        let mut image = RgbImage::new(40, 12);
        label(&mut image, 100, -5, "1 red", RED, 1);
        let (width, height) = label_size("1 red", 1);
        let touched = image.pixels().filter(|pixel| pixel.0 != [0; 3]).count();
        assert_eq!(touched, (width * height) as usize);
        assert!(image.pixels().any(|pixel| pixel.0 == [255; 3]));
    }
}
