//! How much a frame differs from the one before: PySceneDetect's content score.

use image::RgbImage;

/// A frame's hue (0 to 179), saturation and value in 8 bits, as OpenCV has them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hsv {
    size: (u32, u32),
    pixels: Vec<[u8; 3]>,
}

/// OpenCV divides by multiplying with tables of 12 bits after the point.
const SHIFT: u32 = 12;

fn ratio(numerator: i64, denominator: i64) -> i64 {
    // Rounded to the nearest, halves to the even one: what a conversion of the quotient gives.
    (numerator as f64 / denominator as f64).round_ties_even() as i64
}

fn rounded(value: i64) -> i64 {
    (value + (1 << (SHIFT - 1))) >> SHIFT
}

/// Hue, saturation and value of a colour.
pub fn hsv([red, green, blue]: [u8; 3]) -> [u8; 3] {
    let (r, g, b) = (i64::from(red), i64::from(green), i64::from(blue));
    let value = r.max(g).max(b);
    let spread = value - r.min(g).min(b);
    let saturation = if value == 0 { 0 } else { rounded(spread * ratio(255 << SHIFT, value)) };
    let sixth = match () {
        () if spread == 0 => 0,
        () if value == r => g - b,
        () if value == g => b - r + 2 * spread,
        () => r - g + 4 * spread,
    };
    let hue = if spread == 0 { 0 } else { rounded(sixth * ratio(180 << SHIFT, 6 * spread)) };
    let hue = if hue < 0 { hue + 180 } else { hue };
    [hue as u8, saturation as u8, value as u8]
}

impl Hsv {
    /// Of a frame, made small first where it is wider than `most` pixels.
    pub fn of(image: &RgbImage, most: u32) -> Self {
        let (width, height) = image.dimensions();
        let convert = |image: &RgbImage| Self {
            size: image.dimensions(),
            pixels: image.pixels().map(|pixel| hsv(pixel.0)).collect(),
        };
        if width <= most {
            return convert(image);
        }
        let scaled = (u64::from(height) * u64::from(most) / u64::from(width)).max(1) as u32;
        convert(&image::imageops::thumbnail(image, most, scaled))
    }

    /// The mean of the mean absolute differences of the three channels; 0 for frames of different sizes.
    pub fn difference(&self, before: &Self) -> f64 {
        if self.size != before.size || self.pixels.is_empty() {
            return 0.0;
        }
        let mut sums = [0u64; 3];
        for (now, then) in self.pixels.iter().zip(&before.pixels) {
            for channel in 0..3 {
                sums[channel] += u64::from(now[channel].abs_diff(then[channel]));
            }
        }
        sums.iter().map(|&sum| sum as f64 / self.pixels.len() as f64).sum::<f64>() / 3.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_have_opencvs_hue_saturation_and_value() {
        // By hand: hue is a third of the circle of 180 apart from red to green to blue.
        assert_eq!(hsv([255, 0, 0]), [0, 255, 255]);
        assert_eq!(hsv([0, 255, 0]), [60, 255, 255]);
        assert_eq!(hsv([0, 0, 255]), [120, 255, 255]);
        assert_eq!(hsv([255, 0, 255]), [150, 255, 255]);
        assert_eq!(hsv([128, 128, 128]), [0, 0, 128]);
        assert_eq!(hsv([0, 0, 0]), [0, 0, 0]);
        // 100, 50, 25: spread 75, saturation 75/100 of 255 = 191.25; hue 60 * 25/75 / 2 = 10.
        assert_eq!(hsv([100, 50, 25]), [10, 191, 100]);
        // Red with a little blue lies just below the full circle.
        assert_eq!(hsv([200, 0, 10]), [179, 255, 200]);
    }

    #[test]
    fn the_score_is_the_mean_over_channels() {
        let plain = |colour: [u8; 3]| Hsv::of(&RgbImage::from_pixel(4, 2, image::Rgb(colour)), 256);
        // From red to green: hue 60, saturation and value 0.
        assert_eq!(plain([0, 255, 0]).difference(&plain([255, 0, 0])), 20.0);
        // Grey by 30: value alone.
        assert_eq!(plain([90; 3]).difference(&plain([60; 3])), 10.0);
        let half = RgbImage::from_fn(4, 2, |x, _| image::Rgb([if x < 2 { 90 } else { 60 }; 3]));
        assert_eq!(Hsv::of(&half, 256).difference(&plain([60; 3])), 5.0);
        assert_eq!(Hsv::of(&half, 2).difference(&Hsv::of(&half, 256)), 0.0);
    }
}
