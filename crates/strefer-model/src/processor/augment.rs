//! What chance does to one sample.

use image::imageops::blur;
use image::imageops::colorops::{grayscale, huerotate};
use image::{DynamicImage, RgbImage};
use strefer_core::Rng;
use strefer_core::mixture::Augment;

use crate::region::{MaskPlace, RegionRows};

/// The weakest blur, in pixels.
const LEAST_SIGMA: f64 = 0.3;

/// How much of a channel is left at least where colours are changed.
const LEAST_GAIN: f64 = 0.5;

/// Other colours.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Recolour {
    /// By how much the hue turns, in degrees.
    degrees: i32,
    /// What is left of red, green and blue after that.
    gains: [f32; 3],
}

/// What was drawn for one sample; all its frames look alike.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Look {
    grey: bool,
    colours: Option<Recolour>,
    /// Objects have other surfaces.
    pub texture: bool,
    /// Standard deviation of a blur, in pixels.
    blur: Option<f32>,
    /// Objects come without their masks' outlines.
    no_outline: bool,
}

impl Look {
    /// Draws what happens to a sample.
    pub fn draw(cfg: &Augment, mut rng: Rng) -> Self {
        let grey = rng.chance(cfg.grey);
        let blur =
            rng.chance(cfg.blur).then(|| rng.range(LEAST_SIGMA, cfg.blur_sigma.max(LEAST_SIGMA)) as f32);
        let no_outline = rng.chance(cfg.no_outline);
        let colours = rng.chance(cfg.recolour).then(|| Recolour {
            degrees: rng.range(0.0, 360.0) as i32,
            gains: std::array::from_fn(|_| rng.range(LEAST_GAIN, 1.0) as f32),
        });
        Self { grey, colours, texture: rng.chance(cfg.texture), blur, no_outline }
    }

    /// Takes the outlines of masks away where that was drawn.
    pub fn hide_outlines(&self, regions: &mut [RegionRows]) {
        if self.no_outline {
            for place in regions.iter_mut().flat_map(|region| &mut region.places) {
                place.outline = MaskPlace::default().outline;
            }
        }
    }

    /// A frame of the sample, square RGB pixels in and out; `None` where nothing happens to it.
    pub fn of(&self, rgb: &[u8], side: u32) -> Option<Vec<u8>> {
        if !self.grey && self.colours.is_none() && self.blur.is_none() {
            return None;
        }
        let mut image = RgbImage::from_raw(side, side, rgb.to_vec()).expect("three bytes a pixel");
        if let Some(Recolour { degrees, gains }) = self.colours {
            image = huerotate(&image, degrees);
            for pixel in image.pixels_mut() {
                pixel.0 = std::array::from_fn(|at| (f32::from(pixel.0[at]) * gains[at]) as u8);
            }
        }
        if self.grey {
            image = DynamicImage::ImageLuma8(grayscale(&image)).into_rgb8();
        }
        if let Some(sigma) = self.blur {
            image = blur(&image, sigma);
        }
        Some(image.into_raw())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_happens_unless_it_is_asked_for() {
        let look = Look::draw(&Augment::default(), Rng::new(1, "test"));
        assert_eq!(look.of(&[9; 12], 2), None);
    }

    #[test]
    fn grey_frames_have_no_colour_and_blurred_ones_no_edges() {
        let both = Augment { grey: 1.0, blur: 1.0, blur_sigma: 2.0, ..Augment::default() };
        let look = Look::draw(&both, Rng::new(1, "test"));
        let rgb: Vec<u8> =
            (0..64).flat_map(|at| if at % 8 < 4 { [200, 20, 20] } else { [20, 20, 90] }).collect();
        let seen = look.of(&rgb, 8).unwrap();
        assert!(seen.chunks_exact(3).all(|rgb| rgb[0] == rgb[1] && rgb[1] == rgb[2]));
        let step = |at: usize| seen[3 * at].abs_diff(seen[3 * (at + 1)]);
        assert!((0..7).map(step).max() < Some(38), "{:?}", &seen[..24]);
        assert_eq!(Look::draw(&both, Rng::new(1, "test")), look);
    }

    #[test]
    fn other_colours_keep_what_is_light_and_what_is_dark() {
        let cfg = Augment { recolour: 1.0, ..Augment::default() };
        let rgb: Vec<u8> =
            (0..64).flat_map(|at| if at % 8 < 4 { [220, 40, 40] } else { [20, 10, 10] }).collect();
        let looks: Vec<_> = (0..20).map(|at| Look::draw(&cfg, Rng::new(1, "test").at(at))).collect();
        for look in &looks {
            let seen = look.of(&rgb, 8).unwrap();
            let sum = |at: usize| seen[3 * at..3 * at + 3].iter().map(|&byte| u32::from(byte)).sum::<u32>();
            assert!(sum(0) > 2 * sum(7), "{look:?}: {:?}", &seen[..24]);
        }
        let reddest = looks.iter().filter(|look| {
            let seen = look.of(&rgb, 8).unwrap();
            seen[0] > seen[1] && seen[0] > seen[2]
        });
        assert!((1..15).contains(&reddest.count()));
    }

    #[test]
    fn outlines_go_and_places_stay() {
        let place = MaskPlace { bbox: [0.5; 4], time: 0.25, outline: [1.0; 144] };
        let region = RegionRows { rows: vec![0], grid_masks: vec![vec![1.0]], places: vec![place] };
        for (share, left) in [(0.0, 1.0), (1.0, 0.0)] {
            let cfg = Augment { no_outline: share, ..Augment::default() };
            let mut regions = [region.clone()];
            Look::draw(&cfg, Rng::new(1, "test")).hide_outlines(&mut regions);
            assert_eq!(regions[0].places, [MaskPlace { outline: [left; 144], ..place }]);
        }
    }

    #[test]
    fn as_many_samples_lose_their_colours_as_asked_for() {
        let cfg = Augment { grey: 0.75, ..Augment::default() };
        let grey = (0..1000).filter(|&at| Look::draw(&cfg, Rng::new(1, "test").at(at)).grey).count();
        assert!((700..800).contains(&grey), "{grey}");
    }
}
