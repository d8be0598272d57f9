//! Decoded frames at model size, kept up to a number of bytes. Processors may share them, also of different models.

use std::collections::{HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use crate::config::Fit;
use crate::tiles::Tiling;

/// What is known about a video after it has been opened once.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct VideoFacts {
    /// Frames that decode.
    pub n_frames: usize,
    /// Frames a second.
    pub fps: f64,
    /// Height in pixels.
    pub height: u32,
    /// Width in pixels.
    pub width: u32,
}

/// One frame of a video as a model sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct View {
    /// Which frame of the file.
    pub index: usize,
    /// How it was made square.
    pub fit: Fit,
    /// Side of the square, in pixels.
    pub size: usize,
    /// The number that is drawn on it.
    pub number: Option<usize>,
    /// How it is cut into several squares, where it is.
    pub tiling: Option<Tiling>,
}

/// Pixels of one view at model size, square by square, rows first, RGB.
pub type Pixels = Arc<[u8]>;

#[derive(Debug)]
struct Entry {
    facts: VideoFacts,
    frames: HashMap<View, Pixels>,
}

#[derive(Debug, Default)]
struct State {
    videos: HashMap<PathBuf, Entry>,
    /// Paths in the order in which they came; the oldest goes first.
    order: VecDeque<PathBuf>,
    bytes: usize,
}

/// Frames by video and view; whole videos leave in the order in which they came.
#[derive(Debug)]
pub struct FrameCache {
    capacity: usize,
    state: Mutex<State>,
}

impl FrameCache {
    /// A cache of at most `capacity` bytes of pixels; 0 keeps nothing.
    pub fn new(capacity: usize) -> Self {
        Self { capacity, state: Mutex::default() }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What is known about a video.
    pub(super) fn facts(&self, path: &Path) -> Option<VideoFacts> {
        self.state().videos.get(path).map(|entry| entry.facts)
    }

    /// A frame, if it is there.
    pub(super) fn frame(&self, path: &Path, view: View) -> Option<Pixels> {
        self.state().videos.get(path)?.frames.get(&view).cloned()
    }

    /// Keeps frames of a video.
    pub(super) fn insert(&self, path: &Path, facts: VideoFacts, frames: &[(View, Pixels)]) {
        let added: usize = frames.iter().map(|(_, pixels)| pixels.len()).sum();
        if added > self.capacity {
            return;
        }
        let mut state = self.state();
        if !state.videos.contains_key(path) {
            state.order.push_back(path.to_owned());
            state.videos.insert(path.to_owned(), Entry { facts, frames: HashMap::new() });
        }
        let mut grown = 0;
        if let Some(entry) = state.videos.get_mut(path) {
            for (view, pixels) in frames {
                if entry.frames.insert(*view, Arc::clone(pixels)).is_none() {
                    grown += pixels.len();
                }
            }
        }
        state.bytes += grown;
        while state.bytes > self.capacity {
            let Some(oldest) = state.order.pop_front() else { break };
            if let Some(entry) = state.videos.remove(&oldest) {
                state.bytes -= entry.frames.values().map(|pixels| pixels.len()).sum::<usize>();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_video_leaves_when_the_cache_is_full() {
        let facts = VideoFacts { n_frames: 9, fps: 8.0, height: 4, width: 4 };
        let cache = FrameCache::new(250);
        let view = View { index: 3, fit: Fit::Stretch, size: 4, number: None, tiling: None };
        let pixels: Pixels = vec![7u8; 100].into();
        for name in ["a", "b", "c"] {
            cache.insert(Path::new(name), facts, &[(view, Arc::clone(&pixels))]);
        }
        assert!(cache.frame(Path::new("a"), view).is_none());
        assert!(cache.facts(Path::new("a")).is_none());
        assert_eq!(cache.frame(Path::new("c"), view).unwrap()[0], 7);
        let tiling = Some(Tiling { rows: 1, columns: 1, kept: (1, 1), shrunk: (1, 1) });
        for other in [
            View { fit: Fit::Pad, ..view },
            View { size: 5, ..view },
            View { number: Some(0), ..view },
            View { tiling, ..view },
        ] {
            assert!(cache.frame(Path::new("c"), other).is_none());
        }
        assert_eq!(cache.state().bytes, 200);
    }
}
