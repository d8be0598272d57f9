//! Words in a row, counted.

use std::collections::BTreeMap;

/// The longest row that is counted.
pub(super) const LONGEST: usize = 4;

/// How often each row of 1 to 4 words comes in a text.
#[derive(Debug)]
pub(super) struct Ngrams<'a> {
    /// Number of words.
    pub(super) n_words: usize,
    /// By length, less one; ordered, so that sums come out the same in every run.
    pub(super) counts: [BTreeMap<Vec<&'a str>, usize>; LONGEST],
}

impl<'a> Ngrams<'a> {
    pub(super) fn of(text: &'a str) -> Self {
        let words: Vec<&str> = text.split_whitespace().collect();
        let counts = std::array::from_fn(|at| {
            let mut counts = BTreeMap::new();
            for row in words.windows(at + 1) {
                *counts.entry(row.to_vec()).or_default() += 1;
            }
            counts
        });
        Self { n_words: words.len(), counts }
    }

    /// How many rows of `n` words there are.
    pub(super) fn n_rows(&self, n: usize) -> usize {
        (self.n_words + 1).saturating_sub(n)
    }
}
