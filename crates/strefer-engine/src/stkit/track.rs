//! Where one object is, sample by sample.

use crate::stkit::fault::Fault;
use crate::stkit::vector::Point;

/// Positions of one object's centre on the clock of its clip. A sample may be missing.
#[derive(Debug, Clone, PartialEq)]
pub struct Track {
    times_s: Vec<f64>,
    positions: Vec<Option<Point>>,
}

impl Track {
    /// A track of as many positions as times; a position that is not finite counts as missing.
    ///
    /// # Errors
    /// Lists of different lengths; times that are not finite or do not increase.
    pub fn new(times_s: Vec<f64>, positions: Vec<Option<Point>>) -> Result<Self, Fault> {
        if times_s.len() != positions.len() {
            return Err(Fault::Length { what: "positions", found: positions.len(), expected: times_s.len() });
        }
        check_times(&times_s)?;
        let finite = |point: &Point| point.iter().all(|value| value.is_finite());
        let positions = positions.into_iter().map(|point| point.filter(finite)).collect();
        Ok(Self { times_s, positions })
    }

    /// Seconds of all samples.
    pub fn times_s(&self) -> &[f64] {
        &self.times_s
    }

    /// Positions in metres, one a sample; `None` where it is missing.
    pub fn positions(&self) -> &[Option<Point>] {
        &self.positions
    }

    /// Indices and positions of the samples that are there.
    pub fn valid(&self) -> impl DoubleEndedIterator<Item = (usize, Point)> {
        self.positions.iter().enumerate().filter_map(|(at, point)| Some((at, (*point)?)))
    }

    /// The same clock with other positions.
    pub(super) fn with_positions(&self, positions: Vec<Option<Point>>) -> Self {
        debug_assert_eq!(positions.len(), self.positions.len(), "one position a time");
        Self { times_s: self.times_s.clone(), positions }
    }

    /// Whether the way between two samples that are there is known: neighbours, or a gap of at most `longest_s`.
    pub(super) fn is_joined(&self, from: usize, to: usize, longest_s: f64) -> bool {
        to == from + 1 || self.times_s[to] - self.times_s[from] <= longest_s + TIME_SLACK_S
    }
}

/// Durations are compared with this slack, in seconds.
pub(super) const TIME_SLACK_S: f64 = 1e-9;

/// Refuses times that are not finite or do not increase.
pub(super) fn check_times(times_s: &[f64]) -> Result<(), Fault> {
    let in_order = |at: usize| times_s[at].is_finite() && (at == 0 || times_s[at - 1] < times_s[at]);
    match (0..times_s.len()).find(|&at| !in_order(at)) {
        Some(sample) => Err(Fault::TimeOrder { sample, at_s: times_s[sample] }),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_that_are_not_finite_are_missing() {
        let positions =
            vec![Some([0.0; 3]), Some([1.0, f64::NAN, 0.0]), None, Some([f64::INFINITY, 0.0, 0.0])];
        let track = Track::new(vec![0.0, 0.5, 1.0, 1.5], positions).unwrap();
        assert_eq!(track.valid().map(|(at, _)| at).collect::<Vec<_>>(), [0]);
    }

    #[test]
    fn times_must_increase_and_match() {
        let short = Track::new(vec![0.0], Vec::new());
        assert_eq!(short, Err(Fault::Length { what: "positions", found: 0, expected: 1 }));
        let still = Track::new(vec![0.0, 0.0], vec![None; 2]);
        assert_eq!(still, Err(Fault::TimeOrder { sample: 1, at_s: 0.0 }));
        assert!(Track::new(vec![f64::NAN], vec![None]).is_err());
    }

    #[test]
    fn neighbours_are_joined_however_far_apart_they_are() {
        let track = Track::new(vec![0.0, 9.0, 9.5, 10.25], vec![None; 4]).unwrap();
        assert!(track.is_joined(0, 1, 1.25));
        assert!(track.is_joined(1, 3, 1.25));
        assert!(!track.is_joined(1, 3, 1.2));
    }
}
