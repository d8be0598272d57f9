//! The video writer of a build without FFmpeg: it says so.

use std::convert::Infallible;
use std::path::Path;

use image::RgbImage;

use super::Encoding;
use crate::error::{Error, Result};

/// Encodes frames into a video file. This build has no FFmpeg, so none can be made.
#[derive(Debug)]
pub struct VideoWriter(Infallible);

impl VideoWriter {
    /// Always fails: [`Error::NoFfmpeg`].
    pub fn create(path: impl AsRef<Path>, _width: u32, _height: u32, _encoding: &Encoding) -> Result<Self> {
        Err(Error::NoFfmpeg { path: path.as_ref().into() })
    }

    /// Appends a frame.
    pub fn push(&mut self, _frame: &RgbImage) -> Result<()> {
        match self.0 {}
    }

    /// Appends a frame that is shown from `time_s` on.
    pub fn push_at(&mut self, _frame: &RgbImage, _time_s: f64) -> Result<()> {
        match self.0 {}
    }

    /// Completes the file.
    pub fn finish(self) -> Result<()> {
        match self.0 {}
    }
}
