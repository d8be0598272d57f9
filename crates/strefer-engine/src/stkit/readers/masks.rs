//! Masklets by moments of the video instead of by keys.

use strefer_core::records::{Entities, Masklet, MaskletFrame, Masklets};
use strefer_video::VideoInfo;

use crate::error::{Error, Result};
use crate::pipeline::digest;
use crate::pipeline::{Given, GivenFolder};

/// What is known about the objects of one video.
pub(super) struct Objects {
    masklets: Masklets,
    entities: Option<Entities>,
}

impl Objects {
    /// Takes the records about a video from a folder.
    ///
    /// # Errors
    /// None is there, or it says why there are no masklets.
    pub fn of(folder: &std::sync::Arc<GivenFolder>, video_id: &str) -> Result<Self> {
        let Given { masklets, entities, .. } = folder.about(video_id).given()?;
        let bad = |reason: String| Error::BadVideo { video_id: video_id.to_owned(), reason };
        let masklets = masklets.ok_or_else(|| bad("no masklets record is about it".to_owned()))?;
        match &masklets.failure {
            Some(failure) => Err(bad(failure.to_string())),
            None => Ok(Self { masklets, entities }),
        }
    }

    /// Refuses masks of another size than the video's frames.
    pub fn check_size(&self, info: &VideoInfo) -> Result<()> {
        let wanted = [info.height, info.width];
        let frames = self.masklets.objects.iter().flat_map(|object| object.frames.values());
        match frames.map(|frame| frame.rle.size).find(|size| *size != wanted) {
            Some([height, width]) => Err(Error::BadVideo {
                video_id: self.masklets.video_id.clone(),
                reason: format!("its masks are {width}x{height}, its frames {}x{}", info.width, info.height),
            }),
            None => Ok(()),
        }
    }

    /// A digest of it.
    pub fn digest(&self) -> Result<String> {
        digest::of_value(&(&self.masklets, &self.entities))
    }

    /// The objects.
    pub fn all(&self) -> &[Masklet] {
        &self.masklets.objects
    }

    /// What an object is: the entity's noun, what the detector called it, or nothing in particular.
    pub fn category(&self, object: &Masklet) -> String {
        let items = self.entities.iter().flat_map(|entities| &entities.items);
        let noun =
            items.into_iter().find(|entity| entity.eid == object.eid).map(|entity| entity.noun.clone());
        noun.or_else(|| object.detector_label.clone()).unwrap_or_else(|| "object".to_owned())
    }

    /// What of an object is seen in the frame of the video that is shown at each of some moments, from frames at most `slack_s`
    /// away.
    pub fn shown<'a>(
        &self,
        object: &'a Masklet,
        info: &VideoInfo,
        moments_s: &[f64],
        slack_s: f64,
    ) -> Vec<Option<&'a MaskletFrame>> {
        let space = self.masklets.index_space;
        let time = |key| Some(info.times_s[space.source_frame(key, info.n_frames())?]);
        let mut known: Vec<(f64, &MaskletFrame)> = object
            .frames
            .iter()
            .filter(|(_, frame)| frame.area > 0)
            .filter_map(|(key, frame)| Some((time(*key)?, frame)))
            .collect();
        known.sort_by(|a, b| a.0.total_cmp(&b.0));
        let nearest = |moment_s: &f64| {
            let next = known.partition_point(|(at_s, _)| at_s < moment_s);
            let around = known[next.saturating_sub(1)..known.len().min(next + 1)].iter();
            let distance = |(at_s, _): &&(f64, &MaskletFrame)| (at_s - moment_s).abs();
            let found = around.min_by(|a, b| distance(a).total_cmp(&distance(b)))?;
            (distance(&found) <= slack_s).then_some(found.1)
        };
        moments_s.iter().map(nearest).collect()
    }
}
