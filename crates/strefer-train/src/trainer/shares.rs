//! The loss by source and by group of tasks.

use std::collections::BTreeMap;

use crate::error::Result;
use crate::log::Share;
use crate::ranks::Ranks;

/// Summed loss, its positions and samples, by name.
type Sums = BTreeMap<String, (f64, usize, usize)>;

/// Sums over some of a step's samples.
#[derive(Debug, Default)]
pub(super) struct Shares {
    sources: Sums,
    groups: Sums,
}

impl Shares {
    /// A sample's loss, summed over so many positions.
    pub(super) fn add(&mut self, source: &str, group: Option<&str>, (loss, supervised): (f64, usize)) {
        add(&mut self.sources, source, (loss, supervised, 1));
        if let Some(group) = group {
            add(&mut self.groups, group, (loss, supervised, 1));
        }
    }

    /// Adds those of other samples.
    pub(super) fn join(&mut self, other: Self) {
        for (sums, others) in [(&mut self.sources, other.sources), (&mut self.groups, other.groups)] {
            others.into_iter().for_each(|(name, sum)| add(sums, &name, sum));
        }
    }

    /// The shares of all ranks, by source and by group.
    pub(super) fn of_all(self, ranks: &Ranks, what: &str) -> Result<[BTreeMap<String, Share>; 2]> {
        let own = [self.sources, self.groups].map(|sums| sums.into_iter().collect::<Vec<_>>());
        let mut all = [Sums::new(), Sums::new()];
        for part in ranks.gather(what, vec![own])? {
            for (sums, part) in all.iter_mut().zip(part) {
                part.into_iter().for_each(|(name, sum)| add(sums, &name, sum));
            }
        }
        let mean = |(loss, supervised, samples): (f64, usize, usize)| Share {
            loss: loss / (supervised as f64).max(1.0),
            supervised,
            samples,
        };
        Ok(all.map(|sums| sums.into_iter().map(|(name, sum)| (name, mean(sum))).collect()))
    }
}

fn add(sums: &mut Sums, name: &str, (loss, supervised, samples): (f64, usize, usize)) {
    let sum = sums.entry(name.to_owned()).or_default();
    *sum = (sum.0 + loss, sum.1 + supervised, sum.2 + samples);
}
