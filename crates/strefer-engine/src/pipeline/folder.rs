//! The folder of a run: `engine.json` says whose it is.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use strefer_core::jsonl::Writer;

use super::digest;
use crate::config::EngineConfig;
use crate::error::{Error, Result};

/// The file that marks a folder as ours and says what it was made with.
const MARK: &str = "engine.json";
const FORMAT: &str = "strefer-engine/2";

#[derive(Debug, Serialize, Deserialize)]
struct Mark {
    format: String,
    config_hash: String,
    config: serde_json::Value,
}

/// Whether a folder holds anything but a mark and beginnings of one, which other processes write at the same moment, or wrote
/// when they were killed.
fn holds_more(dir: &Path) -> std::io::Result<bool> {
    for entry in std::fs::read_dir(dir)? {
        if !entry?.file_name().to_string_lossy().contains(MARK) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A folder that belongs to a configuration.
#[derive(Debug, Clone)]
pub struct RunFolder {
    dir: PathBuf,
    hash: String,
}

impl RunFolder {
    /// Finds that a folder is ours or can become so, and writes nothing. With `changed` it may have been made with another
    /// configuration.
    ///
    /// # Errors
    /// A folder that holds something else, or was made with another configuration or by another version.
    pub fn look(dir: &Path, cfg: &EngineConfig, changed: bool) -> Result<Self> {
        Self::look_at(dir, &cfg.essence(), changed)
    }

    /// The same for another program's configuration: `essence` is all of it that decides what is made.
    ///
    /// # Errors
    /// As [`RunFolder::look`].
    pub fn look_at(dir: &Path, essence: &impl Serialize, changed: bool) -> Result<Self> {
        let hash = digest::of_value(essence)?[..16].to_owned();
        let refuse = |reason: String| Err(Error::OutputFolder { dir: dir.to_owned(), reason });
        let io = |path: &Path| {
            let path = path.to_owned();
            move |source| Error::Io { path, source }
        };
        let mark = dir.join(MARK);
        if mark.is_file() {
            let text = std::fs::read(&mark).map_err(io(&mark))?;
            let known: Mark = match serde_json::from_slice(&text) {
                Ok(known) => known,
                Err(error) => return refuse(format!("its {MARK} cannot be read: {error}")),
            };
            if known.format != FORMAT {
                return refuse(format!(
                    "it was made by another version ({}, not {FORMAT}); name a new folder",
                    known.format
                ));
            }
            if known.config_hash != hash && !changed {
                return refuse(
                    "it was made with another configuration; name another folder, or go on here with --changed"
                        .to_owned(),
                );
            }
        } else if dir.exists() && holds_more(dir).map_err(io(dir))? {
            if mark.is_file() {
                // Another process has just claimed it.
                return Self::look_at(dir, essence, changed);
            }
            return refuse(format!("it exists and holds no {MARK}; name a new folder"));
        }
        Ok(Self { dir: dir.to_owned(), hash })
    }

    /// Makes a folder ours, or finds that it is. With `changed` it may have been made with another configuration: what that
    /// leaves as it is, is not made again.
    ///
    /// # Errors
    /// As [`RunFolder::look`]; a folder that cannot be written.
    pub fn claim(dir: &Path, cfg: &EngineConfig, changed: bool) -> Result<Self> {
        Self::claim_for(dir, &cfg.essence(), changed)
    }

    /// The same for another program's configuration, as with [`RunFolder::look_at`].
    ///
    /// # Errors
    /// As [`RunFolder::claim`].
    pub fn claim_for(dir: &Path, essence: &impl Serialize, changed: bool) -> Result<Self> {
        let folder = Self::look_at(dir, essence, changed)?;
        std::fs::create_dir_all(dir).map_err(|source| Error::Io { path: dir.to_owned(), source })?;
        let config = serde_json::to_value(essence).map_err(|error| Error::Config(error.to_string()))?;
        let mut writer = Writer::create(dir.join(MARK))?;
        writer.write(&Mark { format: FORMAT.to_owned(), config_hash: folder.hash.clone(), config })?;
        writer.finish()?;
        Ok(folder)
    }

    /// A path below it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// It.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// A name that no other run has, whichever machine sees the folder under whichever path.
    ///
    /// # Errors
    /// A file that cannot be read or written.
    pub fn id(&self) -> Result<String> {
        let path = self.path(".id");
        let io = |source| Error::Io { path: path.clone(), source };
        if !path.is_file() {
            let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
            let id = digest::of_value(&(now.as_nanos(), std::process::id(), &self.dir))?;
            let own = self.path(&format!(".id.{}", std::process::id()));
            std::fs::write(&own, &id[..32]).map_err(io)?;
            // The first one counts.
            let linked = std::fs::hard_link(&own, &path);
            let _ = std::fs::remove_file(&own);
            match linked {
                Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(io(error)),
                _ => {}
            }
        }
        std::fs::read_to_string(&path).map_err(io)
    }

    /// A digest of the configuration that it is made with.
    pub fn hash(&self) -> &str {
        &self.hash
    }
}
