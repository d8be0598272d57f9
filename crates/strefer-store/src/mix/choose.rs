//! Caps: which of the samples that may be taken are taken.

use super::config::{MixConfig, MixSource};
use super::survey::{Fate, Seen, Survey};

impl Survey {
    /// Marks what is over the caps of a source: of groups and of kinds of references first, then of all its samples for training, then of those held out.
    pub(super) fn cap(&mut self, cfg: &MixConfig, source: &MixSource) {
        for (group, name) in self.groups.iter().enumerate() {
            if let Some(&cap) = source.groups.get(name) {
                keep_lowest(&mut self.seen, cap, |seen| {
                    seen.fate == Fate::Train && usize::from(seen.group) == group
                });
            }
        }
        for (&refers, &cap) in &source.refers {
            keep_lowest(&mut self.seen, cap, |seen| seen.fate == Fate::Train && seen.refers == refers);
        }
        if let Some(cap) = source.cap {
            keep_lowest(&mut self.seen, cap, |seen| seen.fate == Fate::Train);
        }
        if let Some(cap) = cfg.val.and_then(|val| val.cap) {
            keep_lowest(&mut self.seen, cap, |seen| seen.fate == Fate::Val);
        }
    }

    /// The highest rank among the `n` lowest of what is taken for training; nothing where nothing is.
    pub(super) fn rank_of_lowest(&self, n: usize) -> Option<u64> {
        let taken = self.seen.iter().filter(|seen| seen.fate == Fate::Train);
        let mut ranks: Vec<u64> = taken.map(|seen| seen.rank).collect();
        let last = n.min(ranks.len()).checked_sub(1)?;
        Some(*ranks.select_nth_unstable(last).1)
    }
}

/// Keeps the `cap` lowest ranks among those that `counts` has; of equal ranks the first.
fn keep_lowest(seen: &mut [Seen], cap: usize, counts: impl Fn(&Seen) -> bool) {
    let mut candidates: Vec<(u64, usize)> =
        seen.iter().enumerate().filter(|(_, seen)| counts(seen)).map(|(at, seen)| (seen.rank, at)).collect();
    if candidates.len() <= cap {
        return;
    }
    candidates.select_nth_unstable(cap);
    for (_, at) in candidates.drain(cap..) {
        seen[at].fate = Fate::OverCap;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mix::Refers;

    fn seen(rank: u64, group: u16) -> Seen {
        Seen { rank, group, fate: Fate::Train, refers: Refers::Neither }
    }

    #[test]
    fn the_lowest_ranks_stay_and_ties_go_by_place() {
        let mut all = [seen(5, 0), seen(1, 0), seen(3, 0), seen(3, 0), seen(9, 0)];
        keep_lowest(&mut all, 2, |_| true);
        let kept: Vec<usize> = (0..5).filter(|at| all[*at].fate == Fate::Train).collect();
        assert_eq!(kept, [1, 2]);
        keep_lowest(&mut all, 7, |_| true);
        assert_eq!(all.iter().filter(|seen| seen.fate == Fate::Train).count(), 2);
    }

    #[test]
    fn caps_of_groups_come_before_the_cap_of_all() {
        let cfg: MixConfig = toml::from_str(
            "version = 1\n[[sources]]\nname = \"a\"\npath = \"a\"\ncap = 3\ngroups = { G1 = 1 }\n",
        )
        .unwrap();
        let mut survey = Survey {
            seen: vec![seen(1, 0), seen(2, 0), seen(3, 1), seen(4, 1), seen(5, 1)],
            groups: vec!["G1".to_owned(), "G2".to_owned()],
            unwanted_videos: 0,
        };
        survey.cap(&cfg, &cfg.sources[0]);
        let kept: Vec<u64> =
            survey.seen.iter().filter(|seen| seen.fate == Fate::Train).map(|seen| seen.rank).collect();
        assert_eq!(kept, [1, 3, 4]);
        assert_eq!((survey.rank_of_lowest(2), survey.rank_of_lowest(9)), (Some(3), Some(4)));
    }
}
