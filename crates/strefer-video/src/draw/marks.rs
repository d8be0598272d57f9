//! Marks that point a model at objects: numbered outlines (Set-of-Mark, arXiv 2310.11441) and coloured boxes (ST-VLM,
//! arXiv 2503.19355).

use image::RgbImage;
use strefer_core::Mask;
use strefer_core::marks::{Colour, stroke_px, visible_box};
use strefer_core::mask::PixelBox;

use super::{
    BLACK, WHITE, brightness, fill, is_border, letters, letters_size, mask as draw_mask, moved_inside,
};

/// Colours of numbered outlines and their names, in the order in which VideoRefer's benchmarks give them to objects.
const COLOURS: [(&str, [u8; 3]); 9] = [
    ("red", [255, 0, 0]),
    ("green", [0, 128, 0]),
    ("yellow", [255, 255, 0]),
    ("blue", [0, 0, 255]),
    ("grey", [128, 128, 128]),
    ("purple", [128, 0, 128]),
    ("orange", [255, 165, 0]),
    ("brown", [165, 42, 42]),
    ("pink", [255, 192, 203]),
];

/// The name and the colour of the outline of object `index`.
pub fn mark_colour(index: usize) -> (&'static str, [u8; 3]) {
    COLOURS[index % COLOURS.len()]
}

/// How an object is outlined and numbered.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct MarkStyle {
    /// How much of the colour covers the object.
    pub alpha: f32,
    /// How much of the plate under the number covers the frame.
    pub plate_alpha: f32,
    /// Parts of a mask with fewer pixels are not drawn.
    pub least_part: usize,
    /// From the deepest pixel of the mask to the middle of the number's upper edge, right and down, in pixels.
    pub offset: (i64, i64),
}

impl Default for MarkStyle {
    fn default() -> Self {
        Self { alpha: 0.1, plate_alpha: 0.8, least_part: 10, offset: (2, -6) }
    }
}

/// The shorter side of a frame over the size of a letter's dots and the thickness of outlines.
const SIDE_PER_DOT: f64 = 160.0;

/// Outlines and tints an object of a frame, and writes a number where it is deepest. A mask whose parts are all too small
/// leaves the frame as it is. Draw larger objects first: what comes later lies on top.
pub fn object_mark(image: &mut RgbImage, mask: &Mask, number: usize, colour: [u8; 3], style: &MarkStyle) {
    let (width, height) = (image.width() as usize, image.height() as usize);
    let mask = if (mask.height(), mask.width()) == (height, width) {
        mask.without_specks(style.least_part)
    } else {
        mask.resize(height, width).without_specks(style.least_part)
    };
    let Some((y, x)) = mask.deepest_pixel() else { return };
    let text = number.to_string();
    let scale = ((width.min(height) as f64 / SIDE_PER_DOT).round() as u32).max(1);
    draw_mask(image, &mask, colour, style.alpha);
    // The outline is as thick as a dot of the number, inwards.
    let mut inner = mask;
    for _ in 1..scale {
        inner = Mask::from_fn(height, width, |y, x| inner.get(y, x) && !is_border(&inner, y, x));
        draw_mask(image, &inner, colour, 0.0);
    }
    let (letters_width, letters_height) = letters_size(&text, scale);
    let plate = (letters_width + 2 * scale, letters_height + 2 * scale);
    let left = x as i64 + style.offset.0 - i64::from(plate.0 / 2);
    let corner = moved_inside(image, (left, y as i64 + style.offset.1), plate);
    // A dark plate where the frame is bright and a light one where it is dark.
    let is_bright = mean_brightness(image, corner, plate) >= 128;
    let (ground, ink) = if is_bright { (BLACK, WHITE) } else { (WHITE, BLACK) };
    fill(image, corner, plate, ground, style.plate_alpha);
    letters(image, (corner.0 + i64::from(scale), corner.1 + i64::from(scale)), &text, ink, scale);
}

fn mean_brightness(image: &RgbImage, (left, top): (i64, i64), (width, height): (u32, u32)) -> u32 {
    let inside = |at: i64, length: u32, side: u32| at.max(0) as u32..((at.max(0) as u32) + length).min(side);
    let rows = inside(top, height, image.height());
    let columns = inside(left, width, image.width());
    let count = (rows.len() * columns.len()).max(1) as u64;
    let sum: u64 = rows
        .flat_map(|y| columns.clone().map(move |x| (x, y)))
        .map(|(x, y)| u64::from(brightness(image.get_pixel(x, y).0)))
        .sum();
    (sum / count) as u32
}

