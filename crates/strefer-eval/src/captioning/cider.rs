//! [CIDEr](https://arxiv.org/abs/1411.5726) as the toolkit counts it: with clipping and a penalty on length, and document
//! frequencies from the references themselves.

use std::collections::{BTreeMap, BTreeSet};

use super::ngrams::{LONGEST, Ngrams};
use crate::statistics::mean;

/// Width of the penalty, in rows of two words.
const SIGMA: f64 = 6.0;

type Row<'a> = Vec<&'a str>;

/// In how many captions' references each row of words comes.
#[derive(Debug)]
pub(super) struct Frequencies<'a> {
    captions: BTreeMap<Row<'a>, usize>,
    log_n: f64,
}

/// A text as weights of its rows.
struct Weights<'a> {
    by_row: [BTreeMap<&'a Row<'a>, f64>; LONGEST],
    norms: [f64; LONGEST],
    n_pairs: f64,
}

impl<'a> Frequencies<'a> {
    /// `references`: those of each caption.
    pub(super) fn of(references: &[Vec<Ngrams<'a>>]) -> Self {
        let mut captions: BTreeMap<Row<'a>, usize> = BTreeMap::new();
        for of_caption in references {
            let rows = of_caption.iter().flat_map(|it| it.counts.iter().flat_map(BTreeMap::keys));
            for row in rows.collect::<BTreeSet<_>>() {
                *captions.entry(row.clone()).or_default() += 1;
            }
        }
        Self { captions, log_n: (references.len() as f64).ln() }
    }

    fn weights<'b>(&self, text: &'b Ngrams<'a>) -> Weights<'b>
    where
        'a: 'b,
    {
        let weight = |row: &Row<'a>, count: usize| {
            let captions = self.captions.get(row).copied().unwrap_or(0).max(1);
            count as f64 * (self.log_n - (captions as f64).ln())
        };
        let by_row: [BTreeMap<&Row<'_>, f64>; LONGEST] = std::array::from_fn(|at| {
            text.counts[at].iter().map(|(row, &count)| (row, weight(row, count))).collect()
        });
        let norms = std::array::from_fn(|at| {
            let squares = by_row[at].values().map(|weight| weight * weight);
            squares.sum::<f64>().sqrt()
        });
        Weights { by_row, norms, n_pairs: text.n_rows(2) as f64 }
    }

    /// CIDEr of one caption, 0 to 10.
    pub(super) fn score(&self, prediction: &Ngrams<'a>, references: &[Ngrams<'a>]) -> f64 {
        let said = self.weights(prediction);
        let one = |reference: &Ngrams<'a>| {
            let reference = self.weights(reference);
            let apart = said.n_pairs - reference.n_pairs;
            let penalty = (-apart * apart / (2.0 * SIGMA * SIGMA)).exp();
            mean((0..LONGEST).map(|at| likeness(&said, &reference, at) * penalty))
        };
        10.0 * mean(references.iter().map(one))
    }
}

fn likeness(said: &Weights<'_>, reference: &Weights<'_>, at: usize) -> f64 {
    let product = |(row, weight): (&&Row<'_>, &f64)| {
        reference.by_row[at].get(*row).map(|reference| weight.min(*reference) * reference)
    };
    let norm = said.norms[at] * reference.norms[at];
    let sum: f64 = said.by_row[at].iter().filter_map(product).sum();
    if norm == 0.0 { sum } else { sum / norm }
}
