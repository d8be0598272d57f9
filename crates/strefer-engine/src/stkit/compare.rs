//! Two or more objects side by side: who went farther, who was faster, whether two went the same way.

use crate::stkit::config::KinematicsConfig;
use crate::stkit::fault::Fault;
use crate::stkit::track::Track;
use crate::stkit::vector::{Up, length, minus};

/// Positions of the largest and the smallest of some values, where they stand out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extremes {
    /// The largest; `None` when the next one comes too close.
    pub largest: Option<usize>,
    /// The smallest; likewise.
    pub smallest: Option<usize>,
}

impl Extremes {
    /// Ranks values that are not negative. Nothing is ranked when a value is not known.
    ///
    /// A winner must differ from the next value by `margin` of the larger of both.
    pub fn of(values: &[Option<f64>], margin: f64) -> Self {
        let known: Option<Vec<f64>> = values.iter().copied().collect();
        let Some(known) = known.filter(|known| known.len() > 1) else { return Self::default() };
        let mut order: Vec<usize> = (0..known.len()).collect();
        order.sort_by(|&a, &b| known[a].total_cmp(&known[b]));
        let winner = |first: usize, second: usize| {
            let (x, y) = (known[first], known[second]);
            ((x - y).abs() / x.max(y) >= margin).then_some(first)
        };
        let last = order.len() - 1;
        Self { largest: winner(order[last], order[last - 1]), smallest: winner(order[0], order[1]) }
    }
}

/// How the net ways of two objects lie to each other.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NetDirection {
    /// The angle between them in degrees, in `[0, 180]`; `None` when one of them is too short.
    pub angle_deg: Option<f64>,
    /// Whether they go the same way; `None` when they neither clearly do nor clearly do not.
    pub same: Option<bool>,
}

impl NetDirection {
    /// Compares the horizontal ways between the first and the last sample at which both objects are there.
    ///
    /// # Errors
    /// Tracks on different clocks.
    pub fn between(a: &Track, b: &Track, up: Up, cfg: &KinematicsConfig) -> Result<Self, Fault> {
        if a.times_s() != b.times_s() {
            return Err(Fault::Clocks);
        }
        let both = a.positions().iter().zip(b.positions());
        let mut both = both.filter_map(|(a, b)| Some(((*a)?, (*b)?)));
        let Some((start, end)) = both.next().zip(both.next_back()) else { return Ok(Self::default()) };
        let (way_a, way_b) = (up.horizontal(minus(end.0, start.0)), up.horizontal(minus(end.1, start.1)));
        if length(way_a) < cfg.shortest_net_m || length(way_b) < cfg.shortest_net_m {
            return Ok(Self::default());
        }
        let angle_deg = up.turn(way_a, way_b).abs().to_degrees();
        let same = match angle_deg {
            angle if angle <= cfg.same_up_to_deg => Some(true),
            angle if angle >= cfg.different_from_deg => Some(false),
            _ => None,
        };
        Ok(Self { angle_deg: Some(angle_deg), same })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn extremes(values: &[f64]) -> (Option<usize>, Option<usize>) {
        let values: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        let found = Extremes::of(&values, 0.1);
        (found.largest, found.smallest)
    }

    #[test]
    fn winners_stand_out_by_the_margin() {
        assert_eq!(extremes(&[10.0, 9.0]), (Some(0), Some(1)));
        assert_eq!(extremes(&[10.0, 9.01]), (None, None));
        assert_eq!(extremes(&[5.0, 20.0, 19.0]), (None, Some(0)));
        assert_eq!(extremes(&[0.0, 3.0]), (Some(1), Some(0)));
    }

    #[test]
    fn equal_unknown_and_single_values_have_no_winner() {
        assert_eq!(extremes(&[0.0, 0.0]), (None, None));
        assert_eq!(extremes(&[4.0, 4.0, 4.0]), (None, None));
        assert_eq!(extremes(&[4.0]), (None, None));
        assert_eq!(Extremes::of(&[Some(1.0), None, Some(9.0)], 0.1), Extremes::default());
    }

    /// From the origin straight to `(x, y)` in three samples; `lost` samples are missing.
    fn straight(x: f64, y: f64, lost: &[usize]) -> Track {
        let at = |share: f64| [x * share, y * share, 0.0];
        let positions = (0..3).map(|n| (!lost.contains(&n)).then(|| at(n as f64 / 2.0))).collect();
        Track::new(vec![0.0, 0.5, 1.0], positions).unwrap()
    }

    fn between(a: &Track, b: &Track) -> NetDirection {
        NetDirection::between(a, b, Up::Z, &KinematicsConfig::default()).unwrap()
    }

    #[test]
    fn the_same_way_is_near_and_a_different_way_is_far() {
        let east = straight(4.0, 0.0, &[]);
        let at = |degrees: f64| {
            let (sin, cos) = degrees.to_radians().sin_cos();
            between(&east, &straight(4.0 * cos, 4.0 * sin, &[])).same
        };
        assert_eq!([0.0, 29.0, -29.0].map(at), [Some(true); 3]);
        assert_eq!([31.0, 59.0, -45.0].map(at), [None; 3]);
        assert_eq!([61.0, 180.0, -90.0].map(at), [Some(false); 3]);
    }

    #[test]
    fn only_samples_that_both_have_count() {
        let (a, b) = (straight(4.0, 0.0, &[0]), straight(0.0, 4.0, &[2]));
        assert_eq!(between(&a, &b), NetDirection::default());
        // Half of the way is left of both, and it is long enough.
        let (a, b) = (straight(4.0, 0.0, &[0]), straight(0.0, 4.0, &[]));
        assert_eq!(between(&a, &b).same, Some(false));
        assert_eq!(between(&a, &straight(0.0, 1.9, &[])).angle_deg, None);
    }

    #[test]
    fn tracks_on_different_clocks_are_refused() {
        let other = Track::new(vec![0.0, 0.5, 1.1], vec![None; 3]).unwrap();
        let found =
            NetDirection::between(&straight(1.0, 1.0, &[]), &other, Up::Z, &KinematicsConfig::default());
        assert_eq!(found, Err(Fault::Clocks));
    }
}
