//! One video while stages work on it.

use std::cell::OnceCell;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use strefer_core::records::{Video, VideoKind};
use strefer_core::sample::Schema;
use strefer_store::Held;
use strefer_video::{Limits, VideoSource};

use super::digest;
use super::fault::Fault;
use super::input::{Given, Input};
use super::watch::Watch;
use crate::error::Error;

/// One video: its measures, the digest of its content, what is given about it, and its frames once they are wanted.
pub struct AtHand<'a> {
    /// Where it came from.
    pub input: &'a Input,
    /// Records that are there already.
    pub given: Given,
    /// Its measures.
    pub video: Video,
    /// Digest of its content.
    pub digest: String,
    limits: Limits,
    /// Of one that lies at an address.
    copy: OnceCell<Held>,
    source: OnceCell<VideoSource>,
}

/// What is remembered about a video file, so that it is not read again to know its digest.
#[derive(Debug, Serialize, Deserialize)]
struct Remembered {
    state: String,
    digest: String,
    video: Video,
}

/// Looks at videos, and remembers what it saw in a folder.
#[derive(Debug, Clone)]
pub struct Desk {
    dir: PathBuf,
    limits: Limits,
    /// Whether what is seen is written down.
    writes: bool,
}

impl Desk {
    /// Remembers below `dir`.
    pub fn new(dir: impl Into<PathBuf>, limits: Limits) -> Self {
        Self { dir: dir.into(), limits, writes: true }
    }

    /// The same, but what is seen is not remembered for later.
    #[must_use]
    pub fn without_writing(self) -> Self {
        Self { writes: false, ..self }
    }

    /// Looks at a video. One that was seen before and did not change since is not read.
    ///
    /// # Errors
    /// A video that cannot be read, given records that cannot, no time.
    pub fn take<'a>(&self, input: &'a Input, watch: &Watch<'_>) -> Result<AtHand<'a>, Fault> {
        watch.check()?;
        let given = input.known.as_ref().map_or(Ok(Given::default()), |known| known.given())?;
        let limits = Limits {
            deadline: self.limits.deadline.min(watch.left().max(Duration::from_millis(1))),
            ..self.limits.clone()
        };
        let mut at = AtHand {
            input,
            digest: String::new(),
            video: placeholder(input),
            given,
            limits,
            copy: OnceCell::new(),
            source: OnceCell::new(),
        };
        match (&at.given.truth, &at.given.video) {
            // A synthetic video is a function of what is true of it.
            (Some(truth), Some(video)) => {
                (at.digest, at.video) = (digest::of_value(truth)?, video.clone());
            }
            (_, Some(video)) if input.shelf.is_none() && !input.path.exists() => {
                (at.digest, at.video) = (digest::of_value(video)?, video.clone());
            }
            _ => {
                let seen = self.look(&at)?;
                (at.digest, at.video) = (seen.digest, seen.video);
                if let Some(video) = &at.given.video {
                    at.video = video.clone();
                }
            }
        }
        at.video.video_id.clone_from(&input.video_id);
        at.video.uri.clone_from(&input.uri);
        Ok(at)
    }

    fn look(&self, at: &AtHand<'_>) -> Result<Remembered, Fault> {
        let path = &at.input.path;
        let unreadable = |error: Error| Fault::Unreadable { reason: error.to_string() };
        let state = match &at.input.shelf {
            None => digest::state_of(path),
            Some(shelf) => shelf.version_of(&path.to_string_lossy()).map_err(Error::Store),
        };
        let state = state.map_err(unreadable)?;
        let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
        let file = self.dir.join(&name[..2]).join(format!("{}.json", &name[..24]));
        let known =
            std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Remembered>(&text).ok());
        if let Some(known) = known.filter(|known| known.state == state) {
            return Ok(known);
        }
        let source = at.source()?;
        let info = source.info();
        let kind = if path.is_dir() { VideoKind::FramesDir } else { VideoKind::File };
        let video = Video {
            fps: info.fps,
            n_frames: info.n_frames(),
            duration_s: info.duration_s,
            width: info.width,
            height: info.height,
            kind,
            ..at.video.clone()
        };
        let seen = Remembered { state, digest: digest::of_path(at.path()?).map_err(unreadable)?, video };
        if self.writes {
            remember(&file, &seen).map_err(|error| Fault::of_disk(&error))?;
        }
        Ok(seen)
    }
}

fn remember(file: &Path, seen: &Remembered) -> Result<(), Error> {
    let parent = file.parent().unwrap_or(Path::new(""));
    std::fs::create_dir_all(parent).map_err(|source| Error::Io { path: parent.to_owned(), source })?;
    let mut writer = strefer_core::jsonl::Writer::create(file)?;
    writer.write(seen)?;
    Ok(writer.finish()?)
}

fn placeholder(input: &Input) -> Video {
    Video {
        schema: Schema::V1,
        video_id: input.video_id.clone(),
        uri: input.uri.clone(),
        kind: VideoKind::File,
        fps: 0.0,
        n_frames: 0,
        duration_s: 0.0,
        width: 0,
        height: 0,
        sha256: None,
        license: None,
    }
}

impl AtHand<'_> {
    /// Where it is: of one at an address a copy, which stays as long as this.
    ///
    /// # Errors
    /// It cannot be brought.
    pub fn path(&self) -> Result<&Path, Fault> {
        let Some(shelf) = &self.input.shelf else { return Ok(&self.input.path) };
        if let Some(copy) = self.copy.get() {
            return Ok(copy.path());
        }
        let brought = shelf.fetch(&self.input.path.to_string_lossy());
        let copy = brought.map_err(|error| Fault::Unreadable { reason: error.to_string() })?;
        Ok(self.copy.get_or_init(|| copy).path())
    }

    /// Its frames.
    ///
    /// # Errors
    /// It cannot be opened.
    pub fn source(&self) -> Result<&VideoSource, Fault> {
        if let Some(source) = self.source.get() {
            return Ok(source);
        }
        let folder_fps = if self.video.fps > 0.0 { self.video.fps } else { self.limits.folder_fps };
        let limits = Limits { folder_fps, ..self.limits.clone() };
        let opened = VideoSource::open(self.path()?, &limits);
        let source = opened.map_err(|error| Fault::Unreadable { reason: error.to_string() })?;
        Ok(self.source.get_or_init(|| source))
    }
}
