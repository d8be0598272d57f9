//! Masks over depth become positions in the world.

use strefer_core::Mask;

use crate::stkit::camera::{Pinhole, Pose};
use crate::stkit::config::LiftingConfig;
use crate::stkit::depth::{Raster, is_depth};
use crate::stkit::fault::Fault;
use crate::stkit::numbers::{MAD_TO_SIGMA, median};
use crate::stkit::track::Track;
use crate::stkit::vector::{Point, plus_scaled};

/// One frame as the reconstruction knows it. Depth and translation share one unknown scale.
#[derive(Debug, Clone, PartialEq)]
pub struct DepthFrame {
    /// Depth up to scale, `(h, w)`.
    pub depth: Raster,
    /// Confidence in it, `(h, w)`.
    pub confidence: Raster,
    /// The camera, for pixels of these maps.
    pub camera: Pinhole,
    /// Where it stands.
    pub pose: Pose,
}

/// Middle of the part of an object that a frame shows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Barycentre {
    /// In metres, in the world.
    pub xyz: Point,
    /// Pixels that it is the mean of.
    pub kept_pixels: usize,
}

impl Barycentre {
    /// Lifts the mask's pixels and averages those whose depth is near their median. `None` when too few are left.
    ///
    /// # Shapes
    /// - `mask`: `(h, w)` as the frame's maps; `scale` in metres for one unit of depth
    ///
    /// # Errors
    /// A mask or confidence of another size than the depth.
    pub fn of(
        frame: &DepthFrame,
        mask: &Mask,
        scale: f64,
        cfg: &LiftingConfig,
    ) -> Result<Option<Self>, Fault> {
        frame.depth.check_size("confidence", frame.confidence.size())?;
        frame.depth.check_size("mask", (mask.height(), mask.width()))?;
        let pixels = pixels(frame, &eroded(mask, cfg.erode_px), scale, cfg);
        let Some(middle) = median(pixels.iter().map(|pixel| pixel.depth_m).collect()) else {
            return Ok(None);
        };
        let off = |pixel: &Pixel| (pixel.depth_m - middle).abs();
        let deviation = median(pixels.iter().map(off).collect()).unwrap_or(0.0);
        let limit = (cfg.keep_limit * MAD_TO_SIGMA * deviation).max(cfg.keep_share * middle);
        let kept: Vec<Point> = pixels
            .iter()
            .filter(|pixel| off(pixel) <= limit)
            .map(|pixel| frame.pose.to_world(frame.camera.unproject(pixel.y, pixel.x, pixel.depth_m), scale))
            .collect();
        if kept.len() < cfg.fewest_pixels.max(1) {
            return Ok(None);
        }
        let sum = kept.iter().fold([0.0; 3], |sum, &point| plus_scaled(sum, point, 1.0));
        Ok(Some(Self { xyz: sum.map(|value| value / kept.len() as f64), kept_pixels: kept.len() }))
    }
}

struct Pixel {
    y: usize,
    x: usize,
    depth_m: f64,
}

/// The mask's pixels whose depth is known and trusted.
fn pixels(frame: &DepthFrame, mask: &Mask, scale: f64, cfg: &LiftingConfig) -> Vec<Pixel> {
    let (height, width) = frame.depth.size();
    let mut found = Vec::new();
    for at in (0..height * width).filter(|&at| mask.as_slice()[at] != 0) {
        let depth = frame.depth.values()[at];
        if is_depth(depth) && frame.confidence.values()[at] >= cfg.least_confidence {
            found.push(Pixel { y: at / width, x: at % width, depth_m: scale * depth });
        }
    }
    found
}

/// The pixels whose whole neighbourhood, a square of `2 * by + 1`, is inside. What lies beyond the frame is not known
/// to be outside.
fn eroded(mask: &Mask, by: usize) -> Mask {
    let (height, width) = (mask.height(), mask.width());
    Mask::from_fn(height, width, |y, x| {
        let rows = y.saturating_sub(by)..(y + by + 1).min(height);
        rows.into_iter()
            .all(|row| (x.saturating_sub(by)..(x + by + 1).min(width)).all(|column| mask.get(row, column)))
    })
}

