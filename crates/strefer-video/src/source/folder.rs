//! A folder of images as a video.

use std::cmp::Ordering;
use std::path::{Path, PathBuf};

use image::{ImageReader, RgbImage};

use crate::error::{Error, Result};
use crate::frame::VideoInfo;
use crate::limits::{Clock, Limits};

/// The images of a folder, in order.
#[derive(Debug, Clone)]
pub(super) struct Folder {
    files: Vec<PathBuf>,
}

/// Whether the name says that the file is an image.
pub fn is_image(path: &Path) -> bool {
    let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
    let extension = path.extension().map(|extension| extension.to_string_lossy().to_ascii_lowercase());
    !hidden && extension.is_some_and(|e| matches!(e.as_str(), "jpg" | "jpeg" | "png" | "webp"))
}

pub(super) fn open(path: &Path, limits: &Limits) -> Result<(VideoInfo, Folder)> {
    let mut files = Vec::new();
    if path.is_dir() {
        for entry in std::fs::read_dir(path).map_err(Error::io(path))? {
            files.push(entry.map_err(Error::io(path))?.path());
        }
        files.retain(|file| is_image(file));
    } else {
        files.push(path.to_path_buf());
    }
    let name = |file: &PathBuf| file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    files.sort_by(|left, right| numeric_order(&name(left), &name(right)));

    let first = files.first().ok_or_else(|| Error::NoFrames { path: path.into() })?;
    let (width, height) = reader(first)?.into_dimensions().map_err(Error::image(first))?;
    let fps = limits.folder_fps;
    if !(fps > 0.0 && fps.is_finite()) {
        return Err(Error::corrupt(path, format!("a folder cannot run at {fps} frames a second")));
    }
    let times_s: Vec<f64> = (0..files.len()).map(|index| index as f64 / fps).collect();
    let duration_s = files.len() as f64 / fps;
    Ok((VideoInfo { width, height, fps, duration_s, times_s }, Folder { files }))
}

impl Folder {
    /// The images with these indices.
    pub(super) fn images(
        &self,
        path: &Path,
        info: &VideoInfo,
        limits: &Limits,
        wanted: &[usize],
    ) -> Result<Vec<RgbImage>> {
        let clock = limits.clock();
        wanted.iter().map(|&index| load(&self.files[index], path, info, &clock)).collect()
    }
}

fn load(file: &Path, folder: &Path, info: &VideoInfo, clock: &Clock) -> Result<RgbImage> {
    clock.check(folder)?;
    let (width, height) = reader(file)?.into_dimensions().map_err(Error::image(file))?;
    if (width, height) != (info.width, info.height) {
        let (w, h) = (info.width, info.height);
        return Err(Error::corrupt(
            file,
            format!("is {width}x{height}, the first frame of its video is {w}x{h}"),
        ));
    }
    Ok(reader(file)?.decode().map_err(Error::image(file))?.into_rgb8())
}

fn reader(file: &Path) -> Result<ImageReader<std::io::BufReader<std::fs::File>>> {
    ImageReader::open(file).and_then(ImageReader::with_guessed_format).map_err(Error::io(file))
}

/// Compares names with their numbers read as numbers: `f2.png` before `f10.png`.
fn numeric_order(left: &str, right: &str) -> Ordering {
    let (mut left_rest, mut right_rest) = (left, right);
    while let (Some(a), Some(b)) = (left_rest.chars().next(), right_rest.chars().next()) {
        if a.is_ascii_digit() && b.is_ascii_digit() {
            let (a, b) = (take_number(&mut left_rest), take_number(&mut right_rest));
            let order = a.len().cmp(&b.len()).then(a.cmp(b));
            if order != Ordering::Equal {
                return order;
            }
        } else if a != b {
            return a.cmp(&b);
        } else {
            left_rest = &left_rest[a.len_utf8()..];
            right_rest = &right_rest[b.len_utf8()..];
        }
    }
    left_rest.len().cmp(&right_rest.len()).then(left.cmp(right))
}

/// Splits the digits off the front, without leading zeros.
fn take_number<'a>(text: &mut &'a str) -> &'a str {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    *text = rest;
    digits.trim_start_matches('0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_by_their_numbers() {
        let mut names = vec!["f10.png", "f2.png", "f0010.png", "a.png", "f2b.png", "00003.jpg", "12.jpg"];
        names.sort_by(|a, b| numeric_order(a, b));
        assert_eq!(names, ["00003.jpg", "12.jpg", "a.png", "f2.png", "f2b.png", "f0010.png", "f10.png"]);
    }
}
