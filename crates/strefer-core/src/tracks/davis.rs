//! A folder of PNGs whose colours are objects, as DAVIS and YouTube-VOS have them: colour 0 is nobody, 255 of a palette is
//! not annotated.

use std::collections::BTreeMap;
use std::path::Path;

use super::collect::{Collector, frame_count, known_size, mask_of, wrong};
use super::picture::{self, Picture};
use super::{ReadOptions, collect, file};
use crate::error::Result;
use crate::mask::Mask;
use crate::masklet::FrameKey;
use crate::records::Masklets;

/// Pixels of a palette that nobody annotated.
const VOID: u16 = 255;

/// The masklets of a folder; colour 1 is `e0`.
pub fn read(folder: &Path, options: &ReadOptions) -> Result<Masklets> {
    let files = file::numbered(folder)?;
    let mut collector = Collector::new(folder);
    for (frame, path) in &files {
        let picture = picture::read(path)?;
        for (number, mask) in masks(&picture, |number| number == 0 || (picture.palette && number == VOID)) {
            let eid = format!("e{}", number - 1);
            collector.add(&eid, *frame, &mask, &format!("frame {frame}"))?;
        }
    }
    collector.sort();
    let count = files.last().map(|(last, _)| *last as usize + 1);
    collector.finish(collect::video_id(folder, options), options.fps, count)
}

/// The mask of every number of a picture that counts.
pub(super) fn masks(picture: &Picture, skip: impl Fn(u16) -> bool) -> BTreeMap<u16, Mask> {
    let mut masks: BTreeMap<u16, Mask> = BTreeMap::new();
    for (at, &number) in picture.numbers.iter().enumerate() {
        if !skip(number) {
            let mask = masks.entry(number).or_insert_with(|| Mask::zeros(picture.height, picture.width));
            mask.set(at / picture.width, at % picture.width, true);
        }
    }
    masks
}

/// Pictures of every frame, with `number` of each object.
///
/// # Errors
/// A pixel that belongs to two objects: one number cannot say so.
pub(super) fn pictures(
    path: &Path,
    masklets: &Masklets,
    numbers: &[u16],
    mut take: impl FnMut(u32, Picture) -> Result<()>,
) -> Result<()> {
    let (height, width) = known_size(path, masklets)?;
    let (height, width) = (height as usize, width as usize);
    for frame in 0..frame_count(masklets) as u32 {
        let mut picture = Picture { height, width, numbers: vec![0; height * width], palette: true };
        for (object, &number) in masklets.objects.iter().zip(numbers) {
            let Some(entry) = object.frames.get(&FrameKey(frame)) else { continue };
            let mask = mask_of(path, &object.eid, FrameKey(frame), entry)?;
            for (pixel, _) in mask.as_slice().iter().enumerate().filter(|(_, inside)| **inside != 0) {
                let other = std::mem::replace(&mut picture.numbers[pixel], number);
                if other != 0 {
                    let whose = numbers.iter().position(|number| *number == other);
                    let whose = whose.map_or("?", |at| masklets.objects[at].eid.as_str());
                    let reason = format!(
                        "objects {whose} and {} share pixels, a picture cannot show both (smaller_in_front parts them)",
                        object.eid
                    );
                    return Err(wrong(path, format!("frame {frame}"), reason));
                }
            }
        }
        take(frame, picture)?;
    }
    Ok(())
}

/// Writes a picture for every frame.
pub fn write(folder: &Path, masklets: &Masklets) -> Result<()> {
    if masklets.objects.len() >= usize::from(VOID) {
        let reason = format!("{} objects, a palette has colours for 254", masklets.objects.len());
        return Err(wrong(folder, format!("video {}", masklets.video_id), reason));
    }
    let numbers: Vec<u16> = (1..=masklets.objects.len() as u16).collect();
    file::folder(folder, |inner| {
        pictures(folder, masklets, &numbers, |frame, picture| {
            picture::write_palette(&inner.join(format!("{frame:05}.png")), &picture)
        })
    })
}
