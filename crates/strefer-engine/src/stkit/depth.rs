//! Depth up to scale becomes depth in metres: one factor for the whole video.
//!
//! A factor for every frame would fit better and break the camera's way, which shares the scale.

use strefer_core::Mask;

use crate::stkit::config::LiftingConfig;
use crate::stkit::fault::Fault;
use crate::stkit::numbers::median;

/// One number a pixel, rows first. For depth, everything but positive finite numbers is unknown.
#[derive(Debug, Clone, PartialEq)]
pub struct Raster {
    height: usize,
    width: usize,
    values: Vec<f64>,
}

impl Raster {
    /// A map of `height * width` values, rows first.
    ///
    /// # Errors
    /// Another number of values.
    pub fn new(height: usize, width: usize, values: Vec<f64>) -> Result<Self, Fault> {
        if height.checked_mul(width) != Some(values.len()) {
            return Err(Fault::Values { found: values.len(), height, width });
        }
        Ok(Self { height, width, values })
    }

    /// Height and width in pixels.
    pub fn size(&self) -> (usize, usize) {
        (self.height, self.width)
    }

    /// All values, rows first.
    pub fn values(&self) -> &[f64] {
        &self.values
    }

    /// Refuses a map of another size than this one.
    pub(super) fn check_size(&self, what: &'static str, found: (usize, usize)) -> Result<(), Fault> {
        let expected = self.size();
        if found == expected { Ok(()) } else { Err(Fault::Size { what, found, expected }) }
    }
}

/// Whether a depth is known.
pub(super) fn is_depth(value: f64) -> bool {
    value.is_finite() && value > 0.0
}

/// Median of metric over relative depth in one frame; `None` when no pixel has both.
///
/// # Shapes
/// - `relative`, `metric`, `confidence`, `moving`: `(h, w)`; pixels inside `moving` (objects, anything that moves) and
///   those of less confidence than asked for are left out
///
/// # Errors
/// Maps of different sizes.
pub fn frame_ratio(
    relative: &Raster,
    metric: &Raster,
    confidence: &Raster,
    moving: &Mask,
    cfg: &LiftingConfig,
) -> Result<Option<f64>, Fault> {
    relative.check_size("metric depth", metric.size())?;
    relative.check_size("confidence", confidence.size())?;
    relative.check_size("mask", (moving.height(), moving.width()))?;
    let pixels = relative.values.iter().zip(&metric.values).zip(&confidence.values).zip(moving.as_slice());
    let ratios = pixels
        .filter(|(((relative, metric), confidence), moving)| {
            **moving == 0
                && **confidence >= cfg.least_confidence
                && is_depth(**relative)
                && is_depth(**metric)
        })
        .map(|(((relative, metric), _), _)| metric / relative)
        .collect();
    Ok(median(ratios))
}

/// The factor of a video.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scale {
    /// Metres for one unit of relative depth.
    pub metres: f64,
    /// Median deviation of the frames' factors from it, as a share of it.
    pub spread: f64,
}

impl Scale {
    /// The median of the frames' factors; frames without one do not vote.
    ///
    /// # Errors
    /// No frame has a factor.
    pub fn of(ratios: &[Option<f64>]) -> Result<Self, Fault> {
        let known: Vec<f64> = ratios.iter().flatten().copied().collect();
        let metres = median(known.clone()).ok_or(Fault::NoScale)?;
        let deviations = known.iter().map(|ratio| (ratio - metres).abs() / metres).collect();
        Ok(Self { metres, spread: median(deviations).ok_or(Fault::NoScale)? })
    }

    /// Refuses a video whose frames disagree.
    ///
    /// # Errors
    /// The spread is above the limit.
    pub fn check(&self, cfg: &LiftingConfig) -> Result<(), Fault> {
        if self.spread > cfg.largest_spread {
            return Err(Fault::ScaleSpread { spread: self.spread, limit: cfg.largest_spread });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(values: &[f64]) -> Raster {
        Raster::new(1, values.len(), values.to_vec()).unwrap()
    }

    #[test]
    fn only_pixels_that_both_depths_know_have_a_ratio() {
        let relative = row(&[1.0, 2.0, 0.0, 1.0, f64::NAN, 1.0, 1.0]);
        let metric = row(&[3.0, 10.0, 5.0, f64::INFINITY, 5.0, 90.0, 80.0]);
        let confidence = row(&[1.5, 1.5, 9.0, 9.0, 9.0, 1.4, 9.0]);
        let moving = Mask::from_bytes(1, 7, &[0, 0, 0, 0, 0, 0, 1]).unwrap();
        let ratio = |moving: &Mask| {
            frame_ratio(&relative, &metric, &confidence, moving, &LiftingConfig::default()).unwrap()
        };
        assert_eq!(ratio(&moving), Some(4.0));
        assert_eq!(ratio(&Mask::from_fn(1, 7, |_, _| true)), None);
    }

    #[test]
    fn maps_of_different_sizes_are_refused() {
        let (a, b, mask) = (row(&[1.0]), row(&[1.0, 2.0]), Mask::zeros(1, 1));
        let found = frame_ratio(&a, &b, &a, &mask, &LiftingConfig::default());
        assert_eq!(found, Err(Fault::Size { what: "metric depth", found: (1, 2), expected: (1, 1) }));
        assert!(Raster::new(2, 2, vec![0.0; 3]).is_err());
    }

    #[test]
    fn a_video_whose_frames_disagree_is_refused() {
        let steady = Scale::of(&[Some(2.0), None, Some(2.2), Some(1.8)]).unwrap();
        assert_eq!(steady.metres, 2.0);
        assert_eq!(steady.check(&LiftingConfig::default()), Ok(()));
        let wild = Scale::of(&[Some(1.0), Some(2.0), Some(4.0), Some(0.2)]).unwrap();
        assert_eq!(wild.metres, 1.5);
        assert!(wild.check(&LiftingConfig::default()).is_err());
        assert_eq!(Scale::of(&[None, None]), Err(Fault::NoScale));
    }
}
