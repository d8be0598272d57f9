//! How well checks tell right samples from wrong ones, and which limits do it best.

use std::collections::{BTreeMap, HashMap};

use serde::Serialize;

use super::scores::{Against, Limits, Scores};
use super::spoil::{Label, Spoilt};

/// Limits of a score that are tried.
const TRIED: usize = 100;

/// Times that limits are fitted in turn.
const ROUNDS: usize = 3;

/// Right and wrong samples that were kept or refused. A kept right one is what a filter is for (a true positive).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Confusion {
    /// Right ones that were kept.
    pub kept_right: usize,
    /// Wrong ones that were kept.
    pub kept_wrong: usize,
    /// Right ones that were refused.
    pub refused_right: usize,
    /// Wrong ones that were refused.
    pub refused_wrong: usize,
}

impl Confusion {
    fn share(part: usize, rest: usize) -> f64 {
        if part + rest == 0 { 0.0 } else { part as f64 / (part + rest) as f64 }
    }

    /// How many of the kept are right.
    pub fn precision(&self) -> f64 {
        Self::share(self.kept_right, self.kept_wrong)
    }

    /// How many of the right are kept.
    pub fn recall(&self) -> f64 {
        Self::share(self.kept_right, self.refused_right)
    }

    /// Harmonic mean of both.
    pub fn f1(&self) -> f64 {
        let (precision, recall) = (self.precision(), self.recall());
        if precision + recall == 0.0 { 0.0 } else { 2.0 * precision * recall / (precision + recall) }
    }

    /// How many are treated as they should be.
    pub fn accuracy(&self) -> f64 {
        Self::share(self.kept_right + self.refused_wrong, self.kept_wrong + self.refused_right)
    }

    /// Adds one.
    fn add(&mut self, kept: bool, right: bool) {
        *match (kept, right) {
            (true, true) => &mut self.kept_right,
            (true, false) => &mut self.kept_wrong,
            (false, true) => &mut self.refused_right,
            (false, false) => &mut self.refused_wrong,
        } += 1;
    }
}

/// What limits can be fitted for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Score {
    /// [`Limits::cycle`].
    Cycle,
    /// [`Limits::likely`].
    Likely,
    /// [`Limits::records`].
    Records,
}

/// Scored samples whose truth is known.
#[derive(Debug)]
pub struct Labelled {
    items: Vec<(Scores, Option<Spoilt>)>,
}

impl Labelled {
    /// Joins scores and labels by the samples' ids.
    ///
    /// # Errors
    /// The id of a score without a label.
    pub fn new(scores: Vec<Scores>, labels: &[Label]) -> Result<Self, String> {
        let known: HashMap<&str, Option<Spoilt>> =
            labels.iter().map(|label| (label.id.as_str(), label.spoilt)).collect();
        let join = |scores: Scores| match known.get(scores.id.as_str()) {
            Some(spoilt) => Ok((scores, *spoilt)),
            None => Err(scores.id),
        };
        Ok(Self { items: scores.into_iter().map(join).collect::<Result<_, _>>()? })
    }

    /// Number of samples, and how many are wrong.
    pub fn counts(&self) -> (usize, usize) {
        (self.items.len(), self.items.iter().filter(|(_, spoilt)| spoilt.is_some()).count())
    }

    /// What limits do.
    pub fn confusion(&self, limits: &Limits) -> Confusion {
        let mut confusion = Confusion::default();
        for (scores, spoilt) in &self.items {
            confusion.add(limits.refusal(scores).is_none(), spoilt.is_none());
        }
        confusion
    }

    /// Of samples that are wrong in each way, how many there are and how many are refused.
    pub fn refused(&self, limits: &Limits) -> BTreeMap<Spoilt, (usize, usize)> {
        let mut counts: BTreeMap<Spoilt, (usize, usize)> = BTreeMap::new();
        for (scores, spoilt) in &self.items {
            if let Some(way) = spoilt {
                let entry = counts.entry(*way).or_default();
                *entry = (entry.0 + 1, entry.1 + usize::from(limits.refusal(scores).is_some()));
            }
        }
        counts
    }

