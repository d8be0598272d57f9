//! How alike two answers are.

use std::collections::HashSet;

use super::wordnet::WordNet;
use crate::captioning::tokenize;

/// Compares answers.
#[derive(Debug)]
pub struct Wups {
    /// Where meanings are looked up.
    pub words: WordNet,
    /// Words that do not count.
    pub stop: HashSet<String>,
}

impl Wups {
    /// The words of an answer that count, as a dictionary has them.
    pub fn clean(&self, text: &str) -> Vec<String> {
        let tokens = tokenize(&[text]);
        let words = tokens.iter().flat_map(|text| text.split(' ')).filter(|word| !word.is_empty());
        let words = words.filter(|word| !self.stop.contains(*word));
        words.map(|word| self.words.lemma(word)).filter(|word| !self.stop.contains(word)).collect()
    }

    /// WUPS at the threshold 0, 0 to 1, of words that are cleaned.
    pub fn alike(&self, said: &[String], truth: &[String]) -> f64 {
        wups(said, truth, |a, b| self.words.alike(a, b))
    }
}

/// The smaller of both directions: for every word the best of the other side, those multiplied; a word that is like none does
/// not count, and where none is like any there is nothing.
pub fn wups(said: &[String], truth: &[String], alike: impl Fn(&str, &str) -> f64) -> f64 {
    let one_way = |these: &[String], those: &[String]| {
        let best = |word: &String| those.iter().map(|other| alike(word, other)).fold(0.0, f64::max);
        let counted: Vec<f64> = these.iter().map(best).filter(|best| *best > 0.0).collect();
        if counted.is_empty() { 0.0 } else { counted.iter().product() }
    };
    one_way(said, truth).min(one_way(truth, said))
}
