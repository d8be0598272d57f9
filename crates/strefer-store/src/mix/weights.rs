//! Weights of a mixture fitted on small runs: how much each source brings, less the more there is of it.
//!
//! A score is taken to be `c + Σ gainᵢ √shareᵢ` with gains that are not negative: what a source adds grows with its share, ever more
//! slowly. The shares that score best are then `gainᵢ² / Σ gain²`. With few runs of few steps that is about as much as can be told; the error
//! of left-out runs says whether it tells anything.

use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};

/// Steps of the fit; each goes through all gains.
const STEPS: usize = 4000;

/// A small run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Trial {
    /// Shares of the sources in what it saw, by name; those that are not named were not seen. They need not add up to 1.
    pub shares: BTreeMap<String, f64>,
    /// How well it did; more is better.
    pub score: f64,
}

/// What small runs say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Fitted {
    /// The shares that should score best, adding up to 1.
    pub shares: BTreeMap<String, f64>,
    /// What each source would bring alone.
    pub gains: BTreeMap<String, f64>,
    /// The score without any.
    pub base: f64,
    /// The score that is expected of these shares.
    pub expected: f64,
    /// Mean error of the score of each run, told by the others.
    pub left_out_error: f64,
    /// The same where the mean of the others is told: what is not below this has learnt nothing.
    pub mean_error: f64,
}

/// Fits weights.
///
/// # Errors
/// Fewer runs than sources and two; shares that are negative or all 0; scores that are no numbers; no source that brings anything.
pub fn fit(trials: &[Trial]) -> Result<Fitted> {
    let bad = |reason: String| Error::Mix { reason };
    let names: Vec<String> = trials
        .iter()
        .flat_map(|trial| trial.shares.keys().cloned())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    if trials.len() < names.len() + 2 {
        let (runs, sources) = (trials.len(), names.len());
        return Err(bad(format!(
            "{runs} runs are too few to weigh {sources} sources: {} at least",
            sources + 2
        )));
    }
    let mut rows = Vec::with_capacity(trials.len());
    for (at, trial) in trials.iter().enumerate() {
        let sum: f64 = trial.shares.values().sum();
        let stands = |share: &f64| share.is_finite() && *share >= 0.0;
        if !(trial.shares.values().all(stands) && sum > 0.0 && trial.score.is_finite()) {
            return Err(bad(format!(
                "run {at}: shares are at least 0 and one is more, and its score is a number"
            )));
        }
        let share = |name: &String| trial.shares.get(name).map_or(0.0, |share| (share / sum).sqrt());
        rows.push((names.iter().map(share).collect::<Vec<f64>>(), trial.score));
    }
    let (base, gains) = least_squares(&rows);
    let squares: f64 = gains.iter().map(|gain| gain * gain).sum();
    if squares <= f64::EPSILON {
        return Err(bad("no source brings anything in these runs".to_owned()));
    }
    let shares: Vec<f64> = gains.iter().map(|gain| gain * gain / squares).collect();
    let tell =
        |base: f64, gains: &[f64], row: &[f64]| base + gains.iter().zip(row).map(|(a, b)| a * b).sum::<f64>();
    let (mut left_out_error, mut mean_error) = (0.0, 0.0);
    for at in 0..rows.len() {
        let mut others = rows.clone();
        let (row, score) = others.remove(at);
        let (base, gains) = least_squares(&others);
        left_out_error += (tell(base, &gains, &row) - score).abs() / rows.len() as f64;
        let mean = others.iter().map(|(_, score)| score).sum::<f64>() / others.len() as f64;
        mean_error += (mean - score).abs() / rows.len() as f64;
    }
    let named = |values: &[f64]| names.iter().cloned().zip(values.iter().copied()).collect();
    let roots: Vec<f64> = shares.iter().map(|share| share.sqrt()).collect();
    Ok(Fitted {
        shares: named(&shares),
        gains: named(&gains),
        base,
        expected: tell(base, &gains, &roots),
        left_out_error,
        mean_error,
    })
}

/// The base and the gains, none of them negative, with the least squared error: one after the other, again and again.
fn least_squares(rows: &[(Vec<f64>, f64)]) -> (f64, Vec<f64>) {
    let n = rows.first().map_or(0, |(row, _)| row.len());
    let count = rows.len() as f64;
    let (mut base, mut gains) = (rows.iter().map(|(_, score)| score).sum::<f64>() / count, vec![0.0; n]);
    let error = |base: f64, gains: &[f64], row: &[f64], score: f64| {
        score - base - gains.iter().zip(row).map(|(a, b)| a * b).sum::<f64>()
    };
    for _ in 0..STEPS {
        base += rows.iter().map(|(row, score)| error(base, &gains, row, *score)).sum::<f64>() / count;
        for at in 0..n {
            let weight: f64 = rows.iter().map(|(row, _)| row[at] * row[at]).sum();
            if weight > 0.0 {
                let pull: f64 =
                    rows.iter().map(|(row, score)| row[at] * error(base, &gains, row, *score)).sum();
                gains[at] = (gains[at] + pull / weight).max(0.0);
            }
        }
    }
    (base, gains)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trial(shares: &[(&str, f64)], score: f64) -> Trial {
        Trial { shares: shares.iter().map(|(name, share)| ((*name).to_owned(), *share)).collect(), score }
    }

    #[test]
    fn gains_and_shares_are_found_again() {
        // A score of 10 + 3 √a + 4 √b: the best shares are 9/25 and 16/25.
        let score = |a: f64| 10.0 + 3.0 * a.sqrt() + 4.0 * (1.0 - a).sqrt();
        let trials: Vec<Trial> = [0.0, 0.2, 0.4, 0.6, 1.0]
            .iter()
            .map(|&a| trial(&[("a", 2.0 * a), ("b", 2.0 * (1.0 - a))], score(a)))
            .collect();
        let fitted = fit(&trials).unwrap();
        assert!(
            (fitted.gains["a"] - 3.0).abs() < 1e-3 && (fitted.gains["b"] - 4.0).abs() < 1e-3,
            "{fitted:?}"
        );
        assert!((fitted.shares["a"] - 0.36).abs() < 1e-3 && (fitted.expected - 15.0).abs() < 1e-3);
        assert!(fitted.left_out_error < 0.1 * fitted.mean_error);
    }

    #[test]
    fn a_source_that_harms_gets_nothing() {
        let trials: Vec<Trial> = [0.0, 0.25, 0.5, 0.75, 1.0]
            .iter()
            .map(|&harm: &f64| trial(&[("good", 1.0 - harm), ("harm", harm)], 5.0 * (1.0 - harm)))
            .collect();
        let fitted = fit(&trials).unwrap();
        assert_eq!(fitted.shares["harm"], 0.0);
        assert_eq!(fitted.shares["good"], 1.0);
    }

    #[test]
    fn what_tells_nothing_is_refused() {
        let one = trial(&[("a", 1.0), ("b", 1.0)], 1.0);
        assert!(
            fit(&vec![one.clone(); 3])
                .unwrap_err()
                .to_string()
                .contains("3 runs are too few to weigh 2 sources")
        );
        let worse = trial(&[("a", 1.0)], f64::NAN);
        assert!(
            fit(&[one.clone(), one.clone(), one.clone(), worse]).unwrap_err().to_string().contains("run 3")
        );
        let none = trial(&[("a", 0.0)], 1.0);
        assert!(fit(&[one.clone(), one.clone(), one, none]).unwrap_err().to_string().contains("run 3"));
    }
}
