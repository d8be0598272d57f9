//! The part of a video that a sample shows, and its frames as pixels.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use image::RgbImage;
use strefer_core::sample::{Media, MediaKind};
use strefer_core::{FrameKey, IndexSpace, UniformRule};
use strefer_video::{Limits, VideoSource, sample};

use super::ProcessorOptions;
use super::augment::Look;
use super::frame_cache::{FrameCache, Pixels, VideoFacts, View};
use super::paint::Paint;
use super::pixels::{normalised, squares};
use crate::config::{Fit, FramesConfig, VideoLlmConfig};
use crate::error::{Error, Result};
use crate::tiles::Tiling;

/// The shown part of one video.
#[derive(Debug)]
pub struct Clip {
    path: PathBuf,
    facts: VideoFacts,
    first: usize,
    last: usize,
    shown: Vec<usize>,
    tiling: Option<Tiling>,
    frames_cfg: FramesConfig,
    size: usize,
    limits: Limits,
    cache: Arc<FrameCache>,
}

/// Normalised pixels of the shown frames and of further frames that carry masks.
#[derive(Debug)]
pub struct FrameStack {
    /// `(rows, 3, h, w)`, flat.
    pub pixels: Vec<f32>,
    /// The source frame of every row.
    pub sources: Vec<usize>,
    /// The row of every shown frame, and behind them those of an image's tiles.
    pub shown: Vec<u32>,
    /// The row of every source frame that carries masks.
    pub rows: BTreeMap<usize, u32>,
}

impl Clip {
    /// Finds out what the video is and which frames are shown. Nothing is decoded yet.
    pub fn open(cfg: &VideoLlmConfig, options: &ProcessorOptions, media: &Media) -> Result<Self> {
        let mut clip = Self::laid(cfg.frames, cfg.image_size(), options, media)?;
        clip.tiling = tiling(cfg, media, &clip.path, clip.facts)?;
        if clip.tiling.is_some() {
            clip.shown = vec![clip.first];
        }
        Ok(clip)
    }

    /// The same for any model that sees whole frames, `frames` of them, as squares of `size` pixels.
    pub fn laid(
        frames: FramesConfig,
        size: usize,
        options: &ProcessorOptions,
        media: &Media,
    ) -> Result<Self> {
        let path = options.media_root.join(&media.uri);
        let facts = match options.cache.facts(&path) {
            Some(facts) => facts,
            None => facts_of(&VideoSource::open(&path, &options.limits)?),
        };
        let last = facts.n_frames.saturating_sub(1);
        let (first, last) = match media.segment {
            None => (0, last),
            Some(segment) => {
                let end_s = segment.end_s.unwrap_or(facts.n_frames as f64 / facts.fps);
                sample::segment(segment.start_s, end_s, facts.fps, facts.n_frames)
            }
        };
        let shown = match frames.rule {
            _ if first == last && frames.stills_once => vec![first],
            UniformRule::LinspaceTrunc => sample::linspace_between(first, last, frames.count),
            UniformRule::Midpoints => sample::midpoints(last - first + 1, frames.count)
                .into_iter()
                .map(|index| first + index)
                .collect(),
        };
        Ok(Self {
            path,
            facts,
            first,
            last,
            shown,
            tiling: None,
            frames_cfg: frames,
            size,
            limits: options.limits.clone(),
            cache: Arc::clone(&options.cache),
        })
    }

    /// The shown frames at their own size, each once by its number, as `paint` changes them.
    pub fn pictures(&self, paint: &Paint) -> Result<BTreeMap<usize, RgbImage>> {
        let mut wanted = self.shown.clone();
        wanted.sort_unstable();
        wanted.dedup();
        let frames = VideoSource::open(&self.path, &self.limits)?.frames_at_indices(&wanted)?;
        let place = |index: usize| self.shown.iter().position(|&shown| shown == index);
        let painted = frames.into_iter().map(|frame| {
            let number = place(frame.index).filter(|_| paint.drawing.numbers_frames());
            (frame.index, paint.apply(&frame.image, frame.index, number).into_owned())
        });
        Ok(painted.collect())
    }

    /// Where the video lies.
    pub fn path(&self) -> &PathBuf {
        &self.path
    }

    /// What is known about the video.
    pub fn facts(&self) -> VideoFacts {
        self.facts
    }

    /// How it is cut, where it is an image that is shown in tiles.
    pub fn tiling(&self) -> Option<Tiling> {
        self.tiling
    }

    /// From the first to the last frame of the segment, in seconds: what temporal tokens divide.
    pub fn duration_s(&self) -> f64 {
        (self.last - self.first) as f64 / self.facts.fps
    }

    /// How long the segment is shown, its last frame included, in seconds: the last moment that can be asked about.
    pub fn end_s(&self) -> f64 {
        (self.last - self.first + 1) as f64 / self.facts.fps
    }

    /// The source frames that are shown.
    pub fn shown(&self) -> &[usize] {
        &self.shown
    }

    /// Whether a source frame lies in the segment.
    pub fn contains(&self, index: usize) -> bool {
        (self.first..=self.last).contains(&index)
    }

    /// When a source frame is seen, as a share of the segment: 0 at its first frame, 1 at its last.
    pub fn share_of(&self, index: usize) -> f32 {
        let behind = index.saturating_sub(self.first) as f32;
        (behind / (self.last - self.first).max(1) as f32).min(1.0)
    }

    /// When the shown frames are seen, in seconds of the segment.
    pub fn shown_s(&self) -> Vec<f64> {
        self.shown.iter().map(|&index| (index - self.first) as f64 / self.facts.fps).collect()
    }

