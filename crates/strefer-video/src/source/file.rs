//! Exact frames of a video file: seek to the key frame before, decode forward, compare presentation times.

use std::path::Path;

use image::RgbImage;
use video_rs::ffmpeg::frame::Video as Picture;

use super::decoder::Decoder;
use super::index::{self, Index, Key};
use crate::error::{Error, Result};
use crate::frame::VideoInfo;
use crate::limits::Limits;

/// A jump throws the pictures away that the decoder has at hand; fewer than these are decoded instead.
const SPARED_FRAMES: usize = 4;

pub(super) fn open(path: &Path, limits: &Limits) -> Result<(VideoInfo, Index)> {
    index::build(path, limits)
}

/// The frames with these indices, which are ascending and differ.
pub(super) fn images(
    path: &Path,
    info: &VideoInfo,
    limits: &Limits,
    index: &Index,
    wanted: &[usize],
) -> Result<Vec<RgbImage>> {
    if wanted.is_empty() {
        return Ok(Vec::new());
    }
    let mut cursor = Cursor::new(path, limits, index)?;
    wanted.iter().map(|&frame| cursor.image(frame, info)).collect()
}

/// A decoder and where it stands.
struct Cursor<'a> {
    path: &'a Path,
    limits: &'a Limits,
    index: &'a Index,
    decoder: Decoder,
    /// The last picture that came out: its time, or its number when frames are found by counting.
    at: Option<i64>,
    /// The frame that would be decoded next without a jump, roughly.
    next_frame: usize,
}

impl<'a> Cursor<'a> {
    fn new(path: &'a Path, limits: &'a Limits, index: &'a Index) -> Result<Self> {
        let decoder = Decoder::open(path, limits.clock())?;
        Ok(Self { path, limits, index, decoder, at: None, next_frame: 0 })
    }

    /// Starts again at the first frame, on the same clock's time.
    fn restart(&mut self) -> Result<()> {
        self.decoder = Decoder::open(self.path, self.decoder.clock().clone())?;
        self.at = None;
        Ok(())
    }

    /// A frame after all those asked for before.
    fn image(&mut self, frame: usize, info: &VideoInfo) -> Result<RgbImage> {
        let target = if self.index.by_order { frame as i64 } else { self.index.pts[frame] };
        if let Some(key) = self.worthwhile_jump(target) {
            if self.decoder.seek(key)? {
                self.at = None;
            } else {
                self.restart()?;
            }
        }
        self.next_frame = frame + 1;
        let picture = match self.forward_to(target)? {
            Some(picture) => Some(picture),
            // The seek may have landed where decoding cannot start; from the beginning it surely can.
            None => {
                self.restart()?;
                self.forward_to(target)?
            }
        };
        let at_s = info.times_s[frame];
        let undecodable =
            || Error::corrupt(self.path, format!("frame {frame} at {at_s:.3} s cannot be decoded"));
        let picture = picture.ok_or_else(undecodable)?;
        let damaged = picture.is_corrupt() || picture.has_decode_errors();
        if damaged && !self.limits.tolerate_damage {
            return Err(undecodable());
        }
        self.decoder.convert(&picture, self.index.orientation)
    }

    /// The key frame to jump to, when that spares more pictures than a jump costs.
    fn worthwhile_jump(&self, target: i64) -> Option<Key> {
        let key = self.index.key_before(target).filter(|_| !self.index.by_order)?;
        let key_frame = self.index.pts.partition_point(|&pts| pts < key.pts);
        (key_frame > self.next_frame + SPARED_FRAMES).then_some(key)
    }

    /// Decodes until the target; `None` when it was not among the pictures.
    fn forward_to(&mut self, target: i64) -> Result<Option<Picture>> {
        while self.at.is_none_or(|at| at < target) {
            let Some(picture) = self.decoder.next_picture()? else { return Ok(None) };
            let at = if self.index.by_order {
                self.at.map_or(0, |at| at + 1)
            } else {
                match picture.timestamp() {
                    Some(pts) => pts,
                    None => continue,
                }
            };
            self.at = Some(at);
            if at == target {
                return Ok(Some(picture));
            }
        }
        Ok(None)
    }
}

/// All frames, one after the other.
pub(super) struct Images<'a> {
    path: &'a Path,
    info: &'a VideoInfo,
    limits: &'a Limits,
    index: &'a Index,
    cursor: Option<Cursor<'a>>,
    next: usize,
}

impl<'a> Images<'a> {
    pub fn new(path: &'a Path, info: &'a VideoInfo, limits: &'a Limits, index: &'a Index) -> Self {
        Self { path, info, limits, index, cursor: None, next: 0 }
    }

    fn step(&mut self) -> Result<RgbImage> {
        let cursor = match self.cursor.take() {
            Some(cursor) => {
                cursor.decoder.clock().restart();
                cursor
            }
            None => Cursor::new(self.path, self.limits, self.index)?,
        };
        self.cursor.insert(cursor).image(self.next, self.info)
    }
}

impl Iterator for Images<'_> {
    type Item = Result<RgbImage>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.next >= self.index.pts.len() {
            return None;
        }
        let image = self.step();
        self.next += 1;
        Some(image)
    }
}
