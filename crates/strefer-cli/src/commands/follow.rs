//! `--segmenter`: what was pointed at in one frame is found and followed through the frames that the model is shown.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use candle_core::{DType, Device};
use serde_json::{Map, Value, json};
use strefer_model::Loaded;
use strefer_model::question::{Mark, MarkShape, Question, media};
use strefer_model::tracking::{Tracked, Tracker};
use strefer_video::{Limits, VideoSource};

use crate::progress::bar;

/// SAM 2.1, and what it followed last.
pub struct Follower {
    tracker: Tracker,
    last: Option<Followed>,
}

/// What was asked for, and what was found.
struct Followed {
    video: PathBuf,
    marks: Vec<Mark>,
    shown: Vec<usize>,
    found: Vec<Option<Tracked>>,
}

impl Follower {
    /// Opens a folder or file of SAM 2.1.
    pub fn open(segmenter: &Path, device: &Device) -> Result<Self> {
        let tracker = Tracker::open(segmenter, device, DType::F32)
            .with_context(|| format!("{} cannot be used as --segmenter", segmenter.display()))?;
        Ok(Self { tracker, last: None })
    }

    /// Gives every object of `question` that is marked in one frame the masks that SAM 2.1 finds, and returns where they are,
    /// for JSON; `say` gets the same in words. The same objects of the same video are followed once for questions in a row.
    pub fn follow(
        &mut self,
        loaded: &Loaded,
        question: &mut Question,
        say: impl Fn(String),
    ) -> Result<Vec<Value>> {
        if !question.marks.iter().any(|mark| matches!(mark, Mark::Once { .. })) {
            return Ok(Vec::new());
        }
        let mut objects = Vec::new();
        let found = self.found(loaded, question)?.to_vec();
        for (number, (mark, tracked)) in question.marks.iter_mut().zip(found).enumerate() {
            let Some(tracked) = tracked else { continue };
            let name = name_of(mark);
            say(format!("object {number}, {name}: {}", summary(&tracked)));
            let areas: Map<String, Value> =
                tracked.masks.iter().map(|(frame, mask)| (frame.to_string(), mask.area().into())).collect();
            objects.push(
                json!({"object": number, "mark": name, "marked_frame": tracked.marked, "areas": areas}),
            );
            *mark = Mark::Frames(tracked.masks);
        }
        Ok(objects)
    }

    fn found(&mut self, loaded: &Loaded, question: &Question) -> Result<&[Option<Tracked>]> {
        let source = VideoSource::open(&question.video, &Limits::default())?;
        let shown = loaded.processor.shown_frames(&media(&question.video, source.info()))?;
        let is_same = |last: &Followed| {
            last.video == question.video && last.marks == question.marks && last.shown == shown
        };
        if !self.last.as_ref().is_some_and(is_same) {
            let progress = bar(0, "following");
            let found = self.tracker.track(&question.id, &source, &question.marks, &shown, |done, total| {
                progress.set_length(total as u64);
                progress.set_position(done as u64);
            });
            progress.finish_and_clear();
            self.last = Some(Followed {
                video: question.video.clone(),
                marks: question.marks.clone(),
                shown,
                found: found?,
            });
        }
        Ok(self.last.as_ref().map_or(&[], |last| &last.found))
    }
}

/// How an object was pointed at.
fn name_of(mark: &Mark) -> String {
    match mark {
        Mark::Once { shape: MarkShape::Gesture(gesture), at_s } => format!("{gesture} at {at_s} s"),
        Mark::Once { shape: MarkShape::Mask(_), at_s } => format!("mask at {at_s} s"),
        Mark::Once { shape: MarkShape::Clicks { inside, outside }, at_s } => {
            let inside = inside.iter().map(|point| format!("{},{}", point.x, point.y));
            let outside = outside.iter().map(|point| format!("!{},{}", point.x, point.y));
            format!("point {} at {at_s} s", inside.chain(outside).collect::<Vec<_>>().join(";"))
        }
        Mark::Frames(_) => "masks".to_owned(),
    }
}

/// In how many frames an object is, and how large.
fn summary(tracked: &Tracked) -> String {
    let (least, most) = tracked.shares();
    let range: Vec<usize> = [tracked.masks.keys().next(), tracked.masks.keys().next_back()]
        .into_iter()
        .flatten()
        .copied()
        .collect();
    format!(
        "seen in {} of {} frames, from {} to {}, {:.2} to {:.2} % of the frame",
        tracked.masks.len(),
        tracked.frames,
        range.first().copied().unwrap_or_default(),
        range.last().copied().unwrap_or_default(),
        100.0 * least,
        100.0 * most
    )
}
