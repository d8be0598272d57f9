//! What is remembered of one object.

use std::collections::BTreeMap;

use candle_core::Tensor;

/// The way through a video.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the end.
    Forward,
    /// Towards the beginning.
    Backward,
}

impl Direction {
    /// The frame `distance` frames before `frame_idx` on this way.
    fn before(self, frame_idx: usize, distance: usize) -> Option<usize> {
        match self {
            Self::Forward => frame_idx.checked_sub(distance),
            Self::Backward => frame_idx.checked_add(distance),
        }
    }

    /// How long ago frame `other` was at `frame_idx` on this way; less than zero when it is still to come.
    fn age(self, frame_idx: usize, other: usize) -> i64 {
        let distance = frame_idx as i64 - other as i64;
        if self == Self::Forward { distance } else { -distance }
    }
}

/// What is known of an object on one frame.
#[derive(Debug, Clone)]
pub struct BankEntry {
    /// Low-resolution logits `(1, h, w)`; dropped with the memory.
    pub logits: Option<Tensor>,
    /// The frame with the object's mask, `(1, cells, m)`; dropped when no frame near this one is tracked any more.
    pub memory: Option<Tensor>,
    /// One vector for the object, `(1, d)`.
    pub pointer: Tensor,
    /// Above zero where the object is to be seen.
    pub object_score: f32,
    /// The way on which it was found.
    pub direction: Direction,
}

/// Limits of what one frame looks at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reach {
    /// Frames in memory, the conditioning one counted as one.
    pub(super) memories: usize,
    /// Frames whose pointers count.
    pub(super) pointers: usize,
    /// Conditioning frames, if they are limited.
    pub(super) conditioning: Option<usize>,
    /// Frames of the video, if that is known.
    pub(super) frames: Option<usize>,
}

/// Frames that a person said something about, and frames that followed from them.
#[derive(Debug, Clone, Default)]
pub(super) struct Bank {
    pub(super) conditioning: BTreeMap<usize, BankEntry>,
    pub(super) tracked: BTreeMap<usize, BankEntry>,
}

/// Frames by age; the conditioning ones all have none.
pub(super) enum Age {
    Conditioning,
    Frames(usize),
}

impl Bank {
    /// What is known about a frame.
    pub(super) fn entry(&self, frame_idx: usize) -> Option<&BankEntry> {
        self.conditioning.get(&frame_idx).or_else(|| self.tracked.get(&frame_idx))
    }

    /// The conditioning frames that `frame_idx` looks at: under a limit the nearest one before it, the nearest one from it
    /// on, and then the nearest others.
    fn selected(&self, frame_idx: usize, limit: Option<usize>) -> Vec<usize> {
        let all = self.conditioning.keys().copied();
        let Some(limit) = limit.filter(|limit| *limit < self.conditioning.len()) else {
            return all.collect();
        };
        let before = self.conditioning.range(..frame_idx).next_back();
        let after = self.conditioning.range(frame_idx..).next();
        let mut chosen: Vec<usize> = [before, after].into_iter().flatten().map(|(at, _)| *at).collect();
        chosen.truncate(limit);
        let mut others: Vec<usize> = all.filter(|at| !chosen.contains(at)).collect();
        others.sort_by_key(|at| at.abs_diff(frame_idx));
        others.truncate(limit - chosen.len());
        chosen.extend(others);
        chosen
    }

    /// A frame that follows from others, or a conditioning one that was not chosen.
    fn passed(&self, frame_idx: usize, chosen: &[usize]) -> Option<&BankEntry> {
        let unchosen = || self.conditioning.get(&frame_idx).filter(|_| !chosen.contains(&frame_idx));
        self.tracked.get(&frame_idx).or_else(unchosen)
    }

    /// Memories that frame `frame_idx` looks at, with their ages.
    pub(super) fn memories(
        &self,
        frame_idx: usize,
        direction: Direction,
        reach: Reach,
    ) -> Vec<(Age, &Tensor)> {
        let chosen = self.selected(frame_idx, reach.conditioning);
        let conditioning =
            chosen.iter().filter_map(|at| Some((Age::Conditioning, self.conditioning[at].memory.as_ref()?)));
        let passed = (1..reach.memories).rev().filter_map(|distance| {
            let entry = self.passed(direction.before(frame_idx, distance)?, &chosen)?;
            Some((Age::Frames(distance), entry.memory.as_ref()?))
        });
        conditioning.chain(passed).collect()
    }

