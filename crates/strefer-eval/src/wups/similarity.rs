//! Wu and Palmer's similarity, as NLTK counts it: by how deep two meanings lie below what they share.

use std::collections::{HashMap, VecDeque};

use super::wordnet::{NOUN, Synset, WordNet};

impl WordNet {
    /// How alike the first meanings of two words are, 0 to 1; 1 for the same word, 0 for one that is not known.
    pub fn alike(&self, a: &str, b: &str) -> f64 {
        if a == b {
            return 1.0;
        }
        self.first(a).zip(self.first(b)).map_or(0.0, |(a, b)| self.similarity(a, b))
    }

    /// `2 d / (2 d + s_a + s_b)`: `d` the depth of the deepest meaning that is wider than both, `s_a` and `s_b` the steps from each
    /// to it. All but nouns share one root above everything; 0 where nothing is shared.
    pub fn similarity(&self, a: Synset, b: Synset) -> f64 {
        let (up_a, up_b) = (self.distances(a), self.distances(b));
        // No meaning stands for the root.
        let root = (a.part != NOUN || b.part != NOUN).then_some(None);
        let shared = up_a.keys().filter(|meaning| up_b.contains_key(meaning)).copied().map(Some).chain(root);
        let lowest =
            |meaning: Option<Synset>| meaning.map_or(0, |it| self.depth(it, usize::min, &mut Vec::new()));
        let shared: Vec<(usize, Option<Synset>)> = shared.map(|meaning| (lowest(meaning), meaning)).collect();
        let Some(deepest) = shared.iter().map(|(depth, _)| *depth).max() else { return 0.0 };
        let candidates = shared.iter().filter(|(depth, _)| *depth == deepest).map(|(_, meaning)| *meaning);
        // Of several the first meaning itself, else the first by name; the root stands before all names.
        let rank = |meaning: &Option<Synset>| (*meaning != Some(a), meaning.map(|it| self.name(it)));
        let Some(meaning) = candidates.min_by_key(rank) else { return 0.0 };
        let depth = 1 + meaning.map_or(0, |it| self.depth(it, usize::max, &mut Vec::new()));
        let up = meaning.map(|it| self.distances(it));
        let to_root = |up: &HashMap<Synset, usize>| 1 + up.values().max().copied().unwrap_or(0);
        // The fewest steps, also through something that lies above what is shared.
        let steps = |from: &HashMap<Synset, usize>| match &up {
            None => to_root(from),
            Some(up) => {
                let over = |(meaning, steps): (&Synset, &usize)| Some(steps + from.get(meaning)?);
                up.iter().filter_map(over).min().unwrap_or(0)
            }
        };
        let depth = depth as f64;
        2.0 * depth / (2.0 * depth + (steps(&up_a) + steps(&up_b)) as f64)
    }

    /// Everything wider than a meaning, itself too, and the fewest steps to it.
    fn distances(&self, from: Synset) -> HashMap<Synset, usize> {
        let (mut known, mut open) = (HashMap::new(), VecDeque::from([(from, 0)]));
        while let Some((meaning, steps)) = open.pop_front() {
            if known.contains_key(&meaning) {
                continue;
            }
            known.insert(meaning, steps);
            open.extend(self.wider(meaning).iter().map(|wider| (*wider, steps + 1)));
        }
        known
    }

    /// Steps up to a meaning that has no wider one, on the way that `choose` prefers. WordNet 3.0 has a circle among its
    /// verbs: `way` is what lies below, which is not gone through again.
    fn depth(&self, meaning: Synset, choose: fn(usize, usize) -> usize, way: &mut Vec<Synset>) -> usize {
        way.push(meaning);
        let mut best = None;
        for &wider in self.wider(meaning) {
            if !way.contains(&wider) {
                let depth = 1 + self.depth(wider, choose, way);
                best = Some(best.map_or(depth, |best| choose(best, depth)));
            }
        }
        way.pop();
        best.unwrap_or(0)
    }
}
