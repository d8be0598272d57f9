//! Lifted tracks are noisy: short gaps are filled, outliers replaced, the rest averaged.

use std::ops::Range;

use crate::stkit::config::SmoothingConfig;
use crate::stkit::numbers::{MAD_TO_SIGMA, median};
use crate::stkit::track::Track;
use crate::stkit::vector::{Point, minus, plus_scaled};

/// A track after smoothing.
#[derive(Debug, Clone, PartialEq)]
pub struct Smoothed {
    /// On the clock of the raw track; samples outside `part` are missing.
    pub track: Track,
    /// The samples that were kept: the longest stretch without a long gap.
    pub part: Range<usize>,
    /// Samples that were replaced, ascending.
    pub outliers: Vec<usize>,
}

/// Cuts a track at long gaps, keeps the longest part, fills short gaps, replaces outliers, averages.
pub fn smooth(track: &Track, cfg: &SmoothingConfig) -> Smoothed {
    let part = longest_part(track, cfg.longest_gap_s);
    let times_s = &track.times_s()[part.clone()];
    let filled = fill(times_s, &track.positions()[part.clone()]);
    let outliers = outliers(&filled, cfg);
    let inliers: Vec<Option<Point>> =
        (0..filled.len()).map(|at| (!outliers.contains(&at)).then_some(filled[at])).collect();
    // Where nothing is an inlier there is nothing to replace from.
    let cleaned = if outliers.len() < filled.len() { fill(times_s, &inliers) } else { filled };
    let mut positions = vec![None; track.positions().len()];
    for (at, point) in part.clone().zip(average(&cleaned, cfg.average_half)) {
        positions[at] = Some(point);
    }
    let outliers = outliers.into_iter().map(|at| part.start + at).collect();
    Smoothed { track: track.with_positions(positions), part, outliers }
}

/// From the first to the last sample of the longest stretch in time without a gap above `longest_gap_s`; of equally
/// long ones the first.
fn longest_part(track: &Track, longest_gap_s: f64) -> Range<usize> {
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for (at, _) in track.valid() {
        match parts.last_mut() {
            Some((_, last)) if track.is_joined(*last, at, longest_gap_s) => *last = at,
            _ => parts.push((at, at)),
        }
    }
    let duration_s = |part: &(usize, usize)| track.times_s()[part.1] - track.times_s()[part.0];
    // `max_by` takes the last of equal elements.
    let longest = parts.iter().rev().max_by(|a, b| duration_s(a).total_cmp(&duration_s(b)));
    longest.map_or(0..0, |&(first, last)| first..last + 1)
}

/// Missing positions on the straight line between the nearest ones that are there; at the ends the nearest one. At
/// least one must be there, unless there is no sample at all.
fn fill(times_s: &[f64], positions: &[Option<Point>]) -> Vec<Point> {
    let known: Vec<(usize, Point)> =
        positions.iter().enumerate().filter_map(|(at, point)| Some((at, (*point)?))).collect();
    let at_sample = |at: usize| {
        let next = known.partition_point(|(known_at, _)| *known_at < at);
        let after = known.get(next).copied();
        let before = next.checked_sub(1).map(|before| known[before]);
        match (before, after) {
            (Some((i, a)), Some((j, b))) => {
                let share = (times_s[at] - times_s[i]) / (times_s[j] - times_s[i]);
                if j == at { b } else { plus_scaled(a, minus(b, a), share) }
            }
            (Some((_, point)), None) | (None, Some((_, point))) => point,
            (None, None) => unreachable!("a part begins with a position that is there"),
        }
    };
    (0..positions.len()).map(at_sample).collect()
}

