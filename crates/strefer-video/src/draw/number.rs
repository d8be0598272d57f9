//! Numbers of frames, drawn into them, so that a model can say when something happens (NumberIt, arXiv 2411.10332).

use image::RgbImage;
use strefer_core::marks::Colour;

use super::{font, letters, letters_size};

/// Where in a frame its number stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberPlace {
    /// Upper left corner.
    TopLeft,
    /// Upper right corner.
    TopRight,
    /// Lower left corner.
    BottomLeft,
    /// Lower right corner.
    BottomRight,
    /// The middle.
    Centre,
}

impl NumberPlace {
    /// As a question calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::TopLeft => "top left corner",
            Self::TopRight => "top right corner",
            Self::BottomLeft => "bottom left corner",
            Self::BottomRight => "bottom right corner",
            Self::Centre => "center",
        }
    }
}

/// How frames are numbered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NumberStyle {
    /// Size of the type in pixels, a digit's height being 0.73 of it as in DejaVu Sans Bold; less on frames that are not
    /// four times as high.
    pub size_px: u32,
    /// The colour of the digits.
    pub colour: Colour,
    /// Where they stand.
    pub place: NumberPlace,
}

impl Default for NumberStyle {
    fn default() -> Self {
        Self { size_px: 40, colour: Colour::Red, place: NumberPlace::BottomRight }
    }
}

/// Height of a digit over the size of the type.
const DIGIT_SHARE: f64 = 0.73;

/// Writes a frame's number into it, without padding and without a ground.
pub fn frame_number(image: &mut RgbImage, number: usize, style: &NumberStyle) {
    let text = number.to_string();
    let size_px = style.size_px.min(image.height() / 4);
    let scale = ((f64::from(size_px) * DIGIT_SHARE / f64::from(font::HEIGHT)).round() as u32).max(1);
    let (width, height) = letters_size(&text, scale);
    // A third of the digits' height stays free above or below.
    let (right, margin) = (i64::from(image.width()) - i64::from(width), i64::from(height / 3));
    let bottom = i64::from(image.height()) - i64::from(height);
    let corner = match style.place {
        NumberPlace::TopLeft => (0, margin),
        NumberPlace::TopRight => (right, margin),
        NumberPlace::BottomLeft => (0, bottom - margin),
        NumberPlace::BottomRight => (right, bottom - margin),
        NumberPlace::Centre => (right / 2, bottom / 2),
    };
    letters(image, corner, &text, style.colour.rgb(), scale);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Left, top, right and bottom of what is not black, and how many pixels.
    fn drawn(width: u32, height: u32, number: usize, style: &NumberStyle) -> ([u32; 4], usize) {
        let mut image = RgbImage::new(width, height);
        frame_number(&mut image, number, style);
        let red = image.enumerate_pixels().filter(|(_, _, pixel)| pixel.0 != [0; 3]);
        let red: Vec<(u32, u32)> = red.map(|(x, y, _)| (x, y)).collect();
        let (columns, rows) = (red.iter().map(|place| place.0), red.iter().map(|place| place.1));
        let edge = |least: Option<u32>| least.unwrap_or_default();
        (
            [edge(columns.clone().min()), edge(rows.clone().min()), edge(columns.max()), edge(rows.max())],
            red.len(),
        )
    }

    #[test]
    fn a_number_stands_in_its_corner_as_large_as_the_type_says() {
        let style = NumberStyle::default();
        // 40 px of type: digits of 28 px, four pixels a dot; 9 px free below.
        let (edges, count) = drawn(336, 336, 20, &style);
        assert_eq!(edges, [336 - 44, 336 - 28 - 9, 335, 336 - 9 - 1]);
        assert_eq!(count, (15 + 19) * 16, "the dots of a 2 and of a 0");
        let left = NumberStyle { place: NumberPlace::TopLeft, ..style };
        assert_eq!(drawn(336, 336, 20, &left).0, [0, 9, 43, 36]);
        let centre = NumberStyle { place: NumberPlace::Centre, ..style };
        assert_eq!(drawn(336, 336, 20, &centre).0, [146, 154, 189, 181]);
    }

    #[test]
    fn digits_are_smaller_on_small_frames_and_all_are_drawn_alike() {
        let style = NumberStyle::default();
        assert_eq!(drawn(128, 64, 0, &style).0, [128 - 10, 64 - 14 - 4, 127, 64 - 4 - 1]);
        assert_eq!(drawn(128, 64, 17, &style), drawn(128, 64, 17, &style));
        assert_ne!(drawn(128, 64, 17, &style), drawn(128, 64, 18, &style));
        assert!(drawn(4, 4, 123, &style).1 > 0, "a frame that is too small shows a part");
    }
}
