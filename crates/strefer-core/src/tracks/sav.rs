//! SA-V (arXiv 2408.00714): one JSON file a video of 24 frames a second, whose masks stand at every fourth frame.

use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::collect::{Collector, frame_count, frames_a_second, known_size, wrong};
use super::file;
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::masklet::FrameKey;
use crate::records::Masklets;
use crate::rle::{Rle, RleRecord};

/// Source frames from one mask to the next.
const STEP: u32 = 4;

/// Frames a second of all its videos.
const FPS: f64 = 24.0;

/// Means of so many pixels and more are of medium or large objects.
const BUCKETS: [(f64, &str); 2] = [(32.0 * 32.0, "small"), (96.0 * 96.0, "medium")];

#[derive(Debug, Serialize, Deserialize)]
struct File {
    video_id: String,
    #[serde(default)]
    video_duration: f64,
    video_frame_count: f64,
    video_height: f64,
    video_width: f64,
    /// By annotated frame, then by object.
    masklet: Vec<Vec<RleRecord>>,
    #[serde(default)]
    masklet_id: Vec<i64>,
    #[serde(flatten)]
    more: Map<String, Value>,
}

/// The masklets of a file; object 0 is `e0`.
pub fn read(path: &Path) -> Result<Masklets> {
    let file: File = file::json(path)?;
    let bad = |record: &str, reason: String| wrong(path, record, reason);
    let whole = |name: &str, number: f64| match number {
        number if number >= 1.0 && number.fract() == 0.0 && number < 1e9 => Ok(number as usize),
        number => Err(bad(name, format!("{number} is no number of frames or pixels"))),
    };
    let frames = whole("video_frame_count", file.video_frame_count)?;
    let size = (whole("video_height", file.video_height)?, whole("video_width", file.video_width)?);
    let count = file.masklet.first().map_or(file.masklet_id.len(), Vec::len);
    let eid = |at: usize| format!("e{}", file.masklet_id.get(at).copied().unwrap_or(at as i64));
    let mut collector = Collector::new(path);
    (0..count).for_each(|at| collector.declare(&eid(at), None));
    for (nth, masks) in file.masklet.iter().enumerate() {
        if masks.len() != count {
            let reason = format!("{} masks, {count} objects", masks.len());
            return Err(bad(&format!("masklet[{nth}]"), reason));
        }
        for (at, rle) in masks.iter().enumerate() {
            let record = format!("masklet[{nth}][{at}]");
            let rle = Rle::try_from(rle.clone()).map_err(|error| wrong(path, &record, error))?;
            if (rle.height(), rle.width()) != size {
                let reason = format!(
                    "a mask of {}x{}, the video is {}x{} (height x width)",
                    rle.height(),
                    rle.width(),
                    size.0,
                    size.1
                );
                return Err(bad(&record, reason));
            }
            collector.add(&eid(at), nth as u32 * STEP, &rle.to_mask(), &record)?;
        }
    }
    let fps = match frames as f64 / file.video_duration {
        fps if fps.is_finite() && fps > 0.0 => fps,
        _ => FPS,
    };
    collector.finish(file.video_id, Some(fps), Some(frames))
}

/// Writes masklets whose keys all stand at every fourth frame, with the measures that the data set has of each.
pub fn write(path: &Path, masklets: &Masklets) -> Result<()> {
    let (height, width) = known_size(path, masklets)?;
    let frames = frame_count(masklets);
    let annotated = frames.div_ceil(STEP as usize);
    let empty: RleRecord = Rle::from_mask(&Mask::zeros(height as usize, width as usize)).into();
    let mut masks = vec![vec![empty; masklets.objects.len()]; annotated];
    let mut measures: Map<String, Value> = Map::new();
    let mut say = |name: &str, value: Value| match measures.entry(name).or_insert_with(|| json!([])) {
        Value::Array(all) => all.push(value),
        _ => unreachable!("all measures are lists"),
    };
    let pixels = f64::from(height) * f64::from(width);
    for (at, object) in masklets.objects.iter().enumerate() {
        let mut seen = vec![false; annotated];
        let mut area = 0;
        for (FrameKey(frame), entry) in &object.frames {
            if frame % STEP != 0 {
                let reason = format!("SA-V has masks at every {STEP}th frame only");
                return Err(wrong(path, format!("object {}, frame {frame}", object.eid), reason));
            }
            let nth = (frame / STEP) as usize;
            masks[nth][at] = entry.rle.clone();
            seen[nth] = true;
            area += entry.area;
        }
        let first = seen.iter().position(|seen| *seen);
        let mean = area as f64 / object.frames.len().max(1) as f64;
        let changes =
            first.map_or(0, |first| seen[first..].windows(2).filter(|pair| pair[0] != pair[1]).count());
        let bucket = BUCKETS.iter().find(|(below, _)| mean < *below).map_or("large", |(_, name)| *name);
        say("masklet_size_rel", json!(mean / pixels));
        say("masklet_size_abs", json!(mean));
        say("masklet_size_bucket", json!(bucket));
        say("masklet_visibility_changes", json!(changes));
        say("masklet_first_appeared_frame", json!(first.map(|first| first as f64)));
        say("masklet_frame_count", json!(annotated));
    }
    measures.insert("video_resolution".into(), json!(pixels));
    measures.insert("masklet_num".into(), json!(masklets.objects.len()));
    let id =
        |(at, eid): (usize, &str)| eid.strip_prefix('e').and_then(|id| id.parse().ok()).unwrap_or(at as i64);
    let file = File {
        video_id: masklets.video_id.clone(),
        video_duration: frames as f64 / frames_a_second(masklets).unwrap_or(FPS),
        video_frame_count: frames as f64,
        video_height: height.into(),
        video_width: width.into(),
        masklet: masks,
        masklet_id: masklets.objects.iter().map(|object| object.eid.as_str()).enumerate().map(id).collect(),
        more: measures,
    };
    let bytes = serde_json::to_vec(&file)
        .map_err(|error| Error::Io { path: path.to_owned(), source: error.into() })?;
    file::replace(path, &bytes)
}
