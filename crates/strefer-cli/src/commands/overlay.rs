//! What was asked about, drawn into the video.

use std::path::Path;

use anyhow::{Context, Result};
use image::RgbImage;
use strefer_core::Gesture;
use strefer_model::question::{Mark, MarkShape, Question};
use strefer_video::write::{Encoding, VideoWriter};
use strefer_video::{Limits, VideoInfo, VideoSource, draw};

/// Writes the marked frame as a picture, or the whole video with its marked frames held for a second.
pub fn write(question: &Question, answer: &str, path: &Path) -> Result<()> {
    let source = VideoSource::open(&question.video, &Limits::default())?;
    let info = source.info();
    let is_picture = path.extension().is_some_and(|ending| ending.eq_ignore_ascii_case("png"));
    if is_picture {
        let index = first_frame(question, info).unwrap_or(0);
        let frames = source.frames_at_indices(&[index])?;
        let mut image = frames.into_iter().next().context("the video has no frame")?.image;
        mark(&mut image, question, info, index, answer);
        return image.save(path).with_context(|| format!("cannot write {}", path.display()));
    }
    let encoding = Encoding { fps: info.fps, ..Encoding::default() };
    let mut writer = VideoWriter::create(path, info.width, info.height, &encoding)?;
    for frame in source.iter() {
        let mut frame = frame?;
        let held = mark(&mut frame.image, question, info, frame.index, answer);
        let hold = if held { info.fps.round().max(1.0) as usize } else { 1 };
        for _ in 0..hold {
            writer.push(&frame.image)?;
        }
    }
    Ok(writer.finish()?)
}

/// The frame of the first mark, or of the first moment.
fn first_frame(question: &Question, info: &VideoInfo) -> Option<usize> {
    match question.marks.first() {
        Some(Mark::Once { at_s, .. }) => info.index_at(*at_s),
        Some(Mark::Frames(masks)) => masks.keys().next().copied(),
        None => info.index_at(*question.times_s.first()?),
    }
}

/// Draws the marks that belong to a frame, and the answer; tells whether it deserves to be held: an object that is marked in
/// most frames is followed while they run.
fn mark(image: &mut RgbImage, question: &Question, info: &VideoInfo, index: usize, answer: &str) -> bool {
    let (mut marked, mut held) = (false, false);
    for (number, object) in question.marks.iter().enumerate() {
        let colour = draw::colour(number);
        let shape = match object {
            Mark::Once { shape, at_s } if info.index_at(*at_s) == Some(index) => shape.clone(),
            Mark::Frames(masks) if masks.contains_key(&index) => MarkShape::Mask(masks[&index].clone()),
            _ => continue,
        };
        match &shape {
            MarkShape::Mask(mask) => draw::mask(image, mask, colour, 0.35),
            // Those are for a segmenter, which leaves masks.
            MarkShape::Clicks { .. } => {}
            MarkShape::Gesture(Gesture::Box(area)) => draw::rectangle(image, *area, colour, 2),
            MarkShape::Gesture(gesture) => {
                // One that makes no mask was refused before it was asked about.
                if let Ok(pixels) = gesture.to_mask(image.height() as usize, image.width() as usize) {
                    draw::mask(image, &pixels, colour, 0.35);
                }
            }
        }
        marked = true;
        held |= match object {
            Mark::Once { .. } => true,
            // Masks with gaps between them would only flash.
            Mark::Frames(masks) => 2 * masks.len() < info.n_frames(),
        };
    }
    let asked = question.times_s.first().is_some_and(|&at_s| info.index_at(at_s) == Some(index));
    if marked || asked {
        let bottom = i64::from(image.height());
        draw::label(image, 0, bottom, answer, [0, 0, 0], 1);
    }
    held || asked
}
