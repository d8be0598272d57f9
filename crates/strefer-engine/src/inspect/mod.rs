//! A run as pages to look at: an index, and a page a video with frames and masks, the line of its parts, the transcript, what was said
//! about single objects, questions and answers, and what made each of them.

mod pictures;
mod view;

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use minijinja::value::Serde;
use minijinja::{AutoEscape, Environment};
use serde::Serialize;
use strefer_core::Sample;
use strefer_core::jsonl::{Reader, read_records};
use strefer_core::records::Descriptions;

use crate::error::{Error, Result};
use crate::pipeline::fault::Failure;
use crate::stages::{self, Stages};

pub use view::VideoView;

/// Which part of a run is shown, and how.
#[derive(Debug, Clone, PartialEq)]
pub struct InspectOptions {
    /// Most videos, from the first on.
    pub most_videos: usize,
    /// Frames of a video.
    pub frames: usize,
    /// Width of a frame on the page, in pixels.
    pub width: u32,
}

impl Default for InspectOptions {
    fn default() -> Self {
        Self { most_videos: 200, frames: 8, width: 320 }
    }
}

/// A line of the index.
#[derive(Debug, Serialize)]
struct Entry {
    video_id: String,
    page: String,
    duration_s: f64,
    entities: usize,
    parts: usize,
    samples: usize,
    turns: usize,
    flags: Vec<String>,
}

/// Writes the pages of a run's folder into a new folder. Videos lie where records say, below `media_root`; one that is not
/// there is shown without frames.
///
/// # Errors
/// A folder that is no run or not joined yet, files that cannot be written, a target that exists.
pub fn write(run: &Path, media_root: &Path, out: &Path, options: &InspectOptions) -> Result<usize> {
    let refuse = |reason: &str| Error::OutputFolder { dir: out.to_owned(), reason: reason.to_owned() };
    if out.exists() {
        return Err(refuse("it exists; name a new folder"));
    }
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    let mut by_video = samples(run)?;
    let descriptions = descriptions(run)?;
    let notes = notes(run)?;
    let failures: Vec<Failure> = lines(&run.join("failures.jsonl"))?;
    let videos = out.join("videos");
    std::fs::create_dir_all(&videos).map_err(io(&videos))?;
    let mut entries = Vec::new();
    for (nth, found) in stages::read(run)?.take(options.most_videos).enumerate() {
        let found: Stages = found?;
        let id = found.video.video_id.clone();
        let name = format!("{nth:05}");
        let samples = by_video.remove(&id).unwrap_or_default();
        let shots =
            pictures::write(&found, &media_root.join(&found.video.uri), &videos.join(&name), options)?;
        let of_video = notes.get(&id).map_or(&[][..], Vec::as_slice);
        let view = VideoView::new(&found, descriptions.get(&id), &samples, of_video, shots);
        let page = format!("videos/{name}.html");
        let path = out.join(&page);
        std::fs::write(&path, render(include_str!("video.html"), &view)?).map_err(io(&path))?;
        entries.push(Entry {
            video_id: id,
            page,
            duration_s: found.video.duration_s,
            entities: found.entities.items.len(),
            parts: found.clips.items.len(),
            samples: samples.len(),
            turns: samples.iter().map(|sample| sample.conversations.len() / 2).sum(),
            flags: view.flags(),
        });
    }
    #[derive(Serialize)]
    struct Index<'a> {
        run: String,
        entries: &'a [Entry],
        flags: Vec<&'a String>,
        failures: Vec<(&'a str, String, u32)>,
    }
    let mut flags: Vec<&String> = entries.iter().flat_map(|entry| &entry.flags).collect();
    flags.sort();
    flags.dedup();
    let failed = failures.iter().map(|failure| {
        let stage = failure.stage.map_or(String::new(), |stage| format!("{stage}: "));
        (failure.video_id.as_str(), format!("{stage}{}", failure.fault), failure.tries)
    });
    let index =
        Index { run: run.display().to_string(), flags, failures: failed.collect(), entries: &entries };
    let path = out.join("index.html");
    std::fs::write(&path, render(include_str!("index.html"), &index)?).map_err(io(&path))?;
    Ok(entries.len())
}

/// A template filled with data; what is put in is escaped.
fn render(template: &str, data: &impl Serialize) -> Result<String> {
    let mut environment = Environment::new();
    environment.set_auto_escape_callback(|_| AutoEscape::Html);
    let page = environment.render_str(template, Serde(data));
    page.map_err(|error| Error::Config(format!("the page: {error}")))
}

/// Samples by video.
fn samples(run: &Path) -> Result<HashMap<String, Vec<Sample>>> {
    let plain = run.join("samples.jsonl");
    let path: PathBuf = if plain.is_file() { plain } else { run.join("samples.jsonl.zst") };
    if !path.is_file() {
        let reason = "it holds no samples; let the run finish, or join it (engine run --join)".to_owned();
        return Err(Error::OutputFolder { dir: run.to_owned(), reason });
    }
    let mut by_video: HashMap<String, Vec<Sample>> = HashMap::new();
    for sample in read_records::<Sample>(&path)? {
        let sample = sample?;
        by_video.entry(sample.video_id.clone()).or_default().push(sample);
    }
    Ok(by_video)
}

/// What was said about single objects, by video; nothing where the run is about something else.
fn descriptions(run: &Path) -> Result<HashMap<String, Descriptions>> {
    let plain = run.join("descriptions.jsonl");
    let path = if plain.is_file() { plain } else { run.join("descriptions.jsonl.zst") };
    if !path.is_file() {
        return Ok(HashMap::new());
    }
    let records = read_records::<Descriptions>(&path)?;
    Ok(records
        .map(|said| said.map(|said| (said.video_id.clone(), said)))
        .collect::<strefer_core::Result<_>>()?)
}

/// Notes by video.
fn notes(run: &Path) -> Result<BTreeMap<String, Vec<serde_json::Value>>> {
    let mut notes: BTreeMap<String, Vec<serde_json::Value>> = BTreeMap::new();
    for note in lines::<serde_json::Value>(&run.join("notes.jsonl"))? {
        let video_id = note["video_id"].as_str().unwrap_or_default().to_owned();
        notes.entry(video_id).or_default().push(note);
    }
    Ok(notes)
}

fn lines<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Vec<T>> {
    if !path.is_file() {
        return Ok(Vec::new());
    }
    Ok(Reader::<T>::open(path)?.collect::<strefer_core::Result<Vec<T>>>()?)
}