    /// Object pointers that frame `frame_idx` looks at, with their ages in frames. Conditioning frames still to come are
    /// left out.
    pub(super) fn pointers(
        &self,
        frame_idx: usize,
        direction: Direction,
        reach: Reach,
    ) -> Vec<(usize, &Tensor)> {
        let chosen = self.selected(frame_idx, reach.conditioning);
        let conditioning = chosen.iter().filter_map(|at| {
            let age = usize::try_from(direction.age(frame_idx, *at)).ok()?;
            Some((age, &self.conditioning[at].pointer))
        });
        let inside = |at: &usize| reach.frames.is_none_or(|frames| *at < frames);
        let passed = (1..reach.pointers)
            .map_while(|distance| Some((distance, direction.before(frame_idx, distance).filter(inside)?)))
            .filter_map(|(distance, at)| Some((distance, &self.passed(at, &chosen)?.pointer)));
        conditioning.chain(passed).collect()
    }

    /// Drops what no pass that goes on from one of the `anchors` will look at, or starts there.
    pub(super) fn forget(&mut self, anchors: &[usize], reach: Reach) {
        let near = |at: usize, within: usize| anchors.iter().any(|anchor| anchor.abs_diff(at) < within);
        self.tracked.retain(|at, _| near(*at, reach.pointers.max(reach.memories)));
        for (at, entry) in &mut self.tracked {
            if !near(*at, reach.memories) {
                (entry.memory, entry.logits) = (None, None);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::*;

    const REACH: Reach = Reach { memories: 7, pointers: 16, conditioning: None, frames: None };

    fn entry(at: usize) -> BankEntry {
        let tensor = Tensor::full(at as f32, (1, 1), &Device::Cpu).unwrap().to_dtype(DType::F32).unwrap();
        BankEntry {
            logits: Some(tensor.clone()),
            memory: Some(tensor.clone()),
            pointer: tensor,
            object_score: 1.0,
            direction: Direction::Forward,
        }
    }

    fn number(xs: &Tensor) -> usize {
        xs.to_vec2::<f32>().unwrap()[0][0] as usize
    }

    #[test]
    fn a_bank_stays_small_and_gives_what_a_full_one_gives() {
        let (mut small, mut full) = (Bank::default(), Bank::default());
        for bank in [&mut small, &mut full] {
            bank.conditioning.insert(0, entry(0));
        }
        for at in 1..200 {
            let look = |bank: &Bank| {
                let memories = bank.memories(at, Direction::Forward, REACH);
                let pointers = bank.pointers(at, Direction::Forward, REACH);
                let memories: Vec<usize> = memories.iter().map(|(_, xs)| number(xs)).collect();
                (memories, pointers.iter().map(|(age, xs)| (*age, number(xs))).collect::<Vec<_>>())
            };
            assert_eq!(look(&small), look(&full));
            for bank in [&mut small, &mut full] {
                bank.tracked.insert(at, entry(at));
            }
            small.forget(&[0, at], REACH);
            assert!(small.tracked.len() <= 2 * REACH.pointers);
            let memories = small.tracked.values().filter(|entry| entry.memory.is_some()).count();
            assert!(memories <= 2 * REACH.memories);
        }
    }

    #[test]
    fn limited_conditioning_frames_are_the_nearest_ones() {
        let mut bank = Bank::default();
        for at in [2, 5, 9, 30] {
            bank.conditioning.insert(at, entry(at));
        }
        assert_eq!(bank.selected(8, Some(2)), [5, 9]);
        assert_eq!(bank.selected(8, Some(3)), [5, 9, 2]);
        assert_eq!(bank.selected(8, Some(1)), [5]);
        assert_eq!(bank.selected(8, None), [2, 5, 9, 30]);
        // One that was not chosen is remembered as a frame that was passed.
        let reach = Reach { conditioning: Some(2), ..REACH };
        let passed: Vec<usize> =
            bank.memories(8, Direction::Forward, reach).iter().map(|(_, xs)| number(xs)).collect();
        assert_eq!(passed, [5, 9, 2]);
    }
}
