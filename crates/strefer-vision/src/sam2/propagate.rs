//! A way through a video, frame by frame.

use candle_core::Tensor;

use super::{Direction, FrameMasks, Sam2Video, Session};
use crate::error::{Error, Result};

/// Where a pass begins, which way it goes, and how far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pass {
    /// The first frame; none for the earliest with a prompt.
    pub start: Option<usize>,
    /// The way.
    pub direction: Direction,
    /// How many frames are tracked beside the first one; none for all.
    pub most: Option<usize>,
}

impl Pass {
    /// From the earliest frame with a prompt to the end.
    pub fn forward() -> Self {
        Self { start: None, direction: Direction::Forward, most: None }
    }

    /// From frame `start` to the beginning.
    pub fn backward(start: usize) -> Self {
        Self { start: Some(start), direction: Direction::Backward, most: None }
    }

    /// The same from frame `start`.
    #[must_use]
    pub fn from(self, start: usize) -> Self {
        Self { start: Some(start), ..self }
    }
}

/// Masks of all objects, frame by frame. Each step takes one frame and keeps none of them.
#[derive(Debug)]
pub struct Propagation<'a, F> {
    model: &'a Sam2Video,
    session: &'a mut Session,
    frames: F,
    direction: Direction,
    next: Option<usize>,
    last: usize,
}

impl Sam2Video {
    /// Follows all objects of a session. `frames` gives the pixels of a frame, `(1, 3, s, s)`, or nothing when the video is
    /// over; it is asked for one frame after the other.
    ///
    /// # Errors
    /// A session without prompts, or a start behind the end.
    pub fn propagate<'a, F, E>(
        &'a self,
        session: &'a mut Session,
        pass: Pass,
        frames: F,
    ) -> Result<Propagation<'a, F>>
    where
        F: FnMut(usize) -> std::result::Result<Option<Tensor>, E>,
        E: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let first_prompt = session.first_prompt().ok_or(Error::NothingToTrack)?;
        let start = pass.start.unwrap_or(first_prompt);
        let count = session.frames.unwrap_or(usize::MAX);
        if start >= count {
            return Err(Error::input(format!("tracking from frame {start} of a video of {count}")));
        }
        let most = pass.most.unwrap_or(usize::MAX);
        let (next, last) = match pass.direction {
            Direction::Forward => (Some(start), start.saturating_add(most).min(count - 1)),
            Direction::Backward => ((start > 0).then_some(start), start.saturating_sub(most)),
        };
        Ok(Propagation { model: self, session, frames, direction: pass.direction, next, last })
    }
}

impl<F, E> Propagation<'_, F>
where
    F: FnMut(usize) -> std::result::Result<Option<Tensor>, E>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    fn step(&mut self, frame_idx: usize) -> Result<Option<FrameMasks>> {
        let features = if self.session.settled(frame_idx) {
            None
        } else {
            let frame = (self.frames)(frame_idx);
            let frame = frame.map_err(|source| Error::Frame { frame_idx, source: source.into() })?;
            let Some(pixels) = frame else { return Ok(None) };
            Some(self.model.image().encode(&pixels)?)
        };
        self.model.track(self.session, frame_idx, features.as_ref(), self.direction).map(Some)
    }
}

impl<F, E> Iterator for Propagation<'_, F>
where
    F: FnMut(usize) -> std::result::Result<Option<Tensor>, E>,
    E: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Item = Result<FrameMasks>;

    fn next(&mut self) -> Option<Self::Item> {
        let frame_idx = self.next.take()?;
        let found = self.step(frame_idx).transpose()?;
        // A failure ends the pass.
        if found.is_ok() && frame_idx != self.last {
            self.next = match self.direction {
                Direction::Forward => Some(frame_idx + 1),
                Direction::Backward => frame_idx.checked_sub(1),
            };
        }
        Some(found)
    }
}
