//! Worlds on disk: `world.json`, `videos/<id>.mp4` (or folders of images) and `truth.jsonl`, one clip a line.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use strefer_video::write::{Encoding, VideoWriter, write_frames_dir};

use crate::config::{Split, WorldConfig};
use crate::error::{Error, Result};
use crate::truth::ClipTruth;
use crate::world::Clip;

const MANIFEST: &str = "world.json";
const TRUTH: &str = "truth.jsonl";
const VIDEOS: &str = "videos";
/// Truth of clips that are finished while others are not.
const FINISHED: &str = "finished";

/// What a folder of clips was made from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldManifest {
    /// The world.
    pub config: WorldConfig,
    /// The split.
    pub split: Split,
    /// The seed.
    pub seed: u64,
    /// Whether clips are video files; folders of images otherwise.
    pub video_files: bool,
}

/// Renders the clips of `range` into `out_dir`, as video files where the crate has FFmpeg and else as folders of images.
///
/// Clips that are there already are kept, so a stopped run goes on where it was, and a larger range adds to a smaller one.
/// `progress` is told the number of finished clips after each.
pub fn write_world(
    cfg: &WorldConfig,
    split: Split,
    seed: u64,
    range: Range<u64>,
    out_dir: &Path,
    progress: &(dyn Fn(usize) + Sync),
) -> Result<()> {
    cfg.validate()?;
    let video_files = cfg!(feature = "ffmpeg");
    let manifest = WorldManifest { config: cfg.clone(), split, seed, video_files };
    open_folder(out_dir, &manifest)?;

    let truth_file = out_dir.join(TRUTH);
    let known: BTreeMap<u64, String> = if truth_file.exists() {
        lines(&truth_file)?.into_iter().map(|(truth, line)| (truth.index, line)).collect()
    } else {
        BTreeMap::new()
    };
    let finished_count = AtomicUsize::new(0);
    range.clone().into_par_iter().try_for_each(|index| {
        if !known.contains_key(&index) {
            finish_clip(cfg, split, seed, index, out_dir)?;
        }
        progress(finished_count.fetch_add(1, Ordering::Relaxed) + 1);
        Ok(())
    })?;
    gather(out_dir, known, split, seed, range)
}

/// The clips of a folder that [`write_world`] has completed.
pub fn read_truth(out_dir: &Path) -> Result<Vec<ClipTruth>> {
    Ok(lines(&out_dir.join(TRUTH))?.into_iter().map(|(truth, _)| truth).collect())
}

fn lines(file: &Path) -> Result<Vec<(ClipTruth, String)>> {
    let reader = BufReader::new(fs::File::open(file).map_err(Error::io(file))?);
    let mut found = Vec::new();
    for (number, line) in reader.lines().enumerate() {
        let line = line.map_err(Error::io(file))?;
        let truth = serde_json::from_str(&line).map_err(|source| Error::Record {
            path: file.into(),
            line: number + 1,
            source,
        })?;
        found.push((truth, line));
    }
    Ok(found)
}

/// Makes the folder, or checks that it holds this world.
fn open_folder(dir: &Path, manifest: &WorldManifest) -> Result<()> {
    let foreign = |what: &str| Error::ForeignFolder { path: dir.into(), what: what.into() };
    let file = dir.join(MANIFEST);
    if file.exists() {
        let text = fs::read_to_string(&file).map_err(Error::io(&file))?;
        let there: WorldManifest = serde_json::from_str(&text).map_err(|source| Error::Record {
            path: file.clone(),
            line: source.line(),
            source,
        })?;
        if there != *manifest {
            return Err(foreign("holds another world"));
        }
    } else if dir.exists() {
        let mut entries = fs::read_dir(dir).map_err(Error::io(dir))?;
        if entries.next().is_some() {
            return Err(foreign("is no world and not empty"));
        }
    }
    for sub in [VIDEOS, FINISHED] {
        let sub = dir.join(sub);
        fs::create_dir_all(&sub).map_err(Error::io(&sub))?;
    }
    let text = serde_json::to_string_pretty(manifest).map_err(|source| Error::Record {
        path: file.clone(),
        line: 1,
        source,
    })?;
    write_whole(&file, &format!("{text}\n"))
}

fn finished_file(dir: &Path, split: Split, seed: u64, index: u64) -> PathBuf {
    dir.join(FINISHED).join(format!("{}-{seed}-{index:06}.json", split.name()))
}

/// Renders a clip unless it is there. Its truth is written last: it says that the video is complete.
fn finish_clip(cfg: &WorldConfig, split: Split, seed: u64, index: u64, dir: &Path) -> Result<()> {
    let file = finished_file(dir, split, seed, index);
    if file.exists() {
        return Ok(());
    }
    let clip = Clip::generate(cfg, split, seed, index)?;
    let truth = film_to_disk(&clip, cfg, dir).map_err(|source| Error::Video { id: clip.id(), source })?;
    let line = serde_json::to_string(&truth).map_err(|source| Error::Record {
        path: file.clone(),
        line: 1,
        source,
    })?;
    write_whole(&file, &line)
}

fn film_to_disk(clip: &Clip, cfg: &WorldConfig, dir: &Path) -> strefer_video::Result<ClipTruth> {
    let target = dir.join(VIDEOS).join(clip.id());
    if !cfg!(feature = "ffmpeg") {
        let mut images = Vec::with_capacity(clip.n_frames());
        let truth = clip.film(|image| {
            images.push(image);
            Ok::<(), strefer_video::Error>(())
        })?;
        // A folder without its truth is left from a run that was stopped in between.
        if target.exists() {
            fs::remove_dir_all(&target)
                .map_err(|source| strefer_video::Error::Io { path: target.clone(), source })?;
        }
        write_frames_dir(&target, &images)?;
        return Ok(truth);
    }
    let encoding = Encoding { fps: cfg.fps, crf: cfg.crf, preset: "ultrafast".into(), ..Encoding::default() };
    let mut writer =
        VideoWriter::create(target.with_extension("mp4"), cfg.image_size, cfg.image_size, &encoding)?;
    let truth = clip.film(|image| writer.push(&image))?;
    writer.finish()?;
    Ok(truth)
}

/// Puts the truth of all finished clips into one file, in the order of their indices.
fn gather(
    dir: &Path,
    mut known: BTreeMap<u64, String>,
    split: Split,
    seed: u64,
    range: Range<u64>,
) -> Result<()> {
    let mut gathered = Vec::new();
    for index in range {
        let file = finished_file(dir, split, seed, index);
        if file.exists() {
            known.insert(index, fs::read_to_string(&file).map_err(Error::io(&file))?);
            gathered.push(file);
        }
    }
    if !gathered.is_empty() || !dir.join(TRUTH).exists() {
        let target = dir.join(TRUTH);
        let part = target.with_extension("part");
        let mut writer = BufWriter::new(fs::File::create(&part).map_err(Error::io(&part))?);
        for line in known.values() {
            writeln!(writer, "{line}").map_err(Error::io(&part))?;
        }
        writer.flush().map_err(Error::io(&part))?;
        fs::rename(&part, &target).map_err(Error::io(&target))?;
    }
    for file in gathered {
        fs::remove_file(&file).map_err(Error::io(&file))?;
    }
    Ok(())
}

fn write_whole(file: &Path, text: &str) -> Result<()> {
    let part = file.with_extension("part");
    fs::write(&part, text).map_err(Error::io(&part))?;
    fs::rename(&part, file).map_err(Error::io(file))
}
