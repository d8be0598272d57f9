//! Masklets drawn into the frames that they were found on.

use std::path::Path;

use anyhow::Result;
use image::RgbImage;
use strefer_core::Rle;
use strefer_core::records::Masklets;
use strefer_engine::masklets::eyes::FrameStore;
use strefer_engine::masklets::{Sought, Timeline};
use strefer_video::draw;
use strefer_video::write::{Encoding, VideoWriter, write_frames_dir};

/// Writes `overlay.mp4` of the frames that were used, as long as the video; without FFmpeg a folder `overlay` of pictures.
pub fn write(
    record: &Masklets,
    sought: &[Sought],
    timeline: &Timeline,
    frames: &FrameStore,
    duration_s: f64,
    dir: &Path,
) -> Result<()> {
    let drawn = |position: usize| -> Result<RgbImage> {
        let image = frames.frame(position).map_err(anyhow::Error::from_boxed)?;
        let mut image = (*image).clone();
        draw_all(&mut image, record, sought, timeline, position)?;
        Ok(image)
    };
    if !cfg!(feature = "ffmpeg") {
        let images = (0..timeline.len()).map(drawn).collect::<Result<Vec<RgbImage>>>()?;
        return Ok(write_frames_dir(dir.join("overlay"), &images)?);
    }
    let (height, width) = frames.size();
    let fps = (timeline.len() as f64 / duration_s.max(0.1)).clamp(0.5, 60.0);
    let encoding = Encoding { fps, fast_start: true, ..Encoding::default() };
    let mut writer = VideoWriter::create(dir.join("overlay.mp4"), width as u32, height as u32, &encoding)?;
    for position in 0..timeline.len() {
        writer.push(&drawn(position)?)?;
    }
    Ok(writer.finish()?)
}

fn draw_all(
    image: &mut RgbImage,
    record: &Masklets,
    sought: &[Sought],
    timeline: &Timeline,
    position: usize,
) -> Result<()> {
    for (number, object) in record.objects.iter().enumerate() {
        let Some(frame) = object.frames.get(&timeline.keys[position]) else { continue };
        let rle = Rle::try_from(frame.rle.clone())?;
        let colour = draw::colour(number);
        draw::mask(image, &rle.to_mask(), colour, 0.35);
        let Some(area) = rle.bbox() else { continue };
        draw::rectangle(image, area, colour, 1);
        let name = sought.iter().find(|sought| sought.eid == object.eid);
        let sure = object.confidence.map(|sure| format!(" {sure:.2}")).unwrap_or_default();
        let text = format!("{}{sure}", name.map_or(object.eid.as_str(), |sought| &sought.expression));
        let (_, height) = draw::label_size(&text, 1);
        draw::label(image, area.x0 as i64, area.y0 as i64 - i64::from(height), &text, colour, 1);
    }
    Ok(())
}
