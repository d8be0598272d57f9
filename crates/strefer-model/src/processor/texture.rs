//! Objects filled with patterns that are not theirs: their form cannot be told from their surface then (as with the textures
//! of arXiv 1811.12231).

use std::borrow::Cow;
use std::collections::BTreeMap;

use image::RgbImage;
use strefer_core::{FrameKey, Mask, Rng, Sample};

use super::clip::Clip;
use super::regions::mask_at;
use crate::error::Result;

/// Dark parts have this share of the object's mean colour at most.
const DARKEST: f64 = 0.7;

/// What is painted on an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Pattern {
    Plain,
    Stripes,
    Squares,
    Dots,
}

/// The surface of one object, the same in all frames.
#[derive(Debug, Clone, Copy)]
struct Surface {
    pattern: Pattern,
    /// How much darker the dark parts are.
    dark: f64,
    /// Length of a period as a share of the object's longer side.
    period: f64,
    /// Radians.
    angle: f64,
    /// Where the first period begins, as a share of it.
    phase: f64,
}

impl Surface {
    fn draw(mut rng: Rng) -> Self {
        let patterns = [Pattern::Plain, Pattern::Stripes, Pattern::Squares, Pattern::Dots];
        Self {
            pattern: patterns[rng.below(patterns.len())],
            dark: rng.range(0.0, DARKEST),
            period: rng.range(0.15, 0.6),
            angle: rng.range(0.0, std::f64::consts::PI),
            phase: rng.uniform(),
        }
    }

    /// Whether the place that lies so many periods to the right of the object's middle, and below it, is dark.
    fn is_dark(&self, x: f64, y: f64) -> bool {
        let (sin, cos) = self.angle.sin_cos();
        let (u, v) = (x * cos + y * sin + self.phase, y * cos - x * sin + self.phase);
        let odd = |at: f64| at.rem_euclid(1.0) < 0.5;
        match self.pattern {
            Pattern::Plain => false,
            Pattern::Stripes => odd(u),
            Pattern::Squares => odd(u) != odd(v),
            Pattern::Dots => (u.rem_euclid(1.0) - 0.5).hypot(v.rem_euclid(1.0) - 0.5) < 0.3,
        }
    }

    fn fill(&self, image: &mut RgbImage, mask: &Mask) {
        let Some(area) = mask.bbox() else { return };
        let (width, height) = ((area.x1 - area.x0) as f64, (area.y1 - area.y0) as f64);
        let (middle_x, middle_y) = (area.x0 as f64 + width / 2.0, area.y0 as f64 + height / 2.0);
        let period = self.period * width.max(height);
        let inside = || {
            let places = (area.y0..area.y1).flat_map(|y| (area.x0..area.x1).map(move |x| (x, y)));
            places.filter(|&(x, y)| mask.get(y, x))
        };
        let mut sum = [0.0; 3];
        for (x, y) in inside() {
            let pixel = image.get_pixel(x as u32, y as u32).0;
            (0..3).for_each(|channel| sum[channel] += f64::from(pixel[channel]));
        }
        let mean = sum.map(|sum| sum / mask.area() as f64);
        for (x, y) in inside() {
            let dark = self.is_dark((x as f64 - middle_x) / period, (y as f64 - middle_y) / period);
            let share = if dark { self.dark } else { 1.0 };
            image.get_pixel_mut(x as u32, y as u32).0 = mean.map(|mean| (mean * share) as u8);
        }
    }
}

/// Surfaces of a sample's objects where it gets other ones.
#[derive(Debug, Default)]
pub struct Textures {
    /// By source frame.
    masks: BTreeMap<usize, Vec<(Surface, Mask)>>,
}

impl Textures {
    /// Draws a surface for every object.
    ///
    /// # Errors
    /// A mask of another size than its frame.
    pub fn draw(sample: &Sample, chosen: &[Vec<(FrameKey, usize)>], clip: &Clip, rng: &Rng) -> Result<Self> {
        let mut masks: BTreeMap<usize, Vec<(Surface, Mask)>> = BTreeMap::new();
        for (object, frames) in chosen.iter().enumerate() {
            let surface = Surface::draw(rng.at(object as u64));
            for &(key, frame) in frames {
                if let Some(mask) = mask_at(sample, object, key, clip)? {
                    masks.entry(frame).or_default().push((surface, mask));
                }
            }
        }
        Ok(Self { masks })
    }

    /// Whether an object of a source frame has another surface.
    pub fn change(&self, index: usize) -> bool {
        self.masks.contains_key(&index)
    }

    /// A source frame with the surfaces, at its own size.
    pub fn paint<'a>(&self, image: &'a RgbImage, index: usize) -> Cow<'a, RgbImage> {
        let Some(masks) = self.masks.get(&index) else { return Cow::Borrowed(image) };
        let mut image = image.clone();
        for (surface, mask) in masks {
            surface.fill(&mut image, mask);
        }
        Cow::Owned(image)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_has_two_colours_and_the_rest_stays() {
        let mut image = RgbImage::from_fn(32, 32, |x, y| image::Rgb([(8 * x) as u8, (8 * y) as u8, 90]));
        let before = image.clone();
        let mask = Mask::from_fn(32, 32, |y, x| (8..24).contains(&x) && (4..28).contains(&y));
        for pattern in [Pattern::Plain, Pattern::Stripes, Pattern::Squares, Pattern::Dots] {
            let surface = Surface { pattern, dark: 0.5, period: 0.4, angle: 0.3, phase: 0.1 };
            surface.fill(&mut image, &mask);
            let mut colours = std::collections::BTreeSet::new();
            for (x, y, pixel) in image.enumerate_pixels() {
                if mask.get(y as usize, x as usize) {
                    colours.insert(pixel.0);
                } else {
                    assert_eq!(pixel, before.get_pixel(x, y));
                }
            }
            assert_eq!(colours.len(), if pattern == Pattern::Plain { 1 } else { 2 }, "{pattern:?}");
            image = before.clone();
        }
    }
}
