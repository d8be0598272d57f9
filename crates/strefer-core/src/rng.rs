//! Counter-based random numbers: every draw is a pure function of a key and a position.
//!
//! A stream is named by a seed and words that say what it is for (step, rank, purpose), so any draw of any run can
//! be made again without replaying the draws before it. The mixing function is SplitMix64's finaliser.

/// A stream of random numbers, fixed by the key it was made with.
#[derive(Debug, Clone)]
pub struct Rng {
    key: u64,
    counter: u64,
}

/// SplitMix64's finaliser: a bijection of 64-bit words whose output bits depend on all input bits.
fn mix(mut word: u64) -> u64 {
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

impl Rng {
    /// The stream of `seed` for `purpose`.
    pub fn new(seed: u64, purpose: &str) -> Self {
        let mut key = mix(seed.wrapping_add(GOLDEN));
        for byte in purpose.bytes() {
            key = mix(key ^ u64::from(byte).wrapping_add(GOLDEN));
        }
        Self { key, counter: 0 }
    }

    /// The stream below this one that belongs to `word` (a step, a rank, an index). Independent of what was drawn.
    pub fn at(&self, word: u64) -> Self {
        Self { key: mix(self.key ^ mix(word.wrapping_add(GOLDEN))), counter: 0 }
    }

    /// The stream below this one that belongs to `name`.
    pub fn named(&self, name: &str) -> Self {
        Self::new(self.key, name)
    }

    /// What draws are made of: the finaliser's word of `key + n · 0x9e3779b97f4a7c15` is draw `n`, counted from 1.
    pub fn key(&self) -> u64 {
        self.key
    }

    /// Bits of a draw that [`Rng::uniform`] takes: the highest.
    pub const UNIFORM_BITS: u32 = 53;

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        self.counter = self.counter.wrapping_add(1);
        mix(self.key.wrapping_add(self.counter.wrapping_mul(GOLDEN)))
    }

    /// Uniform in `[0, 1)`, 53 bits.
    pub fn uniform(&mut self) -> f64 {
        (self.next_u64() >> (u64::BITS - Self::UNIFORM_BITS)) as f64 / (1u64 << Self::UNIFORM_BITS) as f64
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.uniform()
    }

    /// Standard normal (Box-Muller, one value per two draws).
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.uniform()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.uniform()).cos()
    }

    /// Uniform in `0..n`. `n` must be positive.
    pub fn below(&mut self, n: usize) -> usize {
        assert!(n > 0, "cannot draw below zero");
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// True with probability `p`.
    pub fn chance(&mut self, p: f64) -> bool {
        self.uniform() < p
    }

    /// One element of `items`, or `None` when it is empty.
    pub fn choose<'a, T>(&mut self, items: &'a [T]) -> Option<&'a T> {
        (!items.is_empty()).then(|| &items[self.below(items.len())])
    }

    /// Fisher-Yates shuffle.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }

    /// A random order of `0..n`.
    pub fn permutation(&mut self, n: usize) -> Vec<usize> {
        let mut order: Vec<usize> = (0..n).collect();
        self.shuffle(&mut order);
        order
    }

    /// Ascending positions of `count` of `n` things, one drawn from each of as many stretches: spread over all of them, and
    /// in step with no order that they come in. All of them where `count` is no smaller.
    pub fn spread(&mut self, n: usize, count: usize) -> Vec<usize> {
        let count = count.min(n);
        let edge = |at: usize| at * n / count;
        (0..count).map(|at| edge(at) + self.below(edge(at + 1) - edge(at))).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_depends_on_its_key_only() {
        let root = Rng::new(7, "order");
        let mut spent = root.clone();
        spent.next_u64();
        assert_eq!(root.at(3).next_u64(), spent.at(3).next_u64());
        assert_ne!(root.at(3).next_u64(), root.at(4).next_u64());
        assert_ne!(Rng::new(7, "order").next_u64(), Rng::new(7, "masks").next_u64());
    }

    #[test]
    fn moments_of_uniform_and_normal_are_right() {
        let mut rng = Rng::new(1, "moments");
        let n = 100_000;
        let mean: f64 = (0..n).map(|_| rng.uniform()).sum::<f64>() / n as f64;
        assert!((mean - 0.5).abs() < 0.005, "{mean}");
        let draws: Vec<f64> = (0..n).map(|_| rng.normal()).collect();
        let mean = draws.iter().sum::<f64>() / n as f64;
        let variance = draws.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / n as f64;
        assert!(mean.abs() < 0.02 && (variance - 1.0).abs() < 0.02, "{mean} {variance}");
    }

    #[test]
    fn what_is_spread_is_in_step_with_nothing() {
        let mut rng = Rng::new(2, "spread");
        let chosen = rng.spread(1000, 250);
        assert_eq!(chosen.len(), 250);
        assert!(chosen.iter().enumerate().all(|(at, one)| (4 * at..4 * at + 4).contains(one)));
        // Of things that come in turn, yes and no, there are about as many of either.
        let odd = chosen.iter().filter(|one| *one % 2 == 1).count();
        assert!((100..=150).contains(&odd), "{odd}");
        assert_eq!(rng.spread(5, 9), [0, 1, 2, 3, 4]);
        assert!(rng.spread(0, 3).is_empty() && rng.spread(3, 0).is_empty());
    }

    #[test]
    fn a_shuffle_is_a_permutation_and_below_covers_its_range() {
        let mut rng = Rng::new(5, "shuffle");
        let mut order = rng.permutation(50);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
        let seen: std::collections::BTreeSet<usize> = (0..200).map(|_| rng.below(6)).collect();
        assert_eq!(seen.len(), 6);
    }
}
