//! Label Studio's JSON: brush strokes, one task an image, or rectangles through a video, one task a video. An object is named
//! by the text of its regions (`meta`), else by its label.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::{Value, json};

use super::collect::{
    Collector, MOST_FRAMES, NO_LABEL, frame_count, frames_a_second, known_size, mask_of, wrong,
};
use super::label_studio_brush::{decode, encode};
use super::shapes::{self, Key, Shape};
use super::{ReadOptions, file};
use crate::error::{Error, Result};
use crate::mask::PixelBox;
use crate::masklet::FrameKey;
use crate::records::{Masklet, Masklets};
use crate::rle::{MAX_PIXELS, Rle};

#[derive(Debug, Deserialize)]
struct Task {
    #[serde(default)]
    id: Value,
    data: BTreeMap<String, Value>,
    #[serde(default)]
    annotations: Vec<Annotation>,
}

#[derive(Debug, Deserialize)]
struct Annotation {
    #[serde(default)]
    was_cancelled: bool,
    result: Vec<Region>,
}

#[derive(Debug, Deserialize)]
struct Region {
    #[serde(default)]
    id: Value,
    #[serde(default, rename = "type")]
    kind: String,
    #[serde(default)]
    original_width: Option<u32>,
    #[serde(default)]
    original_height: Option<u32>,
    #[serde(default)]
    value: Content,
    #[serde(default)]
    meta: Option<Meta>,
}

#[derive(Debug, Deserialize)]
struct Meta {
    #[serde(default)]
    text: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Content {
    rle: Option<Vec<u8>>,
    sequence: Option<Vec<Moment>>,
    frames_count: Option<usize>,
    duration: Option<f64>,
    #[serde(default)]
    labels: Vec<String>,
    #[serde(default, rename = "brushlabels")]
    brush_labels: Vec<String>,
}

/// A rectangle from a frame on, in hundredths of the frame.
#[derive(Debug, Deserialize)]
struct Moment {
    frame: u32,
    x: f64,
    y: f64,
    width: f64,
    height: f64,
    #[serde(default = "on")]
    enabled: bool,
    #[serde(default)]
    rotation: f64,
}

fn on() -> bool {
    true
}

/// What is collected of one video.
struct Video<'a> {
    collector: Collector<'a>,
    fps: Option<f64>,
    count: Option<usize>,
}

/// The videos of a file, in the order of their first tasks. Of several annotations of a task the first that was not cancelled
/// counts.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Vec<Masklets>> {
    let tasks: Vec<Task> = file::json(path)?;
    let mut videos: IndexMap<String, Video<'_>> = IndexMap::new();
    for (nth, task) in tasks.iter().enumerate() {
        let id = if task.id.is_null() { format!("#{nth}") } else { task.id.to_string() };
        let (name, frame) = medium(task)
            .ok_or_else(|| wrong(path, format!("task {id}"), "its data names no image and no video"))?;
        let video = videos.entry(name).or_insert_with(|| Video {
            collector: Collector::new(path),
            fps: options.fps,
            count: None,
        });
        if let Some(frame) = frame {
            video.count = video.count.max(Some(frame as usize + 1));
        }
        for region in
            task.annotations.iter().find(|one| !one.was_cancelled).iter().flat_map(|one| &one.result)
        {
            let record = format!("task {id}, region {}", region.id);
            video.add(path, region, frame, options, &record)?;
        }
    }
    let several = videos.len() > 1;
    let finish = |(name, video): (String, Video<'_>)| {
        let name = options.video_id.clone().filter(|_| !several).unwrap_or(name);
        video.collector.finish(name, video.fps, video.count)
    };
    videos.into_iter().map(finish).collect()
}

/// The video that a task shows, and which frame of it where it shows one.
fn medium(task: &Task) -> Option<(String, Option<u32>)> {
    let text = |key: &str| task.data.get(key).and_then(Value::as_str);
    let plain = |name: &str| name.rsplit("?d=").next().unwrap_or(name).to_owned();
    if let Some(video) = text("video") {
        let video = plain(video);
        let file = video.rsplit('/').next().unwrap_or(&video);
        return Some((file.rsplit_once('.').map_or(file, |(stem, _)| stem).to_owned(), None));
    }
    let image = plain(text("image")?);
    let frame = file::number_of(&image)?;
    Some((file::folder_of(&image).trim_start_matches('/').to_owned(), Some(frame)))
}

