//! Scores of boxes become an answer.

use crate::masklets::seam::Answer;

/// The best of several logarithms of how well boxes fit, and its share among them all; the first of equal ones. Nothing
/// where `fits` says that even the best does not.
pub(super) fn best(scores: &[f64], fits: impl FnOnce(f64) -> bool) -> Answer {
    let largest = |best: Option<(usize, f64)>, (at, &score): (usize, &f64)| match best {
        Some((_, known)) if known >= score => best,
        _ if score.is_nan() => best,
        _ => Some((at, score)),
    };
    let Some((at, top)) = scores.iter().enumerate().fold(None, largest) else { return Answer::default() };
    if !fits(top) {
        return Answer::default();
    }
    let whole: f64 = scores.iter().filter(|score| !score.is_nan()).map(|score| (score - top).exp()).sum();
    Answer { indices: vec![at], confidence: vec![1.0 / whole] }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_box_has_its_share_and_may_be_refused() {
        let answer = best(&[f64::NAN, 0.0, 3f64.ln(), 0.0], |_| true);
        assert_eq!(answer.indices, [2]);
        assert!((answer.confidence[0] - 0.6).abs() < 1e-12);
        assert_eq!(best(&[1.0, 1.0], |_| true).indices, [0]);
        assert_eq!(best(&[1.0, 2.0], |top| top > 2.0), Answer::default());
        assert_eq!(best(&[], |_| true), Answer::default());
    }
}
