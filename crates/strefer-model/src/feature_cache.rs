//! Features of frames that were seen before, found by the frames' pixels: many questions about one video cost one pass
//! through the vision tower.

use std::collections::{HashMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};

use candle_core::{DType, Result, Tensor};

/// A digest of a frame's pixels.
type Digest = blake3::Hash;

#[derive(Debug, Default)]
struct State {
    /// `(n, dv)` each.
    features: HashMap<Digest, Tensor>,
    /// In the order in which they came; the oldest leaves first.
    order: VecDeque<Digest>,
    bytes: usize,
}

/// Features by frame, without gradients.
#[derive(Debug)]
pub struct FeatureCache {
    capacity: usize,
    state: Mutex<State>,
}

impl FeatureCache {
    /// A cache of at most `capacity` bytes of features.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Features of all frames; `compute` is asked for those that are not known, each once. They equal what it gives for
    /// all of them together but for rounding.
    ///
    /// # Shapes
    /// - `frames`: `(f, 3, h, w)`, f32
    /// - returns: `(f, n, dv)`
    pub fn features(
        &self,
        frames: &Tensor,
        compute: impl FnOnce(&Tensor) -> Result<Tensor>,
    ) -> Result<Tensor> {
        let digests = digests(frames)?;
        let mut found: HashMap<Digest, Tensor> = HashMap::new();
        let mut missing: Vec<u32> = Vec::new();
        let mut asked: Vec<Digest> = Vec::new();
        {
            let state = self.state();
            for (row, digest) in (0..).zip(&digests) {
                if let Some(features) = state.features.get(digest) {
                    found.insert(*digest, features.clone());
                } else if !asked.contains(digest) {
                    asked.push(*digest);
                    missing.push(row);
                }
            }
        }
        if !missing.is_empty() {
            let missing = Tensor::from_vec(missing, asked.len(), frames.device())?;
            let fresh = compute(&frames.index_select(&missing, 0)?)?.detach();
            for (row, digest) in asked.into_iter().enumerate() {
                // A view would hold the features of all frames that were computed with it, and so would `copy`.
                let features = fresh.get(row)?.force_contiguous()?;
                self.insert(digest, &features);
                found.insert(digest, features);
            }
        }
        Tensor::stack(&digests.iter().map(|digest| &found[digest]).collect::<Vec<_>>(), 0)
    }

    fn insert(&self, digest: Digest, features: &Tensor) {
        let bytes = features.elem_count() * features.dtype().size_in_bytes();
        if bytes > self.capacity {
            return;
        }
        let mut state = self.state();
        if state.features.insert(digest, features.clone()).is_none() {
            state.order.push_back(digest);
            state.bytes += bytes;
        }
        while state.bytes > self.capacity {
            let Some(oldest) = state.order.pop_front() else { break };
            if let Some(gone) = state.features.remove(&oldest) {
                state.bytes -= gone.elem_count() * gone.dtype().size_in_bytes();
            }
        }
    }
}

fn digests(frames: &Tensor) -> Result<Vec<Digest>> {
    let rows = frames.to_dtype(DType::F32)?.flatten_from(1)?.to_vec2::<f32>()?;
    let digest = |row: &Vec<f32>| {
        let mut hasher = blake3::Hasher::new();
        for values in row.chunks(1024) {
            let bytes: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
            hasher.update(&bytes);
        }
        hasher.finalize()
    };
    Ok(rows.iter().map(digest).collect())
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    /// Frames of one pixel with the given values.
    fn frames(values: &[f32]) -> Tensor {
        let rgb: Vec<f32> = values.iter().flat_map(|&value| [value; 3]).collect();
        Tensor::from_vec(rgb, (values.len(), 3, 1, 1), &Device::Cpu).unwrap()
    }

    /// Asks for frames; tells the features and how many frames were computed.
    fn ask(cache: &FeatureCache, values: &[f32]) -> (Vec<f32>, usize) {
        let mut computed = 0;
        let features = cache.features(&frames(values), |frames| {
            computed = frames.dim(0)?;
            (frames.mean((2, 3))?.narrow(1, 0, 1)? * 10.0)?.unsqueeze(1)
        });
        (features.unwrap().flatten_all().unwrap().to_vec1().unwrap(), computed)
    }

    #[test]
    fn a_frame_is_computed_once() {
        let cache = FeatureCache::new(1 << 20);
        assert_eq!(ask(&cache, &[1.0, 2.0, 1.0]), (vec![10.0, 20.0, 10.0], 2));
        assert_eq!(ask(&cache, &[2.0, 3.0, 1.0]), (vec![20.0, 30.0, 10.0], 1));
        assert_eq!(ask(&cache, &[3.0]), (vec![30.0], 0));
    }

    #[test]
    fn the_oldest_leave_when_it_is_full() {
        let cache = FeatureCache::new(8);
        ask(&cache, &[1.0, 2.0]);
        assert_eq!(ask(&cache, &[3.0]).1, 1);
        assert_eq!(ask(&cache, &[2.0, 3.0]).1, 0);
        assert_eq!(ask(&cache, &[1.0]).1, 1);
        assert_eq!(cache.state().bytes, 8);
        // What has no room at all is computed each time.
        let none = FeatureCache::new(0);
        assert_eq!((ask(&none, &[1.0]).1, ask(&none, &[1.0]).1), (1, 1));
    }
}
