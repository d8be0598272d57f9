//! Videos in, files of records out: written whole, continued where it stopped, never over something else.
//!
//! Every finished video has a file of its own in `parts/`, named after the video, until all of them are joined in the
//! order of the input. A run that is started again skips the videos that are there.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strefer_core::jsonl::{Reader, Writer};
use strefer_core::records::Record;

use crate::config::EngineConfig;
use crate::error::{Error, Result};
use crate::facts::Facts;
use crate::instruct::{config_hash, generate};
use crate::stages::{STAGE_FILES, Stages};

/// The file that marks a folder as ours and says what it was made with.
const MARK: &str = "engine.json";
const FORMAT: &str = "strefer-engine/1";
const PARTS: &str = "parts";
const SAMPLES: &str = "samples";

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mark {
    format: String,
    config_hash: String,
    config: EngineConfig,
}

/// What a run did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Videos in the files.
    pub videos: usize,
    /// Of these, videos that were there already.
    pub kept: usize,
    /// Samples in the files.
    pub samples: usize,
    /// Questions and answers in them.
    pub turns: usize,
}

/// Reads every input, generates, and writes `videos`, `entities`, `masklets`, `clips`, `transcript` and `samples` as
/// JSON Lines into `out_dir`. `progress` hears the id of every video when it is done.
///
/// # Errors
/// A folder that holds something else or was made with another configuration, inputs that contradict themselves, a
/// video id that comes twice, files that cannot be written. What is finished stays for the next run.
pub fn run(
    inputs: impl IntoIterator<Item = Result<Stages>>,
    out_dir: &Path,
    cfg: &EngineConfig,
    mut progress: impl FnMut(&str),
) -> Result<Summary> {
    cfg.instruct.validate()?;
    claim(out_dir, cfg)?;
    let mut seen = HashSet::new();
    let mut order = Vec::new();
    let mut summary = Summary::default();
    let finished = finished_ids(out_dir, cfg)?;
    for stages in inputs {
        let stages = stages?;
        let video_id = stages.video.video_id.clone();
        if !seen.insert(video_id.clone()) {
            return Err(Error::NameTwice { video_id: video_id.clone(), name: video_id });
        }
        let part = part_path(out_dir, &video_id);
        if finished.contains(&video_id) {
            summary.kept += 1;
        } else {
            if part.is_file() {
                summary.kept += 1;
            } else {
                write_part(&part, stages, cfg)?;
            }
            order.push(part);
        }
        progress(&video_id);
    }
    let (videos, samples, turns) = join(out_dir, &order, cfg)?;
    Ok(Summary { videos, samples, turns, ..summary })
}

/// Makes the folder ours, or finds that it is.
fn claim(out_dir: &Path, cfg: &EngineConfig) -> Result<()> {
    let hash = config_hash(cfg)?;
    let refuse = |reason: String| Err(Error::OutputFolder { dir: out_dir.to_owned(), reason });
    let mark = out_dir.join(MARK);
    if mark.is_file() {
        let text = fs::read(&mark).map_err(io_error(&mark))?;
        let known: Mark = match serde_json::from_slice(&text) {
            Ok(known) => known,
            Err(error) => return refuse(format!("its {MARK} cannot be read: {error}")),
        };
        if known.format != FORMAT || known.config_hash != hash {
            return refuse("it was made with another configuration; name another folder".to_owned());
        }
    } else {
        if out_dir.exists() {
            let mut entries = fs::read_dir(out_dir).map_err(io_error(out_dir))?;
            if entries.next().is_some() {
                return refuse(format!("it exists and holds no {MARK}; name a new folder"));
            }
        }
        fs::create_dir_all(out_dir).map_err(io_error(out_dir))?;
        let value = Mark { format: FORMAT.to_owned(), config_hash: hash, config: cfg.clone() };
        let mut writer = Writer::create(&mark)?;
        writer.write(&value)?;
        writer.finish()?;
    }
    let parts = out_dir.join(PARTS);
    fs::create_dir_all(&parts).map_err(io_error(&parts))
}

