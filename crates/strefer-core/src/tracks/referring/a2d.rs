//! A2D-Sentences (arXiv 1803.07485): lines of `video_id,instance_id,query`, and masks of some frames of each video.
//!
//! The masks are published as HDF5 (`a2d_annotation_with_instances/VIDEO/FRAME.h5`), which is not read here. What is read is
//! a PNG an instance and frame beside or in the place of each, `VIDEO/FRAME_INSTANCE.png`, in which anything but 0 is
//! inside; `scripts/a2d-masks` writes those. Frames count from 1 there. `a2d_missed_videos.txt` and `Release/videoset.csv`, where they are, say which videos
//! are left out: those without annotations, and those for tests.

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use indexmap::IndexMap;
use serde::Deserialize;

use super::{NOUN, Take, entities, entity, provenance, tidy};
use crate::error::{Error, Result};
use crate::mask::Mask;
use crate::tracks::collect::{Collector, wrong};
use crate::tracks::{file, picture};

const DATASET: &str = "a2d-sentences";

/// How a mistake of the annotation names an instance.
const COPY: &str = "(copy)";

#[derive(Debug, Deserialize)]
struct Line {
    video_id: String,
    instance_id: String,
    query: String,
}

/// Reads the videos that are not for tests; gives the number of expressions that were left out.
pub(super) fn read(dir: &Path, fps: Option<f64>, take: &mut Take<'_>) -> Result<usize> {
    let inner = dir.join("text_annotations");
    let texts = if inner.is_dir() { inner } else { dir.to_owned() };
    let path = texts.join("a2d_annotation.txt");
    let left_out = left_out(dir, &texts)?;
    let mut videos: IndexMap<String, BTreeMap<u32, Vec<String>>> = IndexMap::new();
    let mut skipped = 0;
    let text = file::text(&path)?;
    let mut lines = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(text.as_bytes());
    for (at, line) in lines.deserialize::<Line>().enumerate() {
        // The first line names the columns.
        let bad = |reason: String| wrong(&path, format!("line {}", at + 2), reason);
        let line = line.map_err(|error| bad(error.to_string()))?;
        if left_out.contains(&line.video_id) || line.instance_id.ends_with(COPY) {
            skipped += 1;
            continue;
        }
        let instance = line.instance_id.parse::<u32>();
        let instance = instance.map_err(|_| bad(format!("instance {:?} is no number", line.instance_id)))?;
        if tidy(&line.query).is_empty() {
            return Err(bad("no words".to_owned()));
        }
        videos.entry(line.video_id).or_default().entry(instance).or_default().push(tidy(&line.query));
    }
    for (id, instances) in &videos {
        let folder = texts.join("a2d_annotation_with_instances").join(id);
        let mut collector = Collector::new(&folder);
        let eid = |instance: u32| format!("e{instance}");
        instances.keys().for_each(|instance| collector.declare(&eid(*instance), None));
        for (frame, instance, path) in pictures(&folder)? {
            if instances.contains_key(&instance) {
                let picture = picture::read(&path)?;
                let mask = Mask::from_fn(picture.height, picture.width, |y, x| {
                    picture.numbers[y * picture.width + x] > 0
                });
                collector.add(&eid(instance), frame - 1, &mask, &format!("frame {frame}"))?;
            }
        }
        let mut masklets = collector.finish(id.clone(), fps, None)?;
        masklets.provenance = Some(provenance(DATASET));
        let items = instances.iter().map(|(&instance, words)| entity(&eid(instance), words, NOUN));
        take(entities(DATASET, id, items.collect()), masklets)?;
    }
    Ok(skipped)
}

/// Videos without annotations and videos for tests, as far as files say so.
fn left_out(dir: &Path, texts: &Path) -> Result<HashSet<String>> {
    let mut names = HashSet::new();
    let missed = texts.join("a2d_missed_videos.txt");
    if missed.is_file() {
        names.extend(file::text(&missed)?.lines().map(|line| line.trim().to_owned()));
    }
    let sets = dir.join("Release/videoset.csv");
    if sets.is_file() {
        let text = file::text(&sets)?;
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
            // Name, label, start, end, height, width, frames, annotated frames, set: 0 is for training.
            match line.split(',').map(str::trim).collect::<Vec<_>>().as_slice() {
                [_, .., "0"] => {}
                [name, .., "1"] => drop(names.insert((*name).to_owned())),
                _ => {
                    let reason = "its last column is neither 0 (training) nor 1 (test)";
                    return Err(wrong(&sets, format!("line {}", at + 1), reason));
                }
            }
        }
    }
    Ok(names)
}

/// The pictures of a video with their frames, from 1, and instances.
fn pictures(folder: &Path) -> Result<Vec<(u32, u32, PathBuf)>> {
    let io = |source| Error::Io { path: folder.to_owned(), source };
    let (mut found, mut published) = (Vec::new(), None);
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        let ending = path.extension().map(|ending| ending.to_string_lossy().into_owned());
        match ending.as_deref() {
            Some("png") => {
                let stem =
                    path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
                let numbers = stem
                    .split_once('_')
                    .and_then(|(frame, instance)| Some((frame.parse().ok()?, instance.parse().ok()?)));
                let Some((frame, instance)) = numbers.filter(|(frame, _)| *frame > 0) else {
                    let reason = "its name is not FRAME_INSTANCE.png, with frames from 1";
                    return Err(wrong(&path, "picture", reason));
                };
                found.push((frame, instance, path));
            }
            Some("h5") => published = Some(path),
            _ => {}
        }
    }
    found.sort();
    match published {
        Some(path) if found.is_empty() => {
            let reason = "HDF5 is not read: write its masks as PNGs first (scripts/a2d-masks)";
            Err(wrong(&path, "masks", reason))
        }
        _ => Ok(found),
    }
}
