//! What was asked about, drawn into the video.

use std::path::Path;

use anyhow::{Context, Result};
use image::RgbImage;
use strefer_core::Gesture;
use strefer_model::question::{MarkShape, Question};
use strefer_video::write::{Encoding, VideoWriter};
use strefer_video::{Limits, VideoInfo, VideoSource, draw};

/// Writes the marked frame as a picture, or the whole video with its marked frames held for a second.
pub fn write(question: &Question, answer: &str, path: &Path) -> Result<()> {
    let source = VideoSource::open(&question.video, &Limits::default())?;
    let info = source.info();
    let is_picture = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    if is_picture {
        let at_s = question.marks.first().map(|mark| mark.at_s).or(question.times_s.first().copied());
        let index = info.index_at(at_s.unwrap_or(0.0)).unwrap_or(0);
        let frames = source.frames_at_indices(&[index])?;
        let mut image = frames.into_iter().next().context("the video has no frame")?.image;
        mark(&mut image, question, info, index, answer);
        return image.save(path).with_context(|| format!("cannot write {}", path.display()));
    }
    let encoding = Encoding { fps: info.fps, ..Encoding::default() };
    let mut writer = VideoWriter::create(path, info.width, info.height, &encoding)?;
    for frame in source.iter() {
        let mut frame = frame?;
        let marked = mark(&mut frame.image, question, info, frame.index, answer);
        let hold = if marked { info.fps.round().max(1.0) as usize } else { 1 };
        for _ in 0..hold {
            writer.push(&frame.image)?;
        }
    }
    Ok(writer.finish()?)
}

/// Draws the marks that belong to a frame, and the answer; tells whether there was one.
fn mark(image: &mut RgbImage, question: &Question, info: &VideoInfo, index: usize, answer: &str) -> bool {
    let mut marked = false;
    for (number, object) in question.marks.iter().enumerate() {
        if info.index_at(object.at_s) != Some(index) {
            continue;
        }
        let colour = draw::colour(number);
        match &object.shape {
            MarkShape::Mask(mask) => draw::mask(image, mask, colour, 0.35),
            MarkShape::Gesture(Gesture::Box(area)) => draw::rectangle(image, *area, colour, 2),
            MarkShape::Gesture(gesture) => {
                // One that makes no mask was refused before it was asked about.
                if let Ok(pixels) = gesture.to_mask(image.height() as usize, image.width() as usize) {
                    draw::mask(image, &pixels, colour, 0.35);
                }
            }
        }
        marked = true;
    }
    let asked = question.times_s.first().is_some_and(|&at_s| info.index_at(at_s) == Some(index));
    if marked || asked {
        let bottom = i64::from(image.height());
        draw::label(image, 0, bottom, answer, [0, 0, 0], 1);
    }
    marked || asked
}
