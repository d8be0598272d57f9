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

/// A number of the items at some positions.
type OfItems = dyn Fn(&[usize]) -> f64;

/// A number together with how it follows from items, so that it can be made again of items that are drawn again.
pub struct Statistic {
    /// Positions of the items that count.
    counted: Vec<usize>,
    of: Box<OfItems>,
}

impl Statistic {
    /// Of the items at the positions `counted`; `of` makes the number of any of them, some more than once.
    pub fn new(counted: Vec<usize>, of: impl Fn(&[usize]) -> f64 + 'static) -> Self {
        Self { counted, of: Box::new(of) }
    }

    /// The mean; items without a value do not count.
    pub fn mean(values: Vec<Option<f64>>) -> Self {
        Self::mean_of_means(vec![values])
    }

    /// The mean of several means over the same items, each over those that have a value there.
    ///
    /// # Panics
    /// When not all have as many entries.
    pub fn mean_of_means(columns: Vec<Vec<Option<f64>>>) -> Self {
        let n = columns.first().map_or(0, Vec::len);
        assert!(columns.iter().all(|column| column.len() == n), "means over the same items");
        let counted = (0..n).filter(|&at| columns.iter().any(|column| column[at].is_some())).collect();
        Self::new(counted, move |drawn| {
            let values = |column: &Vec<Option<f64>>| -> Vec<f64> {
                drawn.iter().filter_map(|&at| column[at]).collect()
            };
            mean(columns.iter().map(values).filter(|values| !values.is_empty()).map(mean))
        })
    }

    /// Of all its items.
    pub fn value(&self) -> f64 {
        (self.of)(&self.counted)
    }

    /// How many items count.
    pub fn n(&self) -> usize {
        self.counted.len()
    }
}

/// How much better the second of two runs over the same items is.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// The second run's number, usually a mean, less the first's.
    pub mean: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// Two-sided: how often a difference drawn again has no sign or the other one, twice, at most 1.
    pub p_value: f64,
}

impl Bootstrap {
    /// The 95 % percentile interval; the number itself for fewer than two items.
    pub fn interval(&self, statistic: &Statistic) -> Interval {
        middle(&self.drawn(&statistic.counted, &statistic.of))
    }

    /// Compares a number of two runs over the same items, as far as they count in both.
    pub fn compare(&self, first: &Statistic, second: &Statistic) -> Difference {
        let shared: Vec<usize> =
            first.counted.iter().copied().filter(|at| second.counted.binary_search(at).is_ok()).collect();
        let gain = |items: &[usize]| (second.of)(items) - (first.of)(items);
        let drawn = self.drawn(&shared, gain);
        let share = |holds: fn(f64) -> bool| {
            drawn.iter().filter(|gain| holds(**gain)).count() as f64 / drawn.len() as f64
        };
        let against = share(|gain| gain <= 0.0).min(share(|gain| gain >= 0.0));
        Difference { mean: gain(&shared), interval: middle(&drawn), p_value: (2.0 * against).min(1.0) }
    }

    /// The number of items drawn again, ascending; never empty.
    fn drawn(&self, items: &[usize], of: impl Fn(&[usize]) -> f64) -> Vec<f64> {
        if items.len() < 2 {
            return vec![of(items)];
        }
        let stream = Rng::new(self.seed, "bootstrap");
        let mut again = items.to_vec();
        let mut draw = |resample: usize| {
            let mut rng = stream.at(resample as u64);
            again.fill_with(|| items[rng.below(items.len())]);
            of(&again)
        };
        let mut drawn: Vec<f64> = (0..self.resamples.max(1)).map(&mut draw).collect();
        drawn.sort_by(f64::total_cmp);
        drawn
    }
}

/// The middle 95 % of sorted values.
fn middle(sorted: &[f64]) -> Interval {
    Interval { low: percentile(sorted, 0.025), high: percentile(sorted, 0.975) }
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

    /// The share of 1000 items for which `right` holds.
    fn share(right: fn(usize) -> bool) -> Statistic {
        Statistic::mean((0..1000).map(|at| Some(if right(at) { 1.0 } else { 0.0 })).collect())
    }

    #[test]
    fn the_interval_of_a_share_is_that_of_a_binomial() {
        let share = share(|at| at < 300);
        let Interval { low, high } = Bootstrap::default().interval(&share);
        // 0.3 and 1.96 standard errors of 0.01449.
        assert!((low - 0.2716).abs() < 0.003 && (high - 0.3284).abs() < 0.003, "{low} {high}");
        assert_eq!(Bootstrap::default().interval(&share), Interval { low, high });
    }

    #[test]
    fn runs_that_agree_differ_less_than_their_intervals() {
        let (first, second) = (share(|at| at < 300), share(|at| at < 330));
        let better = Bootstrap::default().compare(&first, &second);
        assert!((better.mean - 0.03).abs() < 1e-12 && better.p_value < 0.01);
        assert!(better.interval.low > 0.018 && better.interval.high < 0.042, "{better:?}");
        let same = Bootstrap::default().compare(&first, &first);
        assert_eq!((same.mean, same.p_value), (0.0, 1.0));
        let worse = Bootstrap::default().compare(&second, &first);
        assert!((worse.mean + better.mean).abs() < 1e-12 && worse.interval.high < 0.0);
    }

    #[test]
    fn a_mean_of_means_leaves_out_what_has_no_value() {
        let columns = vec![vec![Some(1.0), None, Some(0.0), None], vec![None, Some(1.0), None, None]];
        let both = Statistic::mean_of_means(columns);
        assert_eq!((both.n(), both.value()), (3, 0.75));
        let Interval { low, high } = Bootstrap::default().interval(&both);
        assert!((0.0..=0.5).contains(&low) && high == 1.0, "{low} {high}");
        // Only the two items that count in both runs are compared.
        let other = Statistic::mean(vec![Some(0.0), None, Some(0.0), Some(9.0)]);
        let first = Statistic::mean(vec![Some(1.0), Some(5.0), Some(0.5), None]);
        assert_eq!(Bootstrap::default().compare(&first, &other).mean, -0.75);
    }

    #[test]
    fn nothing_and_a_single_value_have_an_interval_of_no_width() {
        let interval = |values| Bootstrap::default().interval(&Statistic::mean(values));
        assert_eq!(interval(vec![None]), Interval { low: 0.0, high: 0.0 });
        assert_eq!(interval(vec![None, Some(0.7)]), Interval { low: 0.7, high: 0.7 });
    }
}
