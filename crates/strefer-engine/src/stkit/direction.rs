//! Which way: directions as positions on a clock face, seen from above.
//!
//! The paper measures directions by an arc cosine, which cannot tell left from right. Here the angle is signed: it is
//! measured clockwise in the horizontal plane, from the first motion of the object, which is 12 o'clock.

use strefer_core::Span;

use crate::stkit::config::KinematicsConfig;
use crate::stkit::track::{TIME_SLACK_S, Track};
use crate::stkit::vector::{Point, Up, length, minus};
use crate::stkit::window::Window;

/// Degrees of one hour.
const HOUR_DEG: f64 = 30.0;

/// The direction of one step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Heading {
    /// Degrees clockwise from the reference, in `[0, 360)`.
    pub clockwise_deg: f64,
    /// Hour on the clock, 1 to 12.
    pub clock: u8,
}

impl Heading {
    /// The heading of `step` where `reference` is 12 o'clock; both are horizontal.
    fn new(reference: Point, step: Point, up: Up, cfg: &KinematicsConfig) -> Self {
        let degrees = (-up.turn(reference, step).to_degrees()).rem_euclid(360.0);
        let clockwise_deg = if degrees >= 360.0 - cfg.angle_slack_deg { 0.0 } else { degrees };
        Self { clockwise_deg, clock: clock(clockwise_deg, cfg.angle_slack_deg) }
    }
}

/// The nearest hour, 1 to 12; an angle halfway between two belongs to the later one.
fn clock(clockwise_deg: f64, slack_deg: f64) -> u8 {
    match ((clockwise_deg + slack_deg) / HOUR_DEG + 0.5).floor() as u8 % 12 {
        0 => 12,
        hour => hour,
    }
}

/// Consecutive steps towards the same hour.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct DirectionRun {
    /// The hour, 1 to 12.
    pub clock: u8,
    /// From the sample before the first step to the sample after the last.
    pub span: Span,
}

/// The directions of an object in a window.
#[derive(Debug, Clone, PartialEq)]
pub struct Directions {
    /// The step that is 12 o'clock; `None` for an object that does not move.
    pub reference_step: Option<usize>,
    /// Heading of every step of the track (step `k` joins samples `k` and `k + 1`); `None` outside the window, beside a
    /// missing sample and while the object does not move.
    pub steps: Vec<Option<Heading>>,
    /// Steps towards the same hour joined, in the order of time.
    pub runs: Vec<DirectionRun>,
}

impl Directions {
    /// No direction for a track of `n_samples`.
    pub fn none(n_samples: usize) -> Self {
        Self { reference_step: None, steps: vec![None; n_samples.saturating_sub(1)], runs: Vec::new() }
    }

    /// The directions of all moving steps inside the window.
    pub fn measure(track: &Track, window: Window, up: Up, cfg: &KinematicsConfig) -> Self {
        let mut found = Self::none(track.times_s().len());
        let moves: Vec<(usize, Point)> = (window.first..window.last)
            .filter_map(|step| Some((step, moving_step(track, step, up, cfg)?)))
            .collect();
        let Some(&(first, reference)) = moves.first() else { return found };
        found.reference_step = Some(first);
        for (step, way) in moves {
            found.steps[step] = Some(Heading::new(reference, way, up, cfg));
        }
        found.runs = runs(&found.steps, track.times_s());
        found
    }

    /// Hours that can be asked about: they have one run, and it is long enough. In the order of the hours.
    pub fn eligible_runs(&self, cfg: &KinematicsConfig) -> Vec<DirectionRun> {
        let is_only =
            |run: &&DirectionRun| self.runs.iter().filter(|other| other.clock == run.clock).count() == 1;
        let is_long = |run: &&DirectionRun| run.span.length_s() >= cfg.shortest_run_s - TIME_SLACK_S;
        let mut eligible: Vec<DirectionRun> =
            self.runs.iter().filter(is_only).filter(is_long).copied().collect();
        eligible.sort_by_key(|run| run.clock);
        eligible
    }
}

/// The horizontal way of a step; `None` where a sample is missing or the object is too slow.
fn moving_step(track: &Track, step: usize, up: Up, cfg: &KinematicsConfig) -> Option<Point> {
    let (from, to) = (track.positions()[step]?, track.positions()[step + 1]?);
    let way = up.horizontal(minus(to, from));
    let duration_s = track.times_s()[step + 1] - track.times_s()[step];
    (length(way) / duration_s >= cfg.slowest_mps).then_some(way)
}

