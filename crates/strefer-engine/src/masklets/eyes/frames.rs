//! Frames of a video by position, read in stretches and kept for a while.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;

use image::RgbImage;
use strefer_core::records::MaskletsFailure;
use strefer_video::{VideoSource, jpeg};

use crate::masklets::request::Timeline;
use crate::masklets::seam::Seen;

/// Positions that are read at once: a decoder goes forward cheaply.
const STRETCH: usize = 8;

/// Stretches that are kept: the passes of both directions, and what is asked about.
const KEPT: usize = 3;

/// A stretch's number and its frames.
type Stretch = (usize, Vec<Arc<RgbImage>>);

/// The frames of a timeline. Memory holds a few of them at a time.
#[derive(Debug)]
pub struct FrameStore {
    source: VideoSource,
    indices: Vec<usize>,
    kept: RefCell<VecDeque<Stretch>>,
    /// Quality of the JPEG that frames go through before others than the detector see them.
    jpeg: Option<u8>,
}

impl FrameStore {
    /// `n` frames spread over a video, and the timeline of those that can be read. Every frame is read once to know.
    ///
    /// # Errors
    /// A video of which no frame can be read.
    pub fn open(source: VideoSource, n: usize) -> Result<(Self, Timeline), MaskletsFailure> {
        let timeline = Timeline::uniform(&source.info().times_s, n);
        Self::over(source, timeline)
    }

    /// The frames of a timeline over a video, as far as they can be read. Every frame is read once to know.
    ///
    /// # Errors
    /// As [`FrameStore::open`].
    pub fn over(source: VideoSource, timeline: Timeline) -> Result<(Self, Timeline), MaskletsFailure> {
        let mut reads = Vec::with_capacity(timeline.len());
        let mut reason = "it holds no frame".to_owned();
        for stretch in timeline.indices.chunks(STRETCH) {
            if source.frames_at_indices(stretch).is_ok() {
                reads.extend(stretch.iter().map(|_| true));
                continue;
            }
            for &index in stretch {
                let read = source.frames_at_indices(&[index]);
                reads.push(read.is_ok());
                if let Err(error) = read {
                    reason = error.to_string();
                }
            }
        }
        if !reads.contains(&true) {
            return Err(MaskletsFailure::Unreadable { reason });
        }
        let timeline = timeline.readable(&reads);
        let store = Self { source, indices: timeline.indices.clone(), kept: RefCell::default(), jpeg: None };
        Ok((store, timeline))
    }

    /// Whoever but the detector looks sees frames that were written as JPEG of this quality and read again, as in the
    /// released masklet generator.
    #[must_use]
    pub fn through_jpeg(mut self, quality: u8) -> Self {
        self.jpeg = Some(quality);
        self
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// Height and width.
    pub fn size(&self) -> (usize, usize) {
        (self.source.info().height as usize, self.source.info().width as usize)
    }

    /// The frame at a position as tracker and referee see it.
    pub fn worked(&self, position: usize) -> Seen<Arc<RgbImage>> {
        let frame = self.frame(position)?;
        match self.jpeg {
            Some(quality) => Ok(Arc::new(jpeg::round_trip(&frame, quality)?)),
            None => Ok(frame),
        }
    }

    /// The frame at a position.
    pub fn frame(&self, position: usize) -> Seen<Arc<RgbImage>> {
        let (stretch, place) = (position / STRETCH, position % STRETCH);
        if position >= self.indices.len() {
            return Err(format!("position {position} of {} frames", self.indices.len()).into());
        }
        let mut kept = self.kept.borrow_mut();
        if let Some(at) = kept.iter().position(|(known, _)| *known == stretch) {
            let found = kept.remove(at).expect("it was just found");
            let image = found.1[place].clone();
            kept.push_back(found);
            return Ok(image);
        }
        let first = stretch * STRETCH;
        let indices = &self.indices[first..self.indices.len().min(first + STRETCH)];
        let frames = self.source.frames_at_indices(indices)?;
        let frames: Vec<Arc<RgbImage>> = frames.into_iter().map(|frame| Arc::new(frame.image)).collect();
        let image = frames[place].clone();
        kept.push_back((stretch, frames));
        if kept.len() > KEPT {
            kept.pop_front();
        }
        Ok(image)
    }
}
