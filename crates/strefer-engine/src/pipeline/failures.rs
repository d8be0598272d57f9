//! Videos that came to nothing, a file each, until they come to something.

use std::path::{Path, PathBuf};

use strefer_core::jsonl::Writer;

use super::fault::Failure;
use super::stage::Stage;
use crate::error::{Error, Result};

/// Failures of one configuration, and of one stage where that is run alone.
#[derive(Debug, Clone)]
pub struct Failures {
    dir: PathBuf,
    of: String,
}

impl Failures {
    /// Below a folder.
    pub fn new(dir: impl Into<PathBuf>, config_hash: &str, only: Option<Stage>) -> Self {
        let of = format!("{config_hash} {}", only.map_or("", Stage::name));
        Self { dir: dir.into(), of }
    }

    /// A name of what is done about a video.
    pub fn name(&self, video_id: &str) -> String {
        blake3::hash(format!("{} {video_id}", self.of).as_bytes()).to_hex()[..32].to_owned()
    }

    fn path(&self, video_id: &str) -> PathBuf {
        let name = self.name(video_id);
        self.dir.join(&name[..2]).join(format!("{name}.json"))
    }

    /// What is recorded about a video. A record that cannot be read counts as none.
    pub fn read(&self, video_id: &str) -> Option<Failure> {
        serde_json::from_slice(&std::fs::read(self.path(video_id)).ok()?).ok()
    }

    /// Records a failure.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write(&self, failure: &Failure) -> Result<()> {
        let path = self.path(&failure.video_id);
        let parent = path.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(parent).map_err(|source| Error::Io { path: parent.to_owned(), source })?;
        let mut writer = Writer::create(&path)?;
        writer.write(failure)?;
        Ok(writer.finish()?)
    }

    /// The video came to something after all.
    pub fn forget(&self, video_id: &str) {
        let _ = std::fs::remove_file(self.path(video_id));
    }
}
