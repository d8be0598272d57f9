//! SAM 2 as the tracker.

use std::cell::RefCell;
use std::collections::VecDeque;

use strefer_core::Mask;
use strefer_vision::sam2::{
    Direction, ImageFeatures, Prompt, Sam2Video, Session, SessionOptions, VideoPrompt, pixels,
};

use super::FrameStore;
use crate::masklets::seam::{Area, Seen, Tracker, Tracking, Way};

/// SAM 2 over the frames of a store. Every direction is a session of its own, in which frames count from where it began.
#[derive(Debug)]
pub struct TrackEyes<'a> {
    frames: &'a FrameStore,
    model: &'a Sam2Video,
    options: SessionOptions,
    /// Most frames whose features are kept.
    most: usize,
    features: RefCell<VecDeque<(usize, ImageFeatures)>>,
}

impl<'a> TrackEyes<'a> {
    /// Looks at the frames of `frames`; features of up to `most` frames are kept, about 17 MB each at the published sizes.
    pub fn new(frames: &'a FrameStore, model: &'a Sam2Video, options: SessionOptions, most: usize) -> Self {
        Self { frames, model, options, most: most.max(1), features: RefCell::default() }
    }

    fn features(&self, position: usize) -> Seen<ImageFeatures> {
        let mut kept = self.features.borrow_mut();
        if let Some((_, features)) = kept.iter().find(|(known, _)| *known == position) {
            return Ok(features.clone());
        }
        let image = self.frames.worked(position)?;
        let (height, width) = (image.height() as usize, image.width() as usize);
        let side = self.model.image().image_size();
        let features = self.model.image().encode(&pixels(image.as_raw(), height, width, side)?)?;
        if kept.len() == self.most {
            kept.pop_front();
        }
        kept.push_back((position, features.clone()));
        Ok(features)
    }
}

impl Tracker for TrackEyes<'_> {
    fn begin<'a>(&'a self, start: usize, way: Way) -> Seen<Box<dyn Tracking + 'a>> {
        let count = match way {
            Way::Forward => self.frames.len().saturating_sub(start),
            Way::Backward => start + 1,
        };
        let session = Session::new(self.frames.size(), Some(count), self.options);
        Ok(Box::new(Followed { eyes: self, start, way, session }))
    }
}

/// A session in one direction.
struct Followed<'a> {
    eyes: &'a TrackEyes<'a>,
    start: usize,
    way: Way,
    session: Session,
}

impl Followed<'_> {
    /// Frames from the start.
    fn local(&self, position: usize) -> Seen<usize> {
        let local = match self.way {
            Way::Forward => position.checked_sub(self.start),
            Way::Backward => self.start.checked_sub(position),
        };
        local.ok_or_else(|| format!("position {position} lies before the start, {}", self.start).into())
    }
}

impl Tracking for Followed<'_> {
    fn add(&mut self, object: u32, position: usize, area: Area) -> Seen<Mask> {
        let (local, features) = (self.local(position)?, self.eyes.features(position)?);
        let prompt = VideoPrompt::Points(Prompt::boxed(area.map(|side| side as f32)));
        let found =
            self.eyes.model.prompt(&mut self.session, local, &features, u64::from(object), &prompt)?;
        let (height, width) = self.eyes.frames.size();
        Ok(found.mask(height, width)?)
    }

    fn step(&mut self, position: usize) -> Seen<Vec<(u32, Mask)>> {
        if self.session.object_ids().is_empty() {
            return Ok(Vec::new());
        }
        let (local, features) = (self.local(position)?, self.eyes.features(position)?);
        let found = self.eyes.model.track(&mut self.session, local, Some(&features), Direction::Forward)?;
        let (height, width) = self.eyes.frames.size();
        let mask = |object: &strefer_vision::sam2::ObjectMask| -> Seen<(u32, Mask)> {
            Ok((object.object_id as u32, object.mask(height, width)?))
        };
        found.objects.iter().map(mask).collect()
    }

    fn remove(&mut self, object: u32) {
        self.session.remove(u64::from(object));
    }
}
