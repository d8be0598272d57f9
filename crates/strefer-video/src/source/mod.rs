//! Video files and folders of images behind one type.

#[cfg(feature = "ffmpeg")]
mod container;
#[cfg(feature = "ffmpeg")]
mod decoder;
#[cfg(feature = "ffmpeg")]
mod file;
mod folder;
#[cfg(feature = "ffmpeg")]
mod index;
#[cfg(feature = "ffmpeg")]
mod orientation;

use std::path::{Path, PathBuf};

use image::RgbImage;

use crate::error::{Error, Result};
use crate::frame::{Frame, VideoInfo};
use crate::limits::Limits;
pub use folder::is_image;

/// An opened video. It holds what is known about the frames, no frame and no open file: clones are cheap enough, and
/// several threads may read from one source.
#[derive(Debug, Clone)]
pub struct VideoSource {
    path: PathBuf,
    limits: Limits,
    info: VideoInfo,
    kind: Kind,
}

#[derive(Debug, Clone)]
enum Kind {
    Folder(folder::Folder),
    #[cfg(feature = "ffmpeg")]
    File(index::Index),
}

impl VideoSource {
    /// Opens a video file, a folder of images (in the numeric order of their names), or one image.
    ///
    /// A file is read once from end to end without decoding, so that its frames are counted and their times known.
    pub fn open(path: impl AsRef<Path>, limits: &Limits) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        if !path.exists() {
            return Err(Error::NotFound { path });
        }
        let (info, kind) = if path.is_dir() || is_image(&path) {
            let (info, folder) = folder::open(&path, limits)?;
            (info, Kind::Folder(folder))
        } else {
            open_file(&path, limits)?
        };
        limits.check_bytes(&path, 1, info.width, info.height)?;
        Ok(Self { path, limits: limits.clone(), info, kind })
    }

    /// The path it was opened with.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Size, rate and times of the frames.
    pub fn info(&self) -> &VideoInfo {
        &self.info
    }

    /// The frames with these indices, in the order asked for; indices may repeat.
    pub fn frames_at_indices(&self, indices: &[usize]) -> Result<Vec<Frame>> {
        let n_frames = self.info.n_frames();
        if let Some(&index) = indices.iter().find(|&&index| index >= n_frames) {
            return Err(Error::NoIndex { path: self.path.clone(), index, n_frames });
        }
        self.limits.check_bytes(&self.path, indices.len(), self.info.width, self.info.height)?;

        let mut wanted = indices.to_vec();
        wanted.sort_unstable();
        wanted.dedup();
        let images: Vec<RgbImage> = match &self.kind {
            Kind::Folder(folder) => folder.images(&self.path, &self.info, &self.limits, &wanted)?,
            #[cfg(feature = "ffmpeg")]
            Kind::File(index) => file::images(&self.path, &self.info, &self.limits, index, &wanted)?,
        };
        let image = |index: usize| {
            let at = wanted.partition_point(|&other| other < index);
            images[at].clone()
        };
        Ok(indices.iter().map(|&index| self.frame(index, image(index))).collect())
    }

    /// The frames that are on the screen at these times, in the order asked for.
    pub fn frames_at_times(&self, times_s: &[f64]) -> Result<Vec<Frame>> {
        let index_at = |&at_s: &f64| {
            let end_s = self.info.duration_s;
            self.info.index_at(at_s).ok_or_else(|| Error::NoFrame { path: self.path.clone(), at_s, end_s })
        };
        self.frames_at_indices(&times_s.iter().map(index_at).collect::<Result<Vec<_>>>()?)
    }

    /// All frames one after the other; one is held at a time. After an error the iteration ends.
    pub fn iter(&self) -> Frames<'_> {
        match &self.kind {
            Kind::Folder(folder) => Frames::new((0..self.info.n_frames()).map(move |index| {
                let images = folder.images(&self.path, &self.info, &self.limits, &[index])?;
                images
                    .into_iter()
                    .next()
                    .map(|image| self.frame(index, image))
                    .ok_or_else(|| Error::NoFrames { path: self.path.clone() })
            })),
            #[cfg(feature = "ffmpeg")]
            Kind::File(index) => {
                let images = file::Images::new(&self.path, &self.info, &self.limits, index);
                Frames::new(images.enumerate().map(|(index, image)| Ok(self.frame(index, image?))))
            }
        }
    }

    fn frame(&self, index: usize, image: RgbImage) -> Frame {
        Frame { index, time_s: self.info.times_s[index], image }
    }
}

impl<'a> IntoIterator for &'a VideoSource {
    type Item = Result<Frame>;
    type IntoIter = Frames<'a>;

    fn into_iter(self) -> Frames<'a> {
        self.iter()
    }
}

#[cfg(feature = "ffmpeg")]
fn open_file(path: &Path, limits: &Limits) -> Result<(VideoInfo, Kind)> {
    let (info, index) = file::open(path, limits)?;
    Ok((info, Kind::File(index)))
}

#[cfg(not(feature = "ffmpeg"))]
fn open_file(path: &Path, _: &Limits) -> Result<(VideoInfo, Kind)> {
    Err(Error::NoFfmpeg { path: path.into() })
}

/// The frames of a video, one after the other.
pub struct Frames<'a> {
    inner: Box<dyn Iterator<Item = Result<Frame>> + 'a>,
    failed: bool,
}

impl<'a> Frames<'a> {
    fn new(inner: impl Iterator<Item = Result<Frame>> + 'a) -> Self {
        Self { inner: Box::new(inner), failed: false }
    }
}

impl Iterator for Frames<'_> {
    type Item = Result<Frame>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let frame = self.inner.next();
        self.failed = matches!(frame, Some(Err(_)));
        frame
    }
}