fn io_error(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

fn part_path(out_dir: &Path, video_id: &str) -> PathBuf {
    let name = blake3::hash(video_id.as_bytes()).to_hex();
    out_dir.join(PARTS).join(format!("{}.jsonl", &name[..24]))
}

fn file(out_dir: &Path, name: &str, cfg: &EngineConfig) -> PathBuf {
    out_dir.join(format!("{name}.jsonl{}", if cfg.compress { ".zst" } else { "" }))
}

/// All records of one video, in a file that is there whole or not at all.
fn write_part(path: &Path, stages: Stages, cfg: &EngineConfig) -> Result<()> {
    let facts = Facts::new(&stages)?;
    let samples = generate(&facts, &cfg.instruct)?;
    let mut writer = Writer::create(path)?;
    for record in stages.into_records() {
        writer.write(&record)?;
    }
    for sample in samples {
        writer.write(&Record::Sample(Box::new(sample)))?;
    }
    Ok(writer.finish()?)
}

/// Ids of the videos that the joined files hold.
fn finished_ids(out_dir: &Path, cfg: &EngineConfig) -> Result<HashSet<String>> {
    let path = file(out_dir, SAMPLES, cfg);
    if !path.is_file() {
        return Ok(HashSet::new());
    }
    let mut ids = HashSet::new();
    for record in Reader::<Record>::open(file(out_dir, STAGE_FILES[0], cfg))? {
        if let Record::Video(video) = record? {
            ids.insert(video.video_id);
        }
    }
    Ok(ids)
}

/// Appends parts to what is joined already; counts videos, samples and turns. `samples` takes its name last: where it
/// is, all files are.
fn join(out_dir: &Path, parts: &[PathBuf], cfg: &EngineConfig) -> Result<(usize, usize, usize)> {
    let names: Vec<&str> = STAGE_FILES.into_iter().chain([SAMPLES]).collect();
    let paths: Vec<PathBuf> = names.iter().map(|name| file(out_dir, name, cfg)).collect();
    let is_joined = paths[names.len() - 1].is_file();
    let (mut videos, mut samples, mut turns) = (0, 0, 0);
    let mut count = |record: &Record| match record {
        Record::Video(_) => videos += 1,
        Record::Sample(sample) => {
            samples += 1;
            turns += sample.conversations.len() / 2;
        }
        _ => {}
    };
    if is_joined && parts.is_empty() {
        for path in [&paths[0], &paths[names.len() - 1]] {
            for record in Reader::<Record>::open(path)? {
                count(&record?);
            }
        }
        let _ = fs::remove_dir(out_dir.join(PARTS));
        return Ok((videos, samples, turns));
    }
    let mut writers = paths.iter().map(Writer::create).collect::<strefer_core::Result<Vec<Writer>>>()?;
    let mut add = |record: Record| {
        count(&record);
        let at = match record {
            Record::Video(_) => 0,
            Record::Entities(_) => 1,
            Record::Masklets(_) => 2,
            Record::Clips(_) => 3,
            Record::Transcript(_) => 4,
            Record::Sample(_) => 5,
        };
        writers[at].write(&record)
    };
    let joined: &[PathBuf] = if is_joined { &paths } else { &[] };
    for path in joined.iter().chain(parts) {
        for record in Reader::<Record>::open(path)? {
            add(record?)?;
        }
    }
    // While the files change, no name says that they belong together; the parts still hold what is new.
    let joined_samples = &paths[names.len() - 1];
    let aside = joined_samples.with_extension("old");
    if is_joined {
        fs::rename(joined_samples, &aside).map_err(io_error(joined_samples))?;
    }
    finish(writers)?;
    if aside.is_file() {
        fs::remove_file(&aside).map_err(io_error(&aside))?;
    }
    for part in parts {
        fs::remove_file(part).map_err(io_error(part))?;
    }
    let _ = fs::remove_dir(out_dir.join(PARTS));
    Ok((videos, samples, turns))
}

fn finish(writers: Vec<Writer>) -> Result<()> {
    for writer in writers {
        writer.finish()?;
    }
    Ok(())
}