    /// The limits with the best F1 that differ from `start` in what is named; the others stay as they are.
    pub fn fit(&self, start: Limits, free: &[Score]) -> Limits {
        let mut best = (self.confusion(&start).f1(), start);
        for _ in 0..ROUNDS {
            for score in free {
                for limits in self.tried(*score, best.1) {
                    let f1 = self.confusion(&limits).f1();
                    if f1 > best.0 {
                        best = (f1, limits);
                    }
                }
            }
        }
        best.1
    }

    /// The limits with other values of one score: none, and quantiles of what was scored.
    fn tried(&self, score: Score, limits: Limits) -> Vec<Limits> {
        let of = |scores: &Scores| match score {
            Score::Cycle => scores.cycle,
            Score::Likely => scores.likely,
            Score::Records => scores.likely.filter(|_| !scores.records.is_empty()),
        };
        let mut values: Vec<f64> = self
            .items
            .iter()
            .filter_map(|(scores, _)| of(scores))
            .filter(|value| value.is_finite())
            .collect();
        values.sort_by(f64::total_cmp);
        let quantile = |nth: usize| values.get(nth * values.len().saturating_sub(1) / TRIED).copied();
        let quantiles = (0..=TRIED).filter_map(quantile);
        match score {
            Score::Cycle => [None]
                .into_iter()
                .chain(quantiles.map(Some))
                .map(|cycle| Limits { cycle, ..limits })
                .collect(),
            Score::Likely => [None]
                .into_iter()
                .chain(quantiles.map(Some))
                .map(|likely| Limits { likely, ..limits })
                .collect(),
            Score::Records => [Against::Kept, Against::Refused]
                .into_iter()
                .chain(quantiles.map(Against::UnlessLikely))
                .map(|records| Limits { records, ..limits })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labelled() -> Labelled {
        // Right samples score 0 to 9, wrong ones -5 to 4.
        let item = |id: String, cycle: f64, spoilt| {
            (Scores { id: id.clone(), cycle: Some(cycle), ..Scores::default() }, Label { id, spoilt })
        };
        let right = (0..10).map(|at| item(format!("r{at}"), f64::from(at), None));
        let wrong = (0..10).map(|at| item(format!("w{at}"), f64::from(at) - 5.5, Some(Spoilt::Invented)));
        let (scores, labels): (Vec<Scores>, Vec<Label>) = right.chain(wrong).unzip();
        Labelled::new(scores, &labels).unwrap()
    }

    #[test]
    fn precision_and_recall_are_about_what_is_kept() {
        let all = labelled();
        let kept = all.confusion(&Limits { cycle: Some(3.0), ..Limits::NONE });
        assert_eq!(kept, Confusion { kept_right: 7, kept_wrong: 1, refused_right: 3, refused_wrong: 9 });
        assert_eq!((kept.precision(), kept.recall(), kept.accuracy()), (0.875, 0.7, 0.8));
        assert!((kept.f1() - 2.0 * 0.875 * 0.7 / 1.575).abs() < 1e-12);
        let nothing = all.confusion(&Limits::NONE);
        assert_eq!((nothing.precision(), nothing.recall()), (0.5, 1.0));
        assert_eq!(all.refused(&Limits { cycle: Some(3.0), ..Limits::NONE })[&Spoilt::Invented], (10, 9));
    }

    #[test]
    fn the_best_limit_is_found_and_other_scores_are_left_alone() {
        let all = labelled();
        let fitted = all.fit(Limits::NONE, &[Score::Cycle, Score::Likely, Score::Records]);
        let best = all.confusion(&fitted).f1();
        for limit in -6..10 {
            let limits = Limits { cycle: Some(f64::from(limit)), ..Limits::NONE };
            assert!(all.confusion(&limits).f1() <= best + 1e-12, "{limit}");
        }
        assert_eq!((fitted.likely, fitted.records), (None, Against::Kept));
        assert_eq!(all.fit(Limits::NONE, &[Score::Likely]), Limits::NONE);
    }

    #[test]
    fn a_score_without_a_label_is_named() {
        let scores = Scores { id: "lost".to_owned(), ..Scores::default() };
        assert_eq!(Labelled::new(vec![scores], &[]).unwrap_err(), "lost");
    }
}
