//! Neutral records that somebody else made: one clip a line.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::jsonl;

use super::{Made, Reader};
use crate::error::{Error, Result};
use crate::pipeline::digest::{self, Digests};
use crate::stkit::clip::Clip;

/// Where they lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClipsFileConfig {
    /// The file (`.jsonl`, `.jsonl.zst`).
    pub file: PathBuf,
    /// The folder that paths of frames are relative to; the file's folder where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<PathBuf>,
}

/// Clips of a file, kept in memory.
pub struct ClipsFile {
    cfg: ClipsFileConfig,
    clips: Vec<Clip>,
    names: Vec<String>,
}

/// All clips of a file.
///
/// # Errors
/// A file that cannot be read, a line that is no clip.
pub fn read(path: &Path) -> Result<Vec<Clip>> {
    Ok(jsonl::Reader::open(path)?.collect::<strefer_core::Result<_>>()?)
}

impl ClipsFile {
    /// Reads the file.
    ///
    /// # Errors
    /// As [`read`]; two clips of one name.
    pub fn open(cfg: &ClipsFileConfig) -> Result<Self> {
        let clips = read(&cfg.file)?;
        let names: Vec<String> = clips.iter().map(|clip| clip.clip_id.clone()).collect();
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort();
        match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            Some(pair) => Err(Error::ClipTwice { clip_id: pair[0].clone() }),
            None => Ok(Self { cfg: cfg.clone(), clips, names }),
        }
    }
}

impl Reader for ClipsFile {
    fn recordings(&self) -> &[String] {
        &self.names
    }

    fn root(&self, _: usize) -> PathBuf {
        let beside = || self.cfg.file.parent().unwrap_or(Path::new("")).to_owned();
        self.cfg.root.clone().unwrap_or_else(beside)
    }

    fn content(&self, recording: usize, _: &Digests) -> Result<String> {
        digest::of_value(&self.clips[recording])
    }

    fn read(&self, recording: usize) -> Result<Made> {
        Ok(Made { clip: Some(self.clips[recording].clone()), notes: Vec::new() })
    }
}