/// Hampel's rule on every axis: samples far from the median of their neighbourhood. All windows see the raw points.
fn outliers(points: &[Point], cfg: &SmoothingConfig) -> Vec<usize> {
    let is_outlier = |at: usize, axis: usize| {
        let first = at.saturating_sub(cfg.hampel_half);
        let last = (at + cfg.hampel_half).min(points.len() - 1);
        let window: Vec<f64> = points[first..=last].iter().map(|point| point[axis]).collect();
        let Some(middle) = median(window.clone()) else { return false };
        let deviation = median(window.iter().map(|value| (value - middle).abs()).collect()).unwrap_or(0.0);
        let limit = cfg.hampel_limit * MAD_TO_SIGMA * deviation.max(cfg.deviation_floor_m);
        (points[at][axis] - middle).abs() > limit
    };
    (0..points.len()).filter(|&at| (0..3).any(|axis| is_outlier(at, axis))).collect()
}

/// The mean of up to `half` points on each side; as many on both, so the ends stay where they are.
fn average(points: &[Point], half: usize) -> Vec<Point> {
    let mean = |at: usize| {
        let half = half.min(at).min(points.len() - 1 - at);
        let window = &points[at - half..=at + half];
        let sum = window.iter().fold([0.0; 3], |sum, &point| plus_scaled(sum, point, 1.0));
        sum.map(|value| value / window.len() as f64)
    };
    (0..points.len()).map(mean).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn along_x(xs: &[Option<f64>]) -> Track {
        let times_s = (0..xs.len()).map(|at| at as f64 * 0.5).collect();
        Track::new(times_s, xs.iter().map(|x| x.map(|x| [x, 0.0, 0.0])).collect()).unwrap()
    }

    fn xs(smoothed: &Smoothed) -> Vec<Option<f64>> {
        smoothed.track.positions().iter().map(|point| point.map(|point| point[0])).collect()
    }

    #[test]
    fn a_straight_line_stays() {
        let line: Vec<Option<f64>> = (0..8).map(|at| Some(f64::from(at))).collect();
        let smoothed = smooth(&along_x(&line), &SmoothingConfig::default());
        assert_eq!((xs(&smoothed), smoothed.outliers), (line, Vec::new()));
    }

    #[test]
    fn a_jump_is_replaced_from_its_neighbours() {
        let mut line: Vec<Option<f64>> = (0..9).map(|at| Some(f64::from(at))).collect();
        line[4] = Some(400.0);
        let smoothed = smooth(&along_x(&line), &SmoothingConfig::default());
        assert_eq!(smoothed.outliers, [4]);
        assert_eq!(xs(&smoothed)[4], Some(4.0));
    }

    #[test]
    fn a_jump_at_the_end_becomes_the_nearest_point() {
        let mut line = vec![Some(1.0); 7];
        line[6] = Some(9.0);
        let smoothed = smooth(&along_x(&line), &SmoothingConfig::default());
        assert_eq!((xs(&smoothed), smoothed.outliers), (vec![Some(1.0); 7], vec![6]));
    }

    #[test]
    fn short_gaps_are_filled_and_long_ones_cut() {
        let (gap, none) = (|x: f64| Some(x), None);
        let raw = along_x(&[none, gap(5.0), none, none, gap(0.0), none, gap(2.0), gap(3.0), none]);
        let smoothed = smooth(&raw, &SmoothingConfig::default());
        assert_eq!(smoothed.part, 4..8);
        let expected = [none, none, none, none, gap(0.0), gap(1.0), gap(2.0), gap(3.0), none];
        assert_eq!(xs(&smoothed), expected);
    }

    #[test]
    fn of_two_equally_long_parts_the_first_is_kept() {
        let raw = along_x(&[Some(0.0), Some(1.0), None, None, Some(7.0), Some(8.0)]);
        assert_eq!(smooth(&raw, &SmoothingConfig::default()).part, 0..2);
    }

    #[test]
    fn nothing_stays_nothing() {
        for raw in [along_x(&[]), along_x(&[None; 3])] {
            let smoothed = smooth(&raw, &SmoothingConfig::default());
            assert_eq!((smoothed.part, smoothed.track), (0..0, raw));
        }
        let single = smooth(&along_x(&[None, Some(2.0)]), &SmoothingConfig::default());
        assert_eq!(xs(&single), [None, Some(2.0)]);
    }
}
