//! Medians, and numbers as they stand in text.

/// A median absolute deviation times this estimates the standard deviation of normal noise.
pub(super) const MAD_TO_SIGMA: f64 = 1.4826;

/// The middle value, of an even number the mean of the two middle ones; `None` of nothing.
pub(super) fn median(mut values: Vec<f64>) -> Option<f64> {
    let last = values.len().checked_sub(1)?;
    values.sort_unstable_by(f64::total_cmp);
    Some((values[last / 2] + values[values.len() / 2]) / 2.0)
}

/// One decimal, half away from zero.
pub(super) fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 3.0, 2.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn halves_are_rounded_away_from_zero() {
        assert_eq!([0.25, 0.75, 12.34, -0.25].map(tenths), [0.3, 0.8, 12.3, -0.3]);
    }
}