impl Video<'_> {
    fn add(
        &mut self,
        path: &Path,
        region: &Region,
        frame: Option<u32>,
        options: &ReadOptions,
        record: &str,
    ) -> Result<()> {
        let bad = |reason: String| wrong(path, record, reason);
        let value = &region.value;
        let label = value.brush_labels.first().or(value.labels.first()).map(String::as_str);
        let told = region.meta.as_ref().and_then(|meta| meta.text.first()).map(String::as_str);
        let size = || {
            let own = region.original_height.zip(region.original_width).or(options.size);
            let fits = |(height, width): &(u32, u32)| u64::from(*height) * u64::from(*width) <= MAX_PIXELS;
            own.filter(fits).ok_or_else(|| {
                bad("its original_width and original_height are missing, and no size is given".into())
            })
        };
        let eid = || told.or(label).ok_or_else(|| bad("it has neither a label nor a text".into()));
        match (&value.rle, &value.sequence, frame) {
            (Some(rle), _, Some(frame)) => {
                let ((height, width), eid) = (size()?, eid()?);
                let mask = decode(rle, height as usize, width as usize).map_err(bad)?;
                self.collector.declare(eid, label);
                self.collector.add(eid, frame, &mask, record)
            }
            (_, Some(sequence), None) => {
                let (size, eid) = (size()?, eid()?);
                if let Some(count) = value.frames_count.filter(|count| *count > MOST_FRAMES) {
                    return Err(bad(format!("no video has {count} frames")));
                }
                self.count = self.count.max(value.frames_count);
                if let (None, Some(count), Some(duration)) = (self.fps, value.frames_count, value.duration) {
                    self.fps = Some(count as f64 / duration).filter(|fps| fps.is_finite() && *fps > 0.0);
                }
                self.collector.declare(eid, label);
                let mut keys = keys(sequence, size).map_err(bad)?;
                // The last rectangle stays until the video ends, unless it says otherwise.
                if let (Some(last), Some(count)) =
                    (keys.last().filter(|last| last.goes_on), value.frames_count)
                    && last.frame as usize + 1 < count
                {
                    let end = u32::try_from(count).map_err(|_| bad(format!("{count} frames")))?;
                    keys.push(Key { frame: end, shape: None, goes_on: false });
                }
                let collector = &mut self.collector;
                shapes::every_frame(&keys, |frame, shape| {
                    let mask = shape.mask(size.0, size.1).map_err(|error| wrong(path, record, error))?;
                    collector.add(eid, frame, &mask, record)
                })
            }
            (Some(_), ..) => Err(bad("a brush stroke on a video, it belongs to an image".into())),
            (None, Some(_), Some(_)) => Err(bad("a rectangle through a video on an image".into())),
            (None, None, _)
                if matches!(region.kind.as_str(), "choices" | "textarea" | "rating" | "labels") =>
            {
                Ok(())
            }
            (None, None, _) => Err(bad(format!(
                "{:?} regions are not supported, only brush strokes and rectangles in videos",
                region.kind
            ))),
        }
    }
}

/// Rectangles of a sequence, in pixels; frames count from 1 in the file.
fn keys(sequence: &[Moment], (height, width): (u32, u32)) -> std::result::Result<Vec<Key>, String> {
    let mut keys: Vec<Key> = Vec::with_capacity(sequence.len());
    for moment in sequence {
        let numbers = [moment.x, moment.y, moment.width, moment.height, moment.rotation];
        if let Some(number) = numbers.iter().find(|number| number.is_nan() || number.abs() > 1e4) {
            return Err(format!("frame {} has the number {number}", moment.frame));
        }
        let frame = moment.frame.checked_sub(1).ok_or("frames count from 1")?;
        if frame as usize >= MOST_FRAMES {
            return Err(format!("no video has a frame {}", moment.frame));
        }
        if keys.last().is_some_and(|last| last.frame >= frame) {
            return Err(format!("frame {} is not behind the one before it", moment.frame));
        }
        let (x, across) = (moment.x / 100.0 * f64::from(width), moment.width / 100.0 * f64::from(width));
        let (y, down) = (moment.y / 100.0 * f64::from(height), moment.height / 100.0 * f64::from(height));
        let shape = if moment.rotation == 0.0 {
            Shape::Box([x, y, x + across, y + down])
        } else {
            // It is turned about its top left corner.
            let (sin, cos) = moment.rotation.to_radians().sin_cos();
            let corners = [(0.0, 0.0), (across, 0.0), (across, down), (0.0, down)];
            Shape::Polygon(
                corners.iter().flat_map(|(a, b)| [x + a * cos - b * sin, y + a * sin + b * cos]).collect(),
            )
        };
        keys.push(Key { frame, shape: Some(shape), goes_on: moment.enabled });
    }
    Ok(keys)
}