/// Draws the visible part of a box (left, top, right, bottom) around an object; nothing where it is smaller than
/// `smallest` of the frame.
pub fn object_box(image: &mut RgbImage, bbox: [f64; 4], colour: Colour, smallest: f64) {
    let size = (image.height() as usize, image.width() as usize);
    if let Some(bbox) = visible_box(bbox, size, smallest) {
        let [x0, y0, x1, y1] = bbox.map(|side| side.round() as usize);
        super::rectangle(image, PixelBox { x0, y0, x1, y1 }, colour.rgb(), stroke_px(size));
    }
}

#[cfg(test)]
mod tests {
    use image::Rgb;

    use super::*;

    fn changed(before: &RgbImage, after: &RgbImage) -> Vec<(u32, u32)> {
        let pairs = before.enumerate_pixels().zip(after.pixels());
        pairs.filter(|((_, _, old), new)| old != new).map(|((x, y, _), _)| (x, y)).collect()
    }

    #[test]
    fn an_object_is_outlined_tinted_and_numbered_and_nothing_else_changes() {
        let grey = RgbImage::from_pixel(60, 50, Rgb([200, 200, 200]));
        let area = PixelBox { x0: 10, y0: 5, x1: 51, y1: 46 };
        let mask = Mask::from_box(50, 60, area);
        let (name, red) = mark_colour(0);
        let mut marked = grey.clone();
        object_mark(&mut marked, &mask, 1, red, &MarkStyle::default());
        assert_eq!(name, "red");
        assert_eq!(marked.get_pixel(10, 5).0, red, "the outline covers");
        assert_eq!(marked.get_pixel(12, 8).0, [206, 180, 180], "a tenth of the colour");
        assert!(changed(&grey, &marked).iter().all(|&(x, y)| mask.get(y as usize, x as usize)));
        // The middle is (30, 25); a plate of 7x9 whose upper edge has its middle at (32, 19).
        let white = marked.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 == WHITE);
        let white: Vec<(u32, u32)> = white.map(|(x, y, _)| (x, y)).collect();
        assert_eq!(white.len(), 10, "the dots of a 1");
        assert!(white.iter().all(|&(x, y)| (30..35).contains(&x) && (20..27).contains(&y)));
        let plate = marked.get_pixel(29, 19).0;
        assert_eq!(plate, [41, 36, 36], "a fifth of the tinted frame under a black plate");

        let mut again = grey.clone();
        object_mark(&mut again, &mask, 1, red, &MarkStyle::default());
        assert_eq!(again, marked);
        object_mark(
            &mut again,
            &Mask::from_box(50, 60, PixelBox { x0: 0, y0: 0, x1: 3, y1: 3 }),
            2,
            red,
            &MarkStyle::default(),
        );
        assert_eq!(again, marked, "nine pixels are too few");
    }

    #[test]
    fn outlines_and_numbers_grow_with_the_frame() {
        let mut image = RgbImage::new(320, 320);
        let mask = Mask::from_box(320, 320, PixelBox { x0: 20, y0: 30, x1: 220, y1: 230 });
        object_mark(&mut image, &mask, 1, [255, 0, 0], &MarkStyle { alpha: 0.0, ..MarkStyle::default() });
        let red = image.pixels().filter(|pixel| pixel.0 == [255, 0, 0]).count();
        assert_eq!(red, 200 * 200 - 196 * 196);
        let plate = image.pixels().filter(|pixel| pixel.0 == [204; 3] || pixel.0 == BLACK).count();
        assert!(image.get_pixel(114, 125).0 == [204; 3] && plate + red == 320 * 320);
    }

    #[test]
    fn plates_differ_from_what_lies_under_them() {
        let style = MarkStyle { alpha: 0.0, ..MarkStyle::default() };
        let mask = Mask::from_fn(40, 40, |_, _| true);
        for (ground, ink) in [(20, BLACK), (230, WHITE)] {
            let mut image = RgbImage::from_pixel(40, 40, Rgb([ground; 3]));
            object_mark(&mut image, &mask, 8, [0, 0, 255], &style);
            assert!(image.pixels().any(|pixel| pixel.0 == ink), "on {ground}");
        }
    }

    #[test]
    fn a_box_is_cut_and_a_tiny_one_left_out() {
        let blank = RgbImage::new(100, 80);
        let mut image = blank.clone();
        object_box(&mut image, [90.0, 70.0, 130.0, 130.0], Colour::Blue, 0.0005);
        assert_eq!(changed(&blank, &image).len(), 100 - 36, "a box of 10x10 and a stroke of 2");
        let mut image = blank.clone();
        object_box(&mut image, [5.0, 5.0, 6.0, 7.0], Colour::Blue, 0.0005);
        assert_eq!(image, blank);
    }
}