    /// The position among the shown frames that is nearest to a moment of the segment; of two the earlier.
    pub fn nearest_shown(&self, at_s: f64) -> usize {
        let times_s = self.shown_s();
        let apart = |position: &usize| (times_s[*position] - at_s).abs();
        (0..times_s.len()).min_by(|a, b| apart(a).total_cmp(&apart(b))).unwrap_or(0)
    }

    /// Shows a frame in the place of the nearest one that `may_go`; tells whether there was such a one.
    pub fn show(&mut self, index: usize, may_go: impl Fn(usize) -> bool) -> bool {
        let candidates = self.shown.iter_mut().filter(|shown| may_go(**shown));
        let Some(shown) = candidates.min_by_key(|shown| shown.abs_diff(index)) else { return false };
        *shown = index;
        self.shown.sort_unstable();
        true
    }

    /// The source frame of a mask's key; positions of a uniform sample count inside the segment.
    pub fn source_frame(&self, space: IndexSpace, key: FrameKey) -> Option<usize> {
        match space {
            IndexSpace::Source => space.source_frame(key, self.facts.n_frames),
            IndexSpace::Uniform { .. } => {
                space.source_frame(key, self.last - self.first + 1).map(|index| self.first + index)
            }
        }
    }

    /// Decodes what is shown and every frame of `chosen`. A mask frame that looks like a shown one shares its row.
    pub fn load(&self, chosen: &[Vec<(FrameKey, usize)>], paint: &Paint, look: Look) -> Result<FrameStack> {
        let view = |index: usize, fit: Fit, place: Option<usize>| View {
            index,
            fit,
            size: self.size,
            number: place.filter(|_| paint.drawing.numbers_frames()),
            tiling: None,
        };
        let (fit, region_fit) = (self.frames_cfg.fit, self.frames_cfg.region_fit);
        let mut wanted: Vec<View> = Vec::new();
        let mut row_of = |view: View| {
            let known = wanted.iter().position(|&other| other == view);
            known.unwrap_or_else(|| {
                wanted.push(view);
                wanted.len() - 1
            }) as u32
        };
        let places = self.shown.iter().enumerate();
        let mut shown: Vec<u32> =
            places.map(|(place, &index)| row_of(view(index, fit, Some(place)))).collect();
        let mut rows = BTreeMap::new();
        for &(_, index) in chosen.iter().flatten() {
            let place = self.shown.iter().position(|&shown| shown == index);
            rows.entry(index).or_insert_with(|| row_of(view(index, region_fit, place)));
        }
        let mut sources: Vec<usize> = wanted.iter().map(|view| view.index).collect();
        if let Some(tiling) = self.tiling {
            let whole = view(self.shown[0], fit, Some(0));
            wanted.push(View { tiling: Some(tiling), ..whole });
            let first = sources.len();
            sources.resize(first + tiling.rows * tiling.columns, whole.index);
            shown.extend(first as u32..sources.len() as u32);
        }
        let frames = self.frames(&wanted, paint)?;
        let pixels = normalised(&frames, self.size, look);
        Ok(FrameStack { pixels, sources, shown, rows })
    }

    /// Frames at model size, from the cache or decoded. Those with marks or surfaces of objects belong to one sample alone and
    /// are not kept.
    fn frames(&self, wanted: &[View], paint: &Paint) -> Result<Vec<Pixels>> {
        let mut found: BTreeMap<View, Pixels> = BTreeMap::new();
        let mut missing: Vec<usize> = Vec::new();
        for &view in wanted {
            let kept = if paint.is_own(view.index) { None } else { self.cache.frame(&self.path, view) };
            match kept {
                Some(pixels) => drop(found.insert(view, pixels)),
                None => missing.push(view.index),
            }
        }
        missing.sort_unstable();
        missing.dedup();
        if !missing.is_empty() {
            let decoded = VideoSource::open(&self.path, &self.limits)?.frames_at_indices(&missing)?;
            let mut fresh = Vec::new();
            for frame in &decoded {
                for &view in wanted.iter().filter(|view| view.index == frame.index) {
                    let painted = paint.apply(&frame.image, view.index, view.number);
                    let pixels = squares(&painted, &view);
                    if !paint.is_own(view.index) {
                        fresh.push((view, Arc::clone(&pixels)));
                    }
                    found.insert(view, pixels);
                }
            }
            if !fresh.is_empty() {
                self.cache.insert(&self.path, self.facts, &fresh);
            }
        }
        Ok(wanted.iter().map(|view| Arc::clone(&found[view])).collect())
    }
}

fn facts_of(source: &VideoSource) -> VideoFacts {
    let info = source.info();
    VideoFacts { n_frames: info.n_frames(), fps: info.fps, height: info.height, width: info.width }
}

/// How an image is cut, for a model that sees images in tiles.
fn tiling(cfg: &VideoLlmConfig, media: &Media, path: &Path, facts: VideoFacts) -> Result<Option<Tiling>> {
    let (Some(tiles), MediaKind::Image) = (&cfg.tiles, media.kind) else { return Ok(None) };
    let bad = |reason: String| Error::Image { path: path.to_owned(), reason };
    if facts.n_frames != 1 {
        return Err(bad(format!("{} frames lie there, not one image", facts.n_frames)));
    }
    let (height, width) = (facts.height as usize, facts.width as usize);
    let tiling = tiles.tiling(height, width, cfg.image_size(), cfg.grid_side());
    tiling.map(Some).ok_or_else(|| {
        bad(format!(
            "nothing is left of {height}x{width} pixels (height x width) when they are cut into tiles"
        ))
    })
}
