//! Frames of a video with its masks drawn, as files.

use std::path::Path;

use image::RgbImage;
use serde::Serialize;
use strefer_core::{FrameKey, Rle};
use strefer_video::{Limits, VideoSource, draw};

use super::InspectOptions;
use crate::error::{Error, Result};
use crate::stages::Stages;

/// A frame on a page.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shot {
    /// When it is shown, in seconds.
    pub at_s: f64,
    /// The picture, relative to the page.
    pub file: String,
}

/// Writes frames spread over the video into `FOLDER/NN.jpg`; none where the video cannot be read.
pub fn write(stages: &Stages, video: &Path, folder: &Path, options: &InspectOptions) -> Result<Vec<Shot>> {
    let limits = Limits { folder_fps: stages.video.fps.max(0.1), ..Limits::default() };
    let Ok(source) = VideoSource::open(video, &limits) else { return Ok(Vec::new()) };
    std::fs::create_dir_all(folder).map_err(|source| Error::Io { path: folder.to_owned(), source })?;
    // Frames for which there are masks, where there are any.
    let masklets = &stages.masklets;
    let n_frames = source.info().n_frames();
    let mut keys: Vec<(FrameKey, usize)> = masklets
        .objects
        .iter()
        .flat_map(|object| object.frames.keys())
        .filter_map(|key| Some((*key, masklets.index_space.source_frame(*key, n_frames)?)))
        .collect();
    keys.sort_by_key(|(key, _)| key.0);
    keys.dedup();
    if keys.is_empty() {
        keys = (0..n_frames).map(|frame| (FrameKey(u32::MAX), frame)).collect();
    }
    let count = options.frames.min(keys.len());
    let spread = |nth: usize| nth * (keys.len() - 1) / (count - 1).max(1);
    let mut shots = Vec::new();
    for nth in 0..count {
        let (key, frame) = keys[spread(nth)];
        let Some(found) = source.frames_at_indices(&[frame]).ok().and_then(|mut frames| frames.pop()) else {
            continue;
        };
        let mut image = found.image;
        for (entity, object) in masklets.objects.iter().enumerate() {
            let Some(mask) = object.frames.get(&key).filter(|mask| mask.area > 0) else { continue };
            let rle = Rle::try_from(mask.rle.clone())?;
            if (rle.height(), rle.width()) == (image.height() as usize, image.width() as usize) {
                outline(&mut image, &rle, entity, &object.eid);
            }
        }
        let path = folder.join(format!("{nth:02}.jpg"));
        smaller(image, options.width)
            .save(&path)
            .map_err(|error| Error::BadFile { path: path.clone(), reason: error.to_string() })?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        shots.push(Shot { at_s: found.time_s, file: format!("{name}/{nth:02}.jpg") });
    }
    Ok(shots)
}

fn outline(image: &mut RgbImage, rle: &Rle, entity: usize, eid: &str) {
    let colour = draw::colour(entity);
    draw::mask(image, &rle.to_mask(), colour, 0.35);
    if let Some(area) = rle.bbox() {
        draw::rectangle(image, area, colour, 1);
        let (_, height) = draw::label_size(eid, 1);
        draw::label(image, area.x0 as i64, area.y0 as i64 - i64::from(height), eid, colour, 1);
    }
}

fn smaller(image: RgbImage, width: u32) -> RgbImage {
    if image.width() <= width {
        return image;
    }
    let height = (image.height() * width / image.width()).max(1);
    image::imageops::thumbnail(&image, width, height)
}
