//! As many of every answer as there are, up to a common cap.

use std::collections::BTreeMap;

use strefer_core::Rng;

/// The smallest number a bin that gives `wanted` over all bins; the largest bin where there are not enough.
fn cap(counts: &[usize], wanted: usize) -> usize {
    let total = |cap: usize| counts.iter().map(|&count| count.min(cap)).sum::<usize>();
    let largest = counts.iter().copied().max().unwrap_or(0);
    (0..largest).find(|&cap| total(cap) >= wanted).unwrap_or(largest)
}

/// Draws `wanted` items, evenly over their bins; all of them where there are no more. Their order stays.
pub fn balanced<T>(items: Vec<T>, bin: impl Fn(&T) -> usize, wanted: usize, rng: &mut Rng) -> Vec<T> {
    let mut bins: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
    for (at, item) in items.iter().enumerate() {
        bins.entry(bin(item)).or_default().push(at);
    }
    let counts: Vec<usize> = bins.values().map(Vec::len).collect();
    let cap = cap(&counts, wanted);
    let mut drawn = Vec::new();
    for members in bins.values_mut() {
        rng.shuffle(members);
        drawn.extend(members.iter().take(cap).copied());
    }
    rng.shuffle(&mut drawn);
    drawn.truncate(wanted);
    drawn.sort_unstable();
    let mut keep = vec![false; items.len()];
    drawn.into_iter().for_each(|at| keep[at] = true);
    items.into_iter().zip(keep).filter_map(|(item, keep)| keep.then_some(item)).collect()
}

/// How many of `wanted` each source gives by its share, where source `i` has `counts[i]`: what one cannot give the others do.
pub fn quotas(shares: &[f64], counts: &[usize], wanted: usize) -> Vec<usize> {
    let mut given = vec![0; shares.len()];
    let mut left = wanted.min(counts.iter().sum());
    while left > 0 {
        let open: Vec<usize> = (0..shares.len()).filter(|&at| given[at] < counts[at]).collect();
        let whole: f64 = open.iter().map(|&at| shares[at]).sum();
        // Sources without a share give what all others cannot.
        let share = |at: usize| if whole > 0.0 { shares[at] / whole } else { 1.0 / open.len() as f64 };
        let mut parts: Vec<(usize, usize, f64)> = open
            .iter()
            .map(|&at| {
                let exact = share(at) * left as f64;
                (at, exact.floor() as usize, exact.fract())
            })
            .collect();
        let rest = left - parts.iter().map(|part| part.1).sum::<usize>().min(left);
        // What is left over goes to the largest fractions, of equal ones to the first.
        parts.sort_by(|a, b| b.2.total_cmp(&a.2).then(a.0.cmp(&b.0)));
        for (place, (at, part, _)) in parts.into_iter().enumerate() {
            let part = part + usize::from(place < rest);
            let part = part.min(counts[at] - given[at]).min(left);
            given[at] += part;
            left -= part;
        }
    }
    given
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draw(counts: &[usize], wanted: usize) -> Vec<usize> {
        let items: Vec<usize> =
            counts.iter().enumerate().flat_map(|(bin, &count)| vec![bin; count]).collect();
        let drawn = balanced(items, |&bin| bin, wanted, &mut Rng::new(3, "balance"));
        (0..counts.len()).map(|bin| drawn.iter().filter(|&&drawn| drawn == bin).count()).collect()
    }

    #[test]
    fn the_cap_is_the_smallest_that_suffices() {
        assert_eq!(cap(&[10, 10, 2], 12), 5);
        assert_eq!(cap(&[10, 10, 2], 13), 6);
        assert_eq!(cap(&[3, 1], 99), 3);
        assert_eq!((cap(&[], 5), cap(&[4], 0)), (0, 0));
    }

    #[test]
    fn rare_answers_are_all_taken_and_common_ones_share_the_rest() {
        assert_eq!(draw(&[50, 50, 2], 12), [5, 5, 2]);
        assert_eq!(draw(&[3, 1], 99), [3, 1]);
        assert_eq!(draw(&[3, 1], 0), [0, 0]);
        assert_eq!(draw(&[], 4), Vec::<usize>::new());
    }

    #[test]
    fn sources_give_by_their_shares_and_stand_in_for_each_other() {
        // STKit-Bench: 70.5, 11.8, 5.3 and 12.4 of a hundred, of 200 questions 141, 23.6, 10.6 and 24.8.
        let shares = [70.5, 11.8, 5.3, 12.4];
        let all = quotas(&shares, &[900; 4], 200);
        assert_eq!((all.iter().sum::<usize>(), all[0], all[3]), (200, 141, 25));
        // Nobody is asked which way the last one moves.
        let directions = quotas(&shares, &[900, 900, 900, 0], 200);
        assert_eq!((directions.iter().sum::<usize>(), directions[0], directions[3]), (200, 161, 0));
        assert_eq!(quotas(&shares, &[10, 2, 900, 3], 200), [10, 2, 185, 3]);
        assert_eq!(quotas(&shares, &[1, 1, 1, 1], 200), [1, 1, 1, 1]);
        assert_eq!(quotas(&[1.0, 0.0], &[2, 9], 4), [2, 2]);
        assert_eq!(quotas(&[], &[], 4), [0usize; 0]);
    }

    #[test]
    fn a_surplus_is_dropped_at_random() {
        let drawn = draw(&[9, 9, 9], 10);
        assert_eq!(drawn.iter().sum::<usize>(), 10);
        assert!(drawn.iter().all(|&count| (2..=4).contains(&count)), "{drawn:?}");
    }

    #[test]
    fn a_seed_fixes_the_draw_and_the_order_stays() {
        let draw = |seed| balanced((0..40).collect(), |at| at % 4, 9, &mut Rng::new(seed, "balance"));
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        assert!(draw(1).is_sorted());
    }
}