/// Lifts one object through a clip; `masks` has one entry a frame, `None` where the object is not seen.
///
/// # Errors
/// As many times, frames and masks; maps of one size in every frame.
pub fn lift_track(
    times_s: &[f64],
    frames: &[DepthFrame],
    masks: &[Option<Mask>],
    scale: f64,
    cfg: &LiftingConfig,
) -> Result<Track, Fault> {
    for (what, found) in [("frames", frames.len()), ("masks", masks.len())] {
        if found != times_s.len() {
            return Err(Fault::Length { what, found, expected: times_s.len() });
        }
    }
    let lift = |(frame, mask): (&DepthFrame, &Option<Mask>)| match mask {
        Some(mask) => Ok(Barycentre::of(frame, mask, scale, cfg)?.map(|centre| centre.xyz)),
        None => Ok(None),
    };
    let positions: Result<Vec<Option<Point>>, Fault> = frames.iter().zip(masks).map(lift).collect();
    Track::new(times_s.to_vec(), positions?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    /// A camera at the origin before a wall, 5 x 5 pixels, with one pixel set to another depth.
    fn frame(wall: f64, odd: f64) -> DepthFrame {
        let mut depth = vec![wall; 25];
        depth[12] = odd;
        DepthFrame {
            depth: Raster::new(5, 5, depth).unwrap(),
            confidence: Raster::new(5, 5, vec![2.0; 25]).unwrap(),
            camera: Pinhole::from_matrix(&[[5.0, 0.0, 2.0], [0.0, 5.0, 2.0], [0.0, 0.0, 1.0]]).unwrap(),
            pose: Pose::camera_to_world(IDENTITY, [0.0; 3]).unwrap(),
        }
    }

    fn all() -> Mask {
        Mask::from_fn(5, 5, |_, _| true)
    }

    fn plain() -> LiftingConfig {
        LiftingConfig { erode_px: 0, fewest_pixels: 1, ..LiftingConfig::default() }
    }

    #[test]
    fn pixels_at_another_depth_are_left_out() {
        let centre = Barycentre::of(&frame(2.0, 3.0), &all(), 10.0, &plain()).unwrap().unwrap();
        assert_eq!((centre.kept_pixels, centre.xyz[2]), (24, 20.0));
        let centre = Barycentre::of(&frame(2.0, 2.09), &all(), 10.0, &plain()).unwrap().unwrap();
        assert_eq!(centre.kept_pixels, 25);
    }

    #[test]
    fn unknown_depth_and_little_confidence_are_left_out() {
        for odd in [f64::NAN, 0.0, -1.0, f64::INFINITY] {
            assert_eq!(
                Barycentre::of(&frame(2.0, odd), &all(), 1.0, &plain()).unwrap().unwrap().kept_pixels,
                24
            );
        }
        let doubtful = LiftingConfig { least_confidence: 2.1, ..plain() };
        assert_eq!(Barycentre::of(&frame(2.0, 2.0), &all(), 1.0, &doubtful), Ok(None));
    }

    #[test]
    fn a_mask_is_eroded_except_at_the_border_of_the_frame() {
        let mask = Mask::from_fn(5, 5, |_, x| x < 4);
        assert_eq!(eroded(&mask, 0), mask);
        assert_eq!(eroded(&mask, 1), Mask::from_fn(5, 5, |_, x| x < 3));
        assert!(eroded(&Mask::from_fn(5, 5, |y, x| y != 2 || x != 2), 2).is_empty());
    }

    #[test]
    fn a_track_misses_frames_with_too_few_pixels() {
        let times_s = [0.0, 0.5, 1.0];
        let frames = [frame(2.0, 2.0), frame(2.0, 2.0), frame(4.0, 4.0)];
        let masks = [Some(all()), None, Some(all())];
        let track = lift_track(&times_s, &frames, &masks, 1.0, &plain()).unwrap();
        assert_eq!(track.valid().map(|(at, point)| (at, point[2])).collect::<Vec<_>>(), [(0, 2.0), (2, 4.0)]);
        let strict = LiftingConfig { fewest_pixels: 26, ..plain() };
        assert_eq!(lift_track(&times_s, &frames, &masks, 1.0, &strict).unwrap().valid().count(), 0);
        assert!(lift_track(&times_s[..2], &frames, &masks, 1.0, &plain()).is_err());
        let small = [Some(Mask::zeros(4, 5)), None, None];
        let found = lift_track(&times_s, &frames, &small, 1.0, &plain());
        assert_eq!(found, Err(Fault::Size { what: "mask", found: (4, 5), expected: (5, 5) }));
    }
}
