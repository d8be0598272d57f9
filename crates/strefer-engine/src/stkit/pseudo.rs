//! Masks and depth of a video become tracks in metres: pseudo-labels, where nobody measured anything.

use std::ops::Range;

use strefer_core::Rle;

use crate::error::Result;
use crate::pipeline::store::Note;
use crate::stkit::config::{FilterConfig, LiftingConfig, SmoothingConfig};
use crate::stkit::depth::{Scale, frame_ratio};
use crate::stkit::fault::Fault;
use crate::stkit::lift::Barycentre;
use crate::stkit::plausible::{Detection, Mover, Rejection, check_motion};
use crate::stkit::processed::Processed;
use crate::stkit::reconstruction::{MetricDepth, Reconstruction};
use crate::stkit::smooth::smooth;
use crate::stkit::track::Track;
use crate::stkit::vector::{Point, length, minus};

/// Positions of one object, one entry a frame.
pub type Positions = Vec<Option<Point>>;

/// An object whose masks are known.
#[derive(Debug, Clone, PartialEq)]
pub struct Masked {
    /// Its name.
    pub id: String,
    /// What it is.
    pub category: String,
    /// The detector's score; 1 where nobody gave one.
    pub score: f64,
    /// Its masks in the video's own frames, one entry a frame of the reconstruction.
    pub masks: Vec<Option<Rle>>,
}

impl Masked {
    /// Left, top, right and bottom in one frame.
    pub fn bbox(&self, position: usize) -> Option<[f64; 4]> {
        let area = self.masks[position].as_ref()?.bbox()?;
        Some([area.x0, area.y0, area.x1, area.y1].map(|edge| edge as f64))
    }
}

/// A video to be lifted.
pub struct Lifting<'a> {
    /// Its cameras and its depth up to scale.
    pub frames: &'a Reconstruction,
    /// Its depth in metres.
    pub metric: &'a dyn MetricDepth,
    /// How its frames became those of the reconstruction.
    pub way: Processed,
    /// Height and width of its frames.
    pub size: (u32, u32),
    /// How masks become positions.
    pub lifting: &'a LiftingConfig,
    /// How tracks are smoothed.
    pub smoothing: &'a SmoothingConfig,
    /// Which tracks are believed.
    pub filter: &'a FilterConfig,
    /// Tracks are judged over so many frames at a time: those of a clip.
    pub stretch: usize,
}

/// What came of the scale of a video.
#[derive(Debug, Clone, PartialEq)]
pub enum Aligned {
    /// Metres for one unit of depth.
    Steady(Scale),
    /// Its frames disagree, or no pixel has both depths.
    Refused(Fault),
}

