//! Which samples a question is about.

use serde::{Deserialize, Serialize};
use strefer_core::Span;

use crate::stkit::track::Track;

/// Whether a motion could be measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Everything is defined.
    Ok,
    /// The whole video has fewer than two samples.
    TooFewPoints,
    /// Both bounds fall on one sample, or the end before the start.
    EmptyWindow,
    /// The object is missing at a bound.
    EndpointMissing,
    /// The object is missing for too long inside: its way is not known, its directions are.
    GapTooLong,
}

/// First and last sample, both present; `first < last`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    /// Index of the first sample.
    pub first: usize,
    /// Index of the last sample.
    pub last: usize,
}

impl Window {
    /// From the first to the last sample that is there.
    ///
    /// # Errors
    /// [`Status::TooFewPoints`].
    pub fn whole(track: &Track) -> Result<Self, Status> {
        let ends = track.valid().next().zip(track.valid().next_back());
        match ends {
            Some(((first, _), (last, _))) if first < last => Ok(Self { first, last }),
            _ => Err(Status::TooFewPoints),
        }
    }

    /// The samples nearest to the bounds of `span`, the earlier one of two that are equally near.
    ///
    /// # Errors
    /// [`Status::EmptyWindow`], [`Status::EndpointMissing`].
    pub fn snapped(track: &Track, span: &Span) -> Result<Self, Status> {
        let bounds = nearest(track.times_s(), span.start_s).zip(nearest(track.times_s(), span.end_s));
        let (first, last) = bounds.filter(|(first, last)| first < last).ok_or(Status::EmptyWindow)?;
        let is_there = |at: usize| track.positions()[at].is_some();
        if is_there(first) && is_there(last) {
            Ok(Self { first, last })
        } else {
            Err(Status::EndpointMissing)
        }
    }
}

/// `min_by` keeps the first of equal elements.
fn nearest(times_s: &[f64], at_s: f64) -> Option<usize> {
    let distance = |at: &usize| (times_s[*at] - at_s).abs();
    (0..times_s.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn track(present: &[bool]) -> Track {
        let times_s = (0..present.len()).map(|at| at as f64 * 0.5).collect();
        let positions = present.iter().map(|&is_there| is_there.then_some([0.0; 3])).collect();
        Track::new(times_s, positions).unwrap()
    }

    fn snapped(present: &[bool], start_s: f64, end_s: f64) -> Result<Window, Status> {
        Window::snapped(&track(present), &Span { start_s, end_s })
    }

    #[test]
    fn the_whole_video_runs_between_the_outermost_samples() {
        let whole = |present: &[bool]| Window::whole(&track(present));
        assert_eq!(whole(&[false, true, false, true, false]), Ok(Window { first: 1, last: 3 }));
        assert_eq!(whole(&[false, true, false]), Err(Status::TooFewPoints));
        assert_eq!(whole(&[]), Err(Status::TooFewPoints));
    }

    #[test]
    fn bounds_snap_to_the_nearest_sample_and_ties_to_the_earlier() {
        let all = [true; 6];
        assert_eq!(snapped(&all, 0.3, 1.7), Ok(Window { first: 1, last: 3 }));
        assert_eq!(snapped(&all, 0.25, 1.75), Ok(Window { first: 0, last: 3 }));
        assert_eq!(snapped(&all, -4.0, 99.0), Ok(Window { first: 0, last: 5 }));
    }

    #[test]
    fn windows_without_length_or_ends_are_refused() {
        assert_eq!(snapped(&[true; 4], 0.9, 1.1), Err(Status::EmptyWindow));
        assert_eq!(snapped(&[true; 4], 1.5, 0.0), Err(Status::EmptyWindow));
        assert_eq!(snapped(&[], 0.0, 1.0), Err(Status::EmptyWindow));
        assert_eq!(snapped(&[true, true, false], 0.0, 1.0), Err(Status::EndpointMissing));
        // Nothing but a missing bound is noticed here; the gap inside is the distance's business.
        assert_eq!(snapped(&[true, false, true], 0.0, 1.0), Ok(Window { first: 0, last: 2 }));
    }
}
