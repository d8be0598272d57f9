//! COCO instances over a video as images. Annotations of one object share a `track_id` (or `instance_id`, also under
//! `attributes`, as CVAT writes it); one without is an object of its own. Images of one folder are a video.

use std::collections::BTreeMap;
use std::path::Path;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::collect::{Collector, NO_LABEL, frame_count, mask_of, size_of, wrong};
use super::{ReadOptions, collect, file};
use crate::error::{Error, Result};
use crate::masklet::FrameKey;
use crate::records::Masklets;
use crate::rle::{Rle, RleRecord};

/// The parts of a file that masklets are made of. Whatever else it holds is left alone.
#[derive(Debug, Serialize, Deserialize)]
struct File {
    images: Vec<Image>,
    annotations: Vec<Annotation>,
    #[serde(default)]
    categories: Vec<Category>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Image {
    id: u64,
    width: u32,
    height: u32,
    file_name: String,
    /// The frame's number, where the name does not end in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    frame_index: Option<u32>,
    /// When it is shown; a field of ours.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    time_s: Option<f64>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Annotation {
    id: u64,
    image_id: u64,
    category_id: u64,
    segmentation: Segmentation,
    area: f64,
    bbox: [f64; 4],
    #[serde(default)]
    iscrowd: u8,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    track_id: Option<Value>,
    #[serde(default, skip_serializing)]
    instance_id: Option<Value>,
    #[serde(default, skip_serializing)]
    attributes: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Segmentation {
    Rle(RleRecord),
    Polygons(Vec<Vec<f64>>),
}

#[derive(Debug, Serialize, Deserialize)]
struct Category {
    id: u64,
    name: String,
}

impl Annotation {
    /// What its object is called.
    fn track(&self) -> Option<String> {
        let attributes = self.attributes.iter().flat_map(|all| [all.get("track_id"), all.get("instance_id")]);
        let all = [self.track_id.as_ref(), self.instance_id.as_ref()].into_iter().chain(attributes);
        match all.flatten().next()? {
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(format!("e{number}")),
            _ => None,
        }
    }
}

/// Videos of a file, in the order of their first images.
pub fn read(path: &Path, options: &ReadOptions) -> Result<Vec<Masklets>> {
    let file: File = file::json(path)?;
    let images: BTreeMap<u64, &Image> = file.images.iter().map(|image| (image.id, image)).collect();
    let labels: BTreeMap<u64, &str> = file.categories.iter().map(|one| (one.id, one.name.as_str())).collect();
    // Per video its times by frame, and what is collected.
    let mut videos: IndexMap<&str, (BTreeMap<u32, Option<f64>>, Collector<'_>)> = IndexMap::new();
    for image in &file.images {
        let video = file::folder_of(&image.file_name);
        let (times, _) = videos.entry(video).or_insert_with(|| (BTreeMap::new(), Collector::new(path)));
        if times.insert(frame_of(path, image)?, image.time_s).is_some() {
            return Err(wrong(path, format!("image {}", image.id), "a second image of its frame"));
        }
    }
    for annotation in &file.annotations {
        let record = format!("annotation {}", annotation.id);
        let image = *images
            .get(&annotation.image_id)
            .ok_or_else(|| wrong(path, &record, format!("there is no image {}", annotation.image_id)))?;
        let rle = match &annotation.segmentation {
            Segmentation::Rle(rle) => Rle::try_from(rle.clone()),
            Segmentation::Polygons(polygons) => Rle::from_polygons(image.height, image.width, polygons),
        };
        let rle = rle.map_err(|error| wrong(path, &record, error))?;
        if (rle.height(), rle.width()) != (image.height as usize, image.width as usize) {
            let reason = format!(
                "a mask of {}x{} on an image of {}x{} (height x width)",
                rle.height(),
                rle.width(),
                image.height,
                image.width
            );
            return Err(wrong(path, &record, reason));
        }
        let eid = annotation.track().unwrap_or_else(|| format!("a{}", annotation.id));
        let (_, collector) = &mut videos[file::folder_of(&image.file_name)];
        let label = labels.get(&annotation.category_id).copied();
        collector.declare(&eid, label);
        collector.add(&eid, frame_of(path, image)?, &rle.to_mask(), &record)?;
    }
    let several = videos.len() > 1;
    let video = |(folder, (times, collector)): (&str, (BTreeMap<u32, Option<f64>>, Collector<'_>))| {
        let name = if several || (options.video_id.is_none() && !folder.is_empty()) {
            folder.to_owned()
        } else {
            collect::video_id(path, options)
        };
        let count = times.keys().next_back().map(|last| *last as usize + 1);
        let mut masklets = collector.finish(name, options.fps, count)?;
        let told: Option<Vec<f64>> = times.values().copied().collect();
        if let (Some(told), None) = (told.filter(|told| Some(told.len()) == count), options.fps) {
            masklets.frame_times_s = told;
        }
        Ok(masklets)
    };
    videos.into_iter().map(video).collect()
}

fn frame_of(path: &Path, image: &Image) -> Result<u32> {
    image.frame_index.or_else(|| file::number_of(&image.file_name)).ok_or_else(|| {
        let reason = format!("neither frame_index nor a number at the end of {:?}", image.file_name);
        wrong(path, format!("image {}", image.id), reason)
    })
}

/// Writes videos as images `VIDEO/00000.jpg`, one for every frame.
pub fn write(path: &Path, all: &[Masklets]) -> Result<()> {
    let mut file = File { images: Vec::new(), annotations: Vec::new(), categories: Vec::new() };
    let mut labels: IndexMap<&str, u64> = IndexMap::new();
    for masklets in all {
        let Some((height, width)) = size_of(path, masklets)? else {
            let reason = "no object is seen, so the images' size is unknown";
            return Err(wrong(path, format!("video {}", masklets.video_id), reason));
        };
        let first = file.images.len() as u64 + 1;
        for frame in 0..frame_count(masklets) as u32 {
            file.images.push(Image {
                id: first + u64::from(frame),
                width,
                height,
                file_name: format!("{}/{frame:05}.jpg", masklets.video_id),
                frame_index: Some(frame),
                time_s: masklets.frame_times_s.get(frame as usize).copied(),
            });
        }
        for object in &masklets.objects {
            let label = object.detector_label.as_deref().unwrap_or(NO_LABEL);
            let next = labels.len() as u64 + 1;
            let category_id = *labels.entry(label).or_insert(next);
            for (FrameKey(frame), entry) in &object.frames {
                // Read once, so that what is written can be read.
                mask_of(path, &object.eid, FrameKey(*frame), entry)?;
                file.annotations.push(Annotation {
                    id: file.annotations.len() as u64 + 1,
                    image_id: first + u64::from(*frame),
                    category_id,
                    segmentation: Segmentation::Rle(entry.rle.clone()),
                    area: entry.area as f64,
                    bbox: entry.bbox_xywh.map(f64::from),
                    iscrowd: 0,
                    track_id: Some(Value::String(object.eid.clone())),
                    instance_id: None,
                    attributes: None,
                });
            }
        }
    }
    file.categories = labels.into_iter().map(|(name, id)| Category { id, name: name.to_owned() }).collect();
    let bytes = serde_json::to_vec(&file)
        .map_err(|error| Error::Io { path: path.to_owned(), source: error.into() })?;
    file::replace(path, &bytes)
}
