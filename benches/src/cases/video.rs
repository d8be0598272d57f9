//! Uniform frames of a file, at the size a model wants them.

use std::path::Path;

use anyhow::{Context, Result};
use serde::Deserialize;
use strefer_video::transform::to_pixels;
use strefer_video::{Limits, VideoSource, sample};

use super::Prepared;

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Video {
    pub(super) file: String,
    frames: usize,
    size: u32,
}

impl Video {
    pub(super) fn prepare(&self, data: &Path) -> Result<Prepared> {
        let path = data.join(&self.file);
        let (count, size) = (self.frames, self.size);
        let work = move || {
            let video = VideoSource::open(&path, &Limits::default())
                .with_context(|| format!("{} (scripts/bench makes it)", path.display()))?;
            let indices = sample::linspace_trunc(video.info().n_frames(), count);
            let frames = video.frames_at_indices(&indices)?;
            let pixels: Vec<Vec<f32>> = frames.iter().map(|frame| to_pixels(&frame.image, size)).collect();
            anyhow::ensure!(pixels.len() == count, "{} frames instead of {count}", pixels.len());
            Ok(())
        };
        Ok(Prepared { work: Box::new(work), parameters: 0 })
    }
}
