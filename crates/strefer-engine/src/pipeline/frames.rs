//! Frames of a video as stages take them.

use std::sync::Arc;

use image::RgbImage;
use image::codecs::jpeg::JpegEncoder;
use strefer_teacher::Clip;
use strefer_video::{Frame, VideoSource};

use super::fault::Fault;

/// Quality of the pictures that teachers see.
const JPEG_QUALITY: u8 = 90;

/// The frames that can be read of those asked for, with their places in `indices`.
///
/// # Errors
/// The video has no such frame.
pub fn read_frames(video: &VideoSource, indices: &[usize]) -> Result<Vec<(usize, Frame)>, Fault> {
    match video.frames_at_indices(indices) {
        Ok(frames) => Ok(frames.into_iter().enumerate().collect()),
        Err(error @ strefer_video::Error::NoIndex { .. }) => {
            Err(Fault::Unreadable { reason: error.to_string() })
        }
        // Some may be damaged: each by itself.
        Err(_) => Ok(indices
            .iter()
            .enumerate()
            .filter_map(|(place, index)| {
                let frame = video.frames_at_indices(&[*index]).ok()?.pop()?;
                Some((place, frame))
            })
            .collect()),
    }
}

/// Frames as a teacher sees them: pictures whose longer side has at most `side` pixels.
///
/// # Errors
/// None of the frames can be read.
pub fn clip(video: &VideoSource, indices: &[usize], side: u32) -> Result<Clip, Fault> {
    painted(video, indices, side, |_, _| {})
}

/// The same with something drawn into each, of which `paint` gets the number and the picture as it is shown.
///
/// # Errors
/// None of the frames can be read.
pub fn painted(
    video: &VideoSource,
    indices: &[usize],
    side: u32,
    paint: impl Fn(usize, &mut RgbImage),
) -> Result<Clip, Fault> {
    let info = video.info();
    let mut wanted = indices.to_vec();
    wanted.dedup();
    let (mut frames, mut shown) = (Vec::new(), Vec::new());
    for (_, frame) in read_frames(video, &wanted)? {
        let mut image = scaled(frame.image, side);
        paint(frame.index, &mut image);
        frames.push(jpeg(&image)?);
        shown.push(frame.index);
    }
    if frames.is_empty() {
        let reason = format!("none of the frames {wanted:?} can be decoded");
        return Err(Fault::Unreadable { reason });
    }
    Ok(Clip { frames, indices: shown, total: info.n_frames(), fps: info.fps })
}

/// A picture whose longer side has at most `side` pixels.
fn scaled(image: RgbImage, side: u32) -> RgbImage {
    let (width, height) = image.dimensions();
    let longer = width.max(height);
    if longer <= side {
        return image;
    }
    let scaled = |length: u32| (u64::from(length) * u64::from(side) / u64::from(longer.max(1))).max(1) as u32;
    let filter = image::imageops::FilterType::Triangle;
    image::imageops::resize(&image, scaled(width), scaled(height), filter)
}

fn jpeg(image: &RgbImage) -> Result<Arc<[u8]>, Fault> {
    let mut bytes = Vec::new();
    let encoder = JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY);
    let failed =
        |error: image::ImageError| Fault::Model { model: "jpeg".to_owned(), reason: error.to_string() };
    image.write_with_encoder(encoder).map_err(failed)?;
    Ok(bytes.into())
}