impl Lifting<'_> {
    /// The video's one scale, from what no object covers.
    ///
    /// # Errors
    /// Maps that cannot be read.
    pub fn align(&self, objects: &[Masked]) -> Result<Aligned> {
        let mut ratios = Vec::with_capacity(self.frames.times_s().len());
        for position in 0..self.frames.times_s().len() {
            let frame = self.frames.frame(position, &self.way)?;
            let metric = self.metric.depth(position, &self.way)?;
            let mut moving = self.frames.moving(position, &self.way)?;
            for mask in objects.iter().filter_map(|object| object.masks[position].as_ref()) {
                moving = moving.union(&self.way.mask(&mask.to_mask()).map_err(faulty(position))?)?;
            }
            let ratio = frame_ratio(&frame.depth, &metric, &frame.confidence, &moving, self.lifting);
            ratios.push(ratio.map_err(faulty(position))?);
        }
        let scale = Scale::of(&ratios).and_then(|scale| scale.check(self.lifting).map(|()| scale));
        Ok(scale.map_or_else(Aligned::Refused, Aligned::Steady))
    }

    /// The tracks of all objects, stretch by stretch; a position is missing where the object is not seen or its track not believed.
    /// A note says which stretches were refused.
    ///
    /// # Errors
    /// Maps that cannot be read, times that do not increase.
    pub fn tracks(&self, objects: &[Masked], scale: Scale) -> Result<(Vec<Positions>, Vec<Note>)> {
        let raw = self.positions(objects, scale)?;
        let n_frames = self.frames.times_s().len();
        let stretches = (0..n_frames).step_by(self.stretch.max(1));
        let stretches: Vec<Range<usize>> =
            stretches.map(|start| start..(start + self.stretch.max(1)).min(n_frames)).collect();
        let (mut tracks, mut notes) = (Vec::with_capacity(objects.len()), Vec::new());
        for (object, raw) in objects.iter().zip(raw) {
            let mut track = vec![None; n_frames];
            for stretch in stretches
                .iter()
                .filter(|stretch| object.masks[(*stretch).clone()].iter().any(Option::is_some))
            {
                match self.believed(object, stretch.clone(), &raw)? {
                    Ok(smoothed) => {
                        track[stretch.clone()].copy_from_slice(&smoothed);
                        notes.push(Note::new(KEPT, &object.id, span(stretch)));
                    }
                    Err(rejection) => notes.push(Note::new(rejection.name(), &object.id, span(stretch))),
                }
            }
            tracks.push(track);
        }
        Ok((tracks, notes))
    }

    /// Barycentres as they are lifted, by object and frame.
    fn positions(&self, objects: &[Masked], scale: Scale) -> Result<Vec<Positions>> {
        let n_frames = self.frames.times_s().len();
        let mut found = vec![vec![None; n_frames]; objects.len()];
        for position in 0..n_frames {
            let frame = self.frames.frame(position, &self.way)?;
            for (object, positions) in objects.iter().zip(&mut found) {
                let Some(mask) = &object.masks[position] else { continue };
                let mask = self.way.mask(&mask.to_mask()).map_err(faulty(position))?;
                let centre = Barycentre::of(&frame, &mask, scale.metres, self.lifting);
                positions[position] = centre.map_err(faulty(position))?.map(|centre| centre.xyz);
            }
        }
        Ok(found)
    }

    /// The smoothed positions of one stretch, or the rule that it breaks.
    fn believed(
        &self,
        object: &Masked,
        stretch: Range<usize>,
        raw: &[Option<Point>],
    ) -> Result<std::result::Result<Positions, Rejection>> {
        let boxes = stretch.clone().map(|position| object.bbox(position)).collect();
        let detection = Detection { score: object.score, boxes, size: self.size };
        if let Err(rejection) = detection.check(self.filter) {
            return Ok(Err(rejection));
        }
        let times_s = self.frames.times_s()[stretch.clone()].to_vec();
        let raw = Track::new(times_s, raw[stretch.clone()].to_vec()).map_err(faulty(stretch.start))?;
        if raw.valid().next().is_none() {
            return Ok(Err(Rejection::TooRare));
        }
        let smoothed = smooth(&raw, self.smoothing);
        let checked = check_motion(&raw, &smoothed, Mover::of(&object.category), self.filter);
        Ok(checked.map(|()| smoothed.track.positions().to_vec()))
    }
}

/// A stretch of a track that is believed, among notes.
pub const KEPT: &str = "kept_track";

/// A video that is refused, among notes.
pub const REFUSED: &str = "refused_video";

fn span(stretch: &Range<usize>) -> String {
    format!("frames {} to {}", stretch.start, stretch.end - 1)
}

/// Says in which frame of the reconstruction something is wrong.
fn faulty(position: usize) -> impl Fn(Fault) -> crate::Error {
    move |fault| crate::Error::Clip { clip_id: format!("frame {position} of the reconstruction"), fault }
}

/// By how much a track's way differs from the true one, as a share of that, over the samples that both know; `None` where the
/// true way is shorter than `shortest_m`.
pub fn relative_error(lifted: &Track, truth: &Track, shortest_m: f64) -> Option<f64> {
    let (mut found_m, mut true_m) = (0.0, 0.0);
    let mut last: Option<(Point, Point)> = None;
    for (at, point) in lifted.valid() {
        let at_s = lifted.times_s()[at];
        let same = truth.valid().find(|(other, _)| (truth.times_s()[*other] - at_s).abs() <= SAME_TIME_S);
        let Some((_, there)) = same else { continue };
        if let Some((before, there_before)) = last {
            found_m += length(minus(point, before));
            true_m += length(minus(there, there_before));
        }
        last = Some((point, there));
    }
    (true_m >= shortest_m && true_m > 0.0).then(|| (found_m - true_m).abs() / true_m)
}

/// Samples this close are of one moment.
const SAME_TIME_S: f64 = 0.05;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_is_that_of_the_way_over_samples_that_both_know() {
        let track = |step_m: f64, missing: usize| {
            let times_s = (0..6).map(|at| f64::from(at) * 0.5).collect();
            let point = |at: usize| (at != missing).then_some([at as f64 * step_m, 5.0, 0.0]);
            Track::new(times_s, (0..6).map(point).collect()).unwrap()
        };
        // 1.25 m instead of 1 m a step.
        assert_eq!(relative_error(&track(1.25, 2), &track(1.0, 9), 1.0), Some(0.25));
        assert_eq!(relative_error(&track(1.25, 5), &track(1.0, 0), 1.0), Some(0.25));
        assert_eq!(relative_error(&track(1.25, 9), &track(0.1, 9), 1.0), None);
    }
}
