//! `--segmenter`: what was pointed at in one frame is found and followed through the frames that the model is shown.

use std::path::Path;

use anyhow::{Context, Result, bail};
use candle_core::{DType, Device};
use serde_json::{Map, Value, json};
use strefer_model::Loaded;
use strefer_model::question::{Mark, MarkShape, Question};
use strefer_model::tracking::{Tracked, Tracker};
use strefer_video::{Limits, VideoSource};

use crate::progress::bar;

/// Gives every object of `question` that is marked in one frame the masks that SAM 2.1 finds; says on stderr where they are, and
/// returns it for JSON.
pub fn follow(
    segmenter: &Path,
    device: &Device,
    loaded: &Loaded,
    question: &mut Question,
) -> Result<Vec<Value>> {
    if !question.marks.iter().any(|mark| matches!(mark, Mark::Once { .. })) {
        bail!("--segmenter follows objects that are marked in one frame, and none is");
    }
    let source = VideoSource::open(&question.video, &Limits::default())?;
    let shown = loaded.processor.shown_frames(&question.media(source.info()))?;
    let tracker = Tracker::open(segmenter, device, DType::F32)
        .with_context(|| format!("{} cannot be used as --segmenter", segmenter.display()))?;
    let progress = bar(0, "following");
    let found = tracker.track(&question.id, &source, &question.marks, &shown, |done, total| {
        progress.set_length(total as u64);
        progress.set_position(done as u64);
    })?;
    progress.finish_and_clear();
    let mut said = Vec::new();
    for (number, (mark, tracked)) in question.marks.iter_mut().zip(found).enumerate() {
        let Some(tracked) = tracked else { continue };
        let name = name_of(mark);
        eprintln!("object {number}, {name}: {}", summary(&tracked));
        let areas: Map<String, Value> =
            tracked.masks.iter().map(|(frame, mask)| (frame.to_string(), mask.area().into())).collect();
        said.push(json!({"object": number, "mark": name, "marked_frame": tracked.marked, "areas": areas}));
        *mark = Mark::Frames(tracked.masks);
    }
    Ok(said)
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
