//! Means, and how sure they are: bootstrap intervals of one run and of the difference between two.

use serde::{Deserialize, Serialize};
use strefer_core::Rng;

use crate::quiz::Interval;

/// The mean; 0 of nothing.
pub(crate) fn mean(values: impl IntoIterator<Item = f64>) -> f64 {
    let (mut sum, mut count) = (0.0, 0_usize);
    for value in values {
        sum += value;
        count += 1;
    }
    if count == 0 { 0.0 } else { sum / count as f64 }
}

/// How the bootstrap draws.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bootstrap {
    /// How many times all items are drawn again, with replacement.
    pub resamples: usize,
    /// The same seed gives the same interval.
    pub seed: u64,
}

impl Default for Bootstrap {
    fn default() -> Self {
        Self { resamples: 2000, seed: 0 }
    }
}

/// How much better the second of two runs over the same items is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Mean of the second less mean of the first.
    pub mean: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// Two-sided: how often a difference drawn again has no sign or the other one, twice, at most 1.
    pub p_value: f64,
}

impl Bootstrap {
    /// The 95 % percentile interval of the mean; the mean itself for fewer than two values.
    pub fn interval(&self, values: &[f64]) -> Interval {
        let drawn = self.drawn_means(values);
        Interval { low: percentile(&drawn, 0.025), high: percentile(&drawn, 0.975) }
    }

    /// Compares two runs; entry by entry they belong to the same items.
    ///
    /// # Panics
    /// When the runs are not of one length.
    pub fn compare(&self, first: &[f64], second: &[f64]) -> Difference {
        assert_eq!(first.len(), second.len(), "two runs over the same items");
        let gains: Vec<f64> = first.iter().zip(second).map(|(first, second)| second - first).collect();
        let drawn = self.drawn_means(&gains);
        let share = |holds: fn(f64) -> bool| {
            drawn.iter().filter(|gain| holds(**gain)).count() as f64 / drawn.len() as f64
        };
        let against = share(|gain| gain <= 0.0).min(share(|gain| gain >= 0.0));
        Difference {
            mean: mean(gains.iter().copied()),
            interval: Interval { low: percentile(&drawn, 0.025), high: percentile(&drawn, 0.975) },
            p_value: (2.0 * against).min(1.0),
        }
    }

    /// Means of items drawn again, ascending; never empty.
    fn drawn_means(&self, values: &[f64]) -> Vec<f64> {
        if values.len() < 2 {
            return vec![mean(values.iter().copied())];
        }
        let stream = Rng::new(self.seed, "bootstrap");
        let draw = |resample: usize| {
            let mut rng = stream.at(resample as u64);
            mean((0..values.len()).map(|_| values[rng.below(values.len())]))
        };
        let mut drawn: Vec<f64> = (0..self.resamples.max(1)).map(draw).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }
}

/// Between the two nearest of sorted values.
fn percentile(sorted: &[f64], share: f64) -> f64 {
    let at = share * (sorted.len() - 1) as f64;
    let (below, above) = (sorted[at.floor() as usize], sorted[at.ceil() as usize]);
    below + (above - below) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shares(right: usize, of: usize) -> Vec<f64> {
        (0..of).map(|at| if at < right { 1.0 } else { 0.0 }).collect()
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_a_binomial() {
        let Interval { low, high } = Bootstrap::default().interval(&shares(300, 1000));
        // 0.3 and 1.96 standard errors of 0.01449.
        assert!((low - 0.2716).abs() < 0.003 && (high - 0.3284).abs() < 0.003, "{low} {high}");
        assert_eq!(Bootstrap::default().interval(&shares(300, 1000)), Interval { low, high });
    }

    #[test]
    fn runs_that_agree_differ_less_than_their_intervals() {
        let first = shares(300, 1000);
        let mut second = first.clone();
        second[300..330].fill(1.0);
        let better = Bootstrap::default().compare(&first, &second);
        assert!((better.mean - 0.03).abs() < 1e-12 && better.p_value < 0.01);
        assert!(better.interval.low > 0.018 && better.interval.high < 0.042, "{better:?}");
        let same = Bootstrap::default().compare(&first, &first);
        assert_eq!((same.mean, same.p_value), (0.0, 1.0));
        let worse = Bootstrap::default().compare(&second, &first);
        assert!((worse.mean + better.mean).abs() < 1e-12 && worse.interval.high < 0.0);
    }

    #[test]
    fn nothing_and_a_single_value_have_an_interval_of_no_width() {
        assert_eq!(Bootstrap::default().interval(&[]), Interval { low: 0.0, high: 0.0 });
        assert_eq!(Bootstrap::default().interval(&[0.7]), Interval { low: 0.7, high: 0.7 });
    }
}