fn save(path: &Path, tasks: &[Value]) -> Result<()> {
    let bytes = serde_json::to_vec(tasks)
        .map_err(|error| Error::Io { path: path.to_owned(), source: error.into() })?;
    file::replace(path, &bytes)
}

fn label_of(object: &Masklet) -> &str {
    object.detector_label.as_deref().unwrap_or(NO_LABEL)
}

/// Writes a task for every frame, an image `VIDEO/00000.jpg` with brush strokes.
pub fn write_brush(path: &Path, all: &[Masklets]) -> Result<()> {
    let mut tasks = Vec::new();
    for masklets in all {
        let (height, width) = known_size(path, masklets)?;
        for frame in 0..frame_count(masklets) as u32 {
            let mut result = Vec::new();
            for (at, object) in masklets.objects.iter().enumerate() {
                let Some(entry) = object.frames.get(&FrameKey(frame)) else { continue };
                let mask = mask_of(path, &object.eid, FrameKey(frame), entry)?;
                result.push(json!({
                    "id": format!("{at}-{frame}"), "type": "brushlabels", "from_name": "tag", "to_name": "image",
                    "original_width": width, "original_height": height, "image_rotation": 0,
                    "value": {"format": "rle", "rle": encode(&mask), "brushlabels": [label_of(object)]},
                    "meta": {"text": [object.eid]},
                }));
            }
            let image = format!("{}/{frame:05}.jpg", masklets.video_id);
            tasks.push(
                json!({"id": tasks.len() + 1, "data": {"image": image}, "annotations": [{"result": result}]}),
            );
        }
    }
    save(path, &tasks)
}

/// Writes a task for every video, with the boxes around the masks.
pub fn write_boxes(path: &Path, all: &[Masklets]) -> Result<()> {
    let mut tasks = Vec::new();
    for masklets in all {
        let (height, width) = known_size(path, masklets)?;
        let count = frame_count(masklets);
        let duration = frames_a_second(masklets).map(|fps| count as f64 / fps);
        let mut result = Vec::new();
        for (at, object) in masklets.objects.iter().enumerate() {
            let mut keys: Vec<_> = object.frames.iter().collect();
            keys.sort_by_key(|(key, _)| **key);
            let mut sequence = Vec::with_capacity(keys.len());
            for (nth, (FrameKey(frame), entry)) in keys.iter().enumerate() {
                let rle = Rle::try_from(entry.rle.clone())
                    .map_err(|error| wrong(path, format!("object {}, frame {frame}", object.eid), error))?;
                let Some(PixelBox { x0, y0, x1, y1 }) = rle.to_mask().bbox() else { continue };
                let of = |length: usize, all: u32| 100.0 * length as f64 / f64::from(all);
                let goes_on = keys.get(nth + 1).is_some_and(|(next, _)| next.0 == frame + 1);
                sequence.push(json!({
                    "frame": frame + 1, "enabled": goes_on, "rotation": 0,
                    "x": of(x0, width), "y": of(y0, height), "width": of(x1 - x0, width), "height": of(y1 - y0, height),
                }));
            }
            let mut value = json!({"framesCount": count, "sequence": sequence, "labels": [label_of(object)]});
            if let Some(duration) = duration {
                value["duration"] = duration.into();
            }
            result.push(json!({
                "id": at.to_string(), "type": "videorectangle", "from_name": "box", "to_name": "video",
                "original_width": width, "original_height": height, "value": value, "meta": {"text": [object.eid]},
            }));
        }
        let video = format!("{}.mp4", masklets.video_id);
        tasks.push(
            json!({"id": tasks.len() + 1, "data": {"video": video}, "annotations": [{"result": result}]}),
        );
    }
    save(path, &tasks)
}