fn runs(steps: &[Option<Heading>], times_s: &[f64]) -> Vec<DirectionRun> {
    let mut runs: Vec<DirectionRun> = Vec::new();
    let mut before = None;
    for (step, heading) in steps.iter().enumerate() {
        let clock = heading.map(|heading| heading.clock);
        if let Some(clock) = clock {
            let end_s = times_s[step + 1];
            match runs.last_mut().filter(|_| before == Some(clock)) {
                Some(run) => run.span.end_s = end_s,
                None => runs.push(DirectionRun { clock, span: Span { start_s: times_s[step], end_s } }),
            }
        }
        before = clock;
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A track at two samples a second that makes the given steps, in metres; `None` loses the sample after the step.
    fn walk(steps: &[Option<[f64; 2]>]) -> Track {
        let (mut x, mut y) = (0.0, 0.0);
        let mut positions = vec![Some([x, y, 0.0])];
        for step in steps {
            let [dx, dy] = step.unwrap_or_default();
            (x, y) = (x + dx, y + dy);
            positions.push(step.map(|_| [x, y, 0.0]));
        }
        Track::new((0..positions.len()).map(|at| at as f64 * 0.5).collect(), positions).unwrap()
    }

    fn directions(track: &Track) -> Directions {
        let window = Window { first: 0, last: track.times_s().len() - 1 };
        Directions::measure(track, window, Up::Z, &KinematicsConfig::default())
    }

    fn clocks(directions: &Directions) -> Vec<u8> {
        directions.steps.iter().map(|step| step.map_or(0, |heading| heading.clock)).collect()
    }

    #[test]
    fn every_hour_can_be_reached_and_halves_belong_to_the_later() {
        for hour in 0..12_u8 {
            let expected = if hour == 0 { 12 } else { hour };
            assert_eq!(clock(f64::from(hour) * 30.0, 1e-9), expected);
            assert_eq!(clock((f64::from(hour) * 30.0 - 15.0).rem_euclid(360.0), 1e-9), expected);
            assert_eq!(clock(f64::from(hour) * 30.0 + 14.999, 1e-9), expected);
        }
        assert_eq!(clock(15.0 - 1e-12, 1e-9), 1);
    }

    #[test]
    fn right_is_three_and_left_is_nine() {
        let (ahead, right, back, left) = ([0.0, 2.0], [2.0, 0.0], [0.0, -2.0], [-2.0, 0.0]);
        let found = directions(&walk(&[ahead, right, back, left].map(Some)));
        assert_eq!(clocks(&found), [12, 3, 6, 9]);
        assert_eq!(found.reference_step, Some(0));
    }

    #[test]
    fn a_slow_start_is_no_reference() {
        let found = directions(&walk(&[[0.1, 0.0], [0.0, 0.2], [0.0, 2.0], [0.24, 0.0]].map(Some)));
        assert_eq!(found.reference_step, Some(2));
        assert_eq!(clocks(&found), [0, 0, 12, 0]);
        // Exactly the smallest speed moves.
        assert_eq!(clocks(&directions(&walk(&[Some([0.25, 0.0])]))), [12]);
    }

    #[test]
    fn a_stationary_object_has_no_direction() {
        let found = directions(&walk(&[Some([0.0, 0.0]); 4]));
        assert_eq!(found, Directions::none(5));
        assert_eq!(Directions::none(0).steps, Vec::new());
    }

    #[test]
    fn missing_samples_break_runs_and_are_not_bridged() {
        let ahead = Some([0.0, 2.0]);
        let found = directions(&walk(&[ahead, ahead, None, ahead, ahead, ahead]));
        assert_eq!(clocks(&found), [12, 12, 0, 0, 12, 12]);
        let spans: Vec<(f64, f64)> =
            found.runs.iter().map(|run| (run.span.start_s, run.span.end_s)).collect();
        assert_eq!(spans, [(0.0, 1.0), (2.0, 3.0)]);
        // Twelve has two runs: asking when would have two answers.
        assert_eq!(found.eligible_runs(&KinematicsConfig::default()), Vec::new());
    }

    #[test]
    fn eligible_runs_are_long_and_come_in_the_order_of_the_hours() {
        let (ahead, right, left) = (Some([0.0, 2.0]), Some([2.0, 0.0]), Some([-2.0, 0.0]));
        let found = directions(&walk(&[ahead, ahead, right, left, left, left]));
        let eligible = found.eligible_runs(&KinematicsConfig::default());
        assert_eq!(eligible.iter().map(|run| run.clock).collect::<Vec<_>>(), [9, 12]);
        assert_eq!(eligible[0].span, Span { start_s: 1.5, end_s: 3.0 });
    }
}
