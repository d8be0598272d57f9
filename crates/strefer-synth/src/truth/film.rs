//! Renders a clip's frames and writes down what they show.

use image::RgbImage;
use strefer_core::{Rle, Span};

use super::events;
use super::record::{BodyTruth, CameraTruth, ClipTruth, SegmentTruth};
use crate::render::{BodyPixels, Renderer};
use crate::world::{Body, Clip};

/// Rounds to a millionth: the record stays short, the millimetre true.
fn round(value: f64) -> f64 {
    (value * 1e6).round() / 1e6
}

impl Clip {
    /// What is true of the clip. Renders every frame.
    pub fn truth(&self) -> ClipTruth {
        match self.film(|_| Ok::<(), std::convert::Infallible>(())) {
            Ok(truth) => truth,
            Err(never) => match never {},
        }
    }

    /// One frame.
    pub fn frame(&self, frame: usize) -> RgbImage {
        Renderer::new(self).frame(frame).image
    }

    /// Renders all frames, hands each over, and returns what is true of them.
    pub fn film<E>(&self, mut show: impl FnMut(RgbImage) -> Result<(), E>) -> Result<ClipTruth, E> {
        let mut renderer = Renderer::new(self);
        let mut pixels: Vec<Vec<BodyPixels>> = Vec::with_capacity(self.n_frames());
        for frame in 0..self.n_frames() {
            let rendered = renderer.frame(frame);
            pixels.push(rendered.visible);
            show(rendered.image)?;
        }
        Ok(self.describe(&pixels))
    }

    fn describe(&self, pixels: &[Vec<BodyPixels>]) -> ClipTruth {
        let cfg = &self.cfg;
        let n_frames = self.n_frames();
        let cameras = (0..n_frames)
            .map(|frame| {
                let at_s = self.time_s(frame);
                let camera = self.filming.shot(at_s).camera(at_s);
                let position = camera.position;
                CameraTruth {
                    focal_px: camera.focal,
                    centre_px: [camera.centre(); 2],
                    position_m: [round(position.x), round(position.y), round(position.z)],
                    yaw: round(camera.yaw),
                    pitch: round(camera.pitch),
                }
            })
            .collect();
        let mut truth = ClipTruth {
            id: self.id(),
            split: self.split,
            seed: self.seed,
            index: self.index,
            width: cfg.image_size,
            height: cfg.image_size,
            fps: cfg.fps,
            n_frames,
            duration_s: n_frames as f64 / cfg.fps,
            cuts_s: self.filming.shots.iter().skip(1).map(|shot| shot.from_s).collect(),
            cameras,
            bodies: Vec::new(),
            events: Vec::new(),
        };
        let least = truth.least_visible_area() as usize;
        for (index, body) in self.bodies.iter().enumerate() {
            let shown: Vec<&[u32]> = pixels.iter().map(|frame| &frame[index].shown[..]).collect();
            truth.bodies.push(self.describe_body(body, &shown, least));
        }
        truth.events = events::find(self, pixels, &truth.bodies);
        truth
    }

    fn describe_body(&self, body: &Body, shown: &[&[u32]], least: usize) -> BodyTruth {
        let positions_m = (0..shown.len())
            .map(|frame| {
                let base = body.track.pose(self.time_s(frame)).base;
                [round(base.x), round(base.y), round(base.z)]
            })
            .collect();
        let timeline = body.track.segments.iter().filter_map(|segment| {
            let action = segment.action?;
            let speed_m_s = segment.speed();
            Some(SegmentTruth {
                action,
                phrase: action.phrase().into(),
                span: segment.span,
                distance_m: speed_m_s * segment.span.length_s(),
                speed_m_s,
            })
        });
        BodyTruth {
            attributes: body.attributes,
            name: body.attributes.name(),
            noun: body.attributes.noun().into(),
            general_noun: body.attributes.general_noun().into(),
            held_out: body.attributes.held_out(),
            size_m: body.attributes.size.metres(),
            positions_m,
            masks: shown.iter().map(|pixels| mask(pixels, self.cfg.image_size)).collect(),
            visible: spans(shown.iter().map(|pixels| pixels.len() >= least), self.cfg.fps),
            timeline: timeline.collect(),
        }
    }
}

/// Runs of frames for which something holds, in seconds.
pub(super) fn spans(holds: impl Iterator<Item = bool>, fps: f64) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut start: Option<usize> = None;
    let mut n_frames = 0;
    for (frame, holds) in holds.enumerate() {
        n_frames = frame + 1;
        match (start, holds) {
            (None, true) => start = Some(frame),
            (Some(first), false) => {
                spans.push(Span { start_s: first as f64 / fps, end_s: frame as f64 / fps });
                start = None;
            }
            _ => {}
        }
    }
    spans.extend(start.map(|first| Span { start_s: first as f64 / fps, end_s: n_frames as f64 / fps }));
    spans
}

/// Column runs of a square picture's pixels; `None` when there are none.
fn mask(pixels: &[u32], size: u32) -> Option<Rle> {
    let mut columns: Vec<u32> = pixels.iter().map(|&pixel| pixel % size * size + pixel / size).collect();
    columns.sort_unstable();
    let (mut counts, mut end, mut run) = (Vec::new(), 0, 0);
    for &at in &columns {
        if at == end + run && run > 0 {
            run += 1;
            continue;
        }
        if run > 0 {
            counts.push(run);
        }
        let begun = end + run;
        counts.push(at - begun);
        (end, run) = (at, 1);
    }
    if run == 0 {
        return None;
    }
    counts.push(run);
    let rest = size * size - end - run;
    if rest > 0 {
        counts.push(rest);
    }
    Some(Rle::new(size, size, counts).expect("the runs fill the picture"))
}

#[cfg(test)]
mod tests {
    use strefer_core::Mask;

    use super::*;

    #[test]
    fn runs_of_pixels_are_those_of_the_dense_mask() {
        for pixels in [vec![0, 1, 2, 4, 9, 15], vec![5], vec![3, 7, 11, 15], (0..16).collect()] {
            let dense = Mask::from_fn(4, 4, |y, x| pixels.contains(&((4 * y + x) as u32)));
            assert_eq!(mask(&pixels, 4), Some(Rle::from_mask(&dense)), "{pixels:?}");
        }
        assert_eq!(mask(&[], 4), None);
    }

    #[test]
    fn spans_cover_the_frames_that_hold() {
        let found = spans([true, false, false, true, true].into_iter(), 2.0);
        assert_eq!(found, [Span { start_s: 0.0, end_s: 0.5 }, Span { start_s: 1.5, end_s: 2.5 }]);
    }
}
