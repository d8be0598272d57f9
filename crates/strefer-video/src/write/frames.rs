//! Folders of PNG images.

use std::path::Path;

use image::RgbImage;

use super::unfinished;
use crate::error::{Error, Result};

/// Writes `000.png`, `001.png`, … into a new folder. The folder appears when all frames are written.
pub fn write_frames_dir<'a>(
    dir: impl AsRef<Path>,
    frames: impl IntoIterator<Item = &'a RgbImage>,
) -> Result<()> {
    let dir = dir.as_ref();
    if dir.exists() {
        return Err(Error::Exists { path: dir.into() });
    }
    let part = unfinished(dir);
    if part.exists() {
        std::fs::remove_dir_all(&part).map_err(Error::io(&part))?;
    }
    let written = write_all(&part, frames).and_then(|()| std::fs::rename(&part, dir).map_err(Error::io(dir)));
    if written.is_err() {
        let _ = std::fs::remove_dir_all(&part);
    }
    written
}

fn write_all<'a>(part: &Path, frames: impl IntoIterator<Item = &'a RgbImage>) -> Result<()> {
    std::fs::create_dir_all(part).map_err(Error::io(part))?;
    for (index, frame) in frames.into_iter().enumerate() {
        let file = part.join(format!("{index:03}.png"));
        frame.save(&file).map_err(Error::image(&file))?;
    }
    Ok(())
}
