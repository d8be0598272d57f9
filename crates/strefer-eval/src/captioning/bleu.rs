//! [BLEU](https://aclanthology.org/P02-1040/), 1 to 4 words in a row.

use std::iter::Sum;
use std::ops::Add;

use super::ngrams::{LONGEST, Ngrams};

/// Keep quotients defined; the toolkit's values.
const TINY: f64 = 1e-15;
const SMALL: f64 = 1e-9;

/// What is summed over captions before anything is divided.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Counts {
    n_words: usize,
    n_reference_words: usize,
    correct: [usize; LONGEST],
    guessed: [usize; LONGEST],
}

impl Counts {
    pub(super) fn of(prediction: &Ngrams<'_>, references: &[Ngrams<'_>]) -> Self {
        // The length nearest to the prediction's; of two the shorter.
        let nearest = |length: &usize| (length.abs_diff(prediction.n_words), *length);
        let correct = |at: usize| {
            let clipped = |(row, &count): (&Vec<&str>, &usize)| {
                let most = references.iter().filter_map(|reference| reference.counts[at].get(row)).max();
                count.min(most.copied().unwrap_or(0))
            };
            prediction.counts[at].iter().map(clipped).sum()
        };
        Self {
            n_words: prediction.n_words,
            n_reference_words: references.iter().map(|it| it.n_words).min_by_key(nearest).unwrap_or(0),
            correct: std::array::from_fn(correct),
            guessed: std::array::from_fn(|at| prediction.n_rows(at + 1)),
        }
    }

    /// BLEU-1 to BLEU-4.
    pub(super) fn scores(&self) -> [f64; LONGEST] {
        let ratio = (self.n_words as f64 + TINY) / (self.n_reference_words as f64 + SMALL);
        let brevity = if ratio < 1.0 { (1.0 - 1.0 / ratio).exp() } else { 1.0 };
        let mut product = 1.0;
        std::array::from_fn(|at| {
            product *= (self.correct[at] as f64 + TINY) / (self.guessed[at] as f64 + SMALL);
            brevity * f64::powf(product, 1.0 / (at + 1) as f64)
        })
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            n_words: self.n_words + other.n_words,
            n_reference_words: self.n_reference_words + other.n_reference_words,
            correct: std::array::from_fn(|at| self.correct[at] + other.correct[at]),
            guessed: std::array::from_fn(|at| self.guessed[at] + other.guessed[at]),
        }
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), Self::add)
    }
}
