//! MOTS (arXiv 1902.03604): pictures of 16 bits whose pixels are `1000 class + instance`, or lines of text with
//! `frame id class height width mask`. Class 1 is a car, 2 a pedestrian, 10 was not annotated.

use std::path::Path;

use super::collect::{Collector, known_size, mask_of, wrong};
use super::davis::{masks, pictures};
use super::{ReadOptions, collect, file, picture};
use crate::error::Result;
use crate::masklet::FrameKey;
use crate::records::{Masklet, Masklets};
use crate::rle::Rle;

/// Instances of a class are below this, and a class is the rest.
const INSTANCES: u32 = 1000;

/// The class of what was not annotated.
const IGNORED: u32 = 10;

/// Classes with a name.
const NAMES: [(u32, &str); 2] = [(1, "car"), (2, "pedestrian")];

/// Largest class whose numbers have 16 bits.
const LAST_CLASS: u32 = 64;

fn label_of(class: u32) -> String {
    let known = NAMES.iter().find(|(number, _)| *number == class);
    known.map_or_else(|| format!("class {class}"), |(_, name)| (*name).to_owned())
}

fn class_of(label: &str) -> Option<u32> {
    if label == "person" {
        return Some(2);
    }
    let known = NAMES.iter().find(|(_, name)| *name == label).map(|(number, _)| *number);
    let told = || label.strip_prefix("class ")?.parse().ok();
    known.or_else(told).filter(|class| (1..LAST_CLASS).contains(class) && *class != IGNORED)
}

/// Objects are named by their numbers.
fn eid_of(number: u32) -> String {
    format!("e{number}")
}

/// The masklets of a folder of pictures.
pub fn read_folder(folder: &Path, options: &ReadOptions) -> Result<Masklets> {
    let files = file::numbered(folder)?;
    let mut collector = Collector::new(folder);
    for (frame, path) in &files {
        let picture = picture::read(path)?;
        let is_nobody = |number: u16| number == 0 || u32::from(number) / INSTANCES == IGNORED;
        for (number, mask) in masks(&picture, is_nobody) {
            let number = u32::from(number);
            if number < INSTANCES {
                let reason = format!("pixels of {number}, which are of no class: is it a folder of DAVIS?");
                return Err(wrong(path, "picture", reason));
            }
            let eid = eid_of(number);
            collector.declare(&eid, Some(&label_of(number / INSTANCES)));
            collector.add(&eid, *frame, &mask, &format!("frame {frame}"))?;
        }
    }
    collector.sort();
    let count = files.last().map(|(last, _)| *last as usize + 1);
    collector.finish(collect::video_id(folder, options), options.fps, count)
}

/// The masklets of a text file.
pub fn read_text(path: &Path, options: &ReadOptions) -> Result<Masklets> {
    let text = file::text(path)?;
    let mut collector = Collector::new(path);
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let record = format!("line {}", at + 1);
        let bad = |reason: String| wrong(path, &record, reason);
        let fields: Vec<&str> = line.split_whitespace().collect();
        let [frame, id, class, height, width, counts] = fields[..] else {
            return Err(bad(format!(
                "{} fields, not frame, id, class, height, width and mask",
                fields.len()
            )));
        };
        let number = |name: &str, text: &str| {
            text.parse::<u32>().map_err(|_| bad(format!("the {name} {text:?} is no number")))
        };
        let (frame, id, class) = (number("frame", frame)?, number("id", id)?, number("class", class)?);
        if class == IGNORED {
            continue;
        }
        if id / INSTANCES != class {
            return Err(bad(format!("id {id} is not one of class {class}")));
        }
        let (height, width) = (number("height", height)?, number("width", width)?);
        let rle = Rle::from_compressed(height, width, counts).map_err(|error| bad(error.to_string()))?;
        let eid = eid_of(id);
        collector.declare(&eid, Some(&label_of(class)));
        collector.add(&eid, frame, &rle.to_mask(), &record)?;
    }
    collector.sort();
    collector.finish(collect::video_id(path, options), options.fps, None)
}

/// The number of every object: the one that its name tells, where that is one of its class and free, else the next free.
fn numbers(path: &Path, masklets: &Masklets) -> Result<Vec<u16>> {
    let mut taken: Vec<u32> = Vec::new();
    let number = |object: &Masklet| {
        let bad = |reason: String| wrong(path, format!("object {}", object.eid), reason);
        let label = object
            .detector_label
            .as_deref()
            .ok_or_else(|| bad("it has no label: MOTS knows car, pedestrian and \"class N\"".to_owned()))?;
        let class = class_of(label).ok_or_else(|| {
            bad(format!("MOTS has no class for {label:?}, only car, pedestrian and \"class N\""))
        })?;
        let own = object.eid.strip_prefix('e').and_then(|id| id.parse::<u32>().ok());
        let own = own.filter(|own| own / INSTANCES == class && !taken.contains(own));
        let next = || (INSTANCES * class + 1..INSTANCES * (class + 1)).find(|free| !taken.contains(free));
        let number = own.or_else(next).ok_or_else(|| bad(format!("more than 999 objects of {label:?}")))?;
        taken.push(number);
        Ok(number as u16)
    };
    masklets.objects.iter().map(number).collect()
}

/// Writes a picture for every frame.
pub fn write_folder(folder: &Path, masklets: &Masklets) -> Result<()> {
    let numbers = numbers(folder, masklets)?;
    file::folder(folder, |inner| {
        pictures(folder, masklets, &numbers, |frame, picture| {
            picture::write_deep(&inner.join(format!("{frame:06}.png")), &picture)
        })
    })
}

/// Writes a text file, frame by frame.
pub fn write_text(path: &Path, masklets: &Masklets) -> Result<()> {
    let (height, width) = known_size(path, masklets)?;
    let numbers = numbers(path, masklets)?;
    let mut lines: Vec<(u32, u16, String)> = Vec::new();
    for (object, number) in masklets.objects.iter().zip(numbers) {
        for (FrameKey(frame), entry) in &object.frames {
            let mask = mask_of(path, &object.eid, FrameKey(*frame), entry)?;
            let counts = Rle::from_mask(&mask).to_compressed();
            let class = u32::from(number) / INSTANCES;
            lines.push((*frame, number, format!("{frame} {number} {class} {height} {width} {counts}\n")));
        }
    }
    lines.sort();
    let text: String = lines.into_iter().map(|(_, _, line)| line).collect();
    file::replace(path, text.as_bytes())
}
