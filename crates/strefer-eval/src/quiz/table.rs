//! Accuracy by kind of question, with intervals, beside what needs no looking.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use serde::{Deserialize, Serialize};

use super::answer::{Answer, normalise};

/// A 95 % interval of a share, 0 to 1.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// Lower end.
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// So many of so many.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Share {
    /// How many were right.
    pub right: usize,
    /// Of how many.
    pub of: usize,
}

impl Share {
    /// Counts answers.
    pub fn count<'a>(answers: impl Iterator<Item = &'a Answer>, right: impl Fn(&Answer) -> bool) -> Self {
        answers.fold(Self::default(), |share, answer| Self {
            right: share.right + usize::from(right(answer)),
            of: share.of + 1,
        })
    }

    /// As a share, 0 to 1; 0 of 0 is 0.
    pub fn value(&self) -> f64 {
        if self.of == 0 { 0.0 } else { self.right as f64 / self.of as f64 }
    }

    /// Wilson's score interval.
    pub fn interval(&self) -> Interval {
        if self.of == 0 {
            return Interval { low: 0.0, high: 1.0 };
        }
        let (n, p, z) = (self.of as f64, self.value(), 1.959_963_984_540_054_f64);
        let middle = (p + z * z / (2.0 * n)) / (1.0 + z * z / n);
        let half = z / (1.0 + z * z / n) * (p * (1.0 - p) / n + z * z / (4.0 * n * n)).sqrt();
        Interval { low: (middle - half).max(0.0), high: (middle + half).min(1.0) }
    }
}

/// One kind of question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// What is asked about.
    pub kind: String,
    /// Right answers.
    pub real: Share,
    /// Right answers about objects whose combination of attributes training never shows.
    pub held_out: Share,
    /// Right answers to the same questions about all other objects.
    pub seen: Share,
    /// Right answers without the video.
    pub blind: Share,
    /// With another object's mask: answers that are right for that other object.
    pub follows_mask: Share,
    /// Always giving the most frequent true answer.
    pub constant: Share,
    /// One over the number of different true answers.
    pub chance: f64,
}

/// All kinds of questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct QuizTable {
    /// By name of kind.
    pub rows: Vec<Row>,
}

impl QuizTable {
    /// Puts three runs over the same questions together.
    pub fn new(real: &[Answer], blind: &[Answer], other_mask: &[Answer]) -> Self {
        let kinds: BTreeSet<&str> = real.iter().map(|answer| answer.kind.as_str()).collect();
        let rows = kinds
            .into_iter()
            .map(|kind| {
                let of = |answers: &'_ [Answer]| -> Vec<Answer> {
                    answers.iter().filter(|answer| answer.kind == kind).cloned().collect()
                };
                let own = of(real);
                let mut truths: BTreeMap<String, usize> = BTreeMap::new();
                for answer in &own {
                    *truths.entry(normalise(&answer.truth)).or_default() += 1;
                }
                let most = truths.values().copied().max().unwrap_or(0);
                Row {
                    kind: kind.to_owned(),
                    real: Share::count(own.iter(), Answer::correct),
                    held_out: Share::count(own.iter().filter(|answer| answer.held_out), Answer::correct),
                    seen: Share::count(own.iter().filter(|answer| !answer.held_out), Answer::correct),
                    blind: Share::count(of(blind).iter(), Answer::correct),
                    follows_mask: Share::count(of(other_mask).iter(), Answer::follows_mask),
                    constant: Share { right: most, of: own.len() },
                    chance: 1.0 / truths.len().max(1) as f64,
                }
            })
            .collect();
        Self { rows }
    }

    /// A Markdown table, percentages with 95 % intervals.
    pub fn to_markdown(&self) -> String {
        let mut text = String::from(
            "| kind | questions | accuracy | 95 % interval | held out | seen | no video | other mask: that object's \
             truth | best constant | chance |\n|---|---|---|---|---|---|---|---|---|---|\n",
        );
        let percent = |share: &Share| match share.of {
            0 => "-".to_owned(),
            _ => format!("{:.1}", 100.0 * share.value()),
        };
        for row in &self.rows {
            let Interval { low, high } = row.real.interval();
            // Writing to a String cannot fail.
            let _ = writeln!(
                text,
                "| {} | {} | {} | {:.1}-{:.1} | {} ({}) | {} | {} | {} | {} | {:.1} |",
                row.kind,
                row.real.of,
                percent(&row.real),
                100.0 * low,
                100.0 * high,
                percent(&row.held_out),
                row.held_out.of,
                percent(&row.seen),
                percent(&row.blind),
                percent(&row.follows_mask),
                percent(&row.constant),
                100.0 * row.chance,
            );
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(kind: &str, truth: &str, said: &str, held_out: bool) -> Answer {
        Answer {
            id: String::new(),
            kind: kind.to_owned(),
            held_out,
            truth: truth.to_owned(),
            other_truth: None,
            said: said.to_owned(),
        }
    }

    #[test]
    fn wilsons_interval_by_hand() {
        let Interval { low, high } = Share { right: 8, of: 10 }.interval();
        assert!((low - 0.4902).abs() < 1e-3 && (high - 0.9433).abs() < 1e-3, "{low} {high}");
        assert_eq!(Share { right: 0, of: 5 }.interval().low, 0.0);
    }

    #[test]
    fn a_table_counts_what_it_says() {
        let real = [
            answer("colour", "red", "Red.", false),
            answer("colour", "red", "blue", true),
            answer("colour", "blue", "blue", false),
            answer("shape", "ball", "ball", false),
        ];
        let blind = [answer("colour", "red", "red", false), answer("colour", "blue", "red", false)];
        let mut other = answer("colour", "red", "green", false);
        other.other_truth = Some("green".to_owned());
        let table = QuizTable::new(&real, &blind, &[other]);
        let colour = &table.rows[0];
        assert_eq!((colour.real, colour.held_out), (Share { right: 2, of: 3 }, Share { right: 0, of: 1 }));
        assert_eq!((colour.blind, colour.constant), (Share { right: 1, of: 2 }, Share { right: 2, of: 3 }));
        assert_eq!((colour.follows_mask, colour.chance), (Share { right: 1, of: 1 }, 0.5));
        assert!(table.to_markdown().contains("| colour | 3 | 66.7 |"));
    }
}
