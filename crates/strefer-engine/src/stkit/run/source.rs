//! One source of a run: a dataset, and which of its recordings are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use candle_core::Device;

use super::config::{Origin, SourceConfig};
use super::pictures::FramePath;
use crate::error::{Error, Result};
use crate::pipeline::digest::{self, Digests};
use crate::stkit::clip::Clip;
use crate::stkit::readers::clips::{self, ClipsFile};
use crate::stkit::readers::ego_exo::EgoExo;
use crate::stkit::readers::nuscenes::Nuscenes;
use crate::stkit::readers::pseudo::Pseudo;
use crate::stkit::readers::{Made, Reader, names};

/// Part of every key: it changes when clips are made otherwise of the same files.
const MAKING: &str = "stkit/1";

/// A dataset that was found.
pub struct Source {
    cfg: SourceConfig,
    reader: Box<dyn Reader>,
    /// The recordings that are wanted, by their places in the dataset.
    wanted: Vec<usize>,
}

impl Source {
    /// Looks for the dataset and lists its recordings. Models, where it needs one, run on the device.
    ///
    /// # Errors
    /// A dataset that is not there, a kind that this program was built without, a list of which it has nothing.
    pub fn open(cfg: &SourceConfig, device: &Device) -> Result<Self> {
        let reader = open(&cfg.from, device)?;
        let all = reader.recordings();
        let mut wanted: Vec<usize> = (0..all.len()).collect();
        if let Some(path) = &cfg.only {
            let listed: BTreeSet<String> = names(path)?.into_iter().collect();
            let meant = |name: &str| {
                let above = name.match_indices('/').map(|(at, _)| &name[..at]);
                above.chain([name]).find_map(|name| listed.get(name))
            };
            let found: BTreeSet<&String> = all.iter().filter_map(|name| meant(name)).collect();
            wanted.retain(|&at| meant(&all[at]).is_some());
            let bad = |reason: String| Error::BadFile { path: path.clone(), reason };
            if wanted.is_empty() {
                return Err(bad(format!("{} has none of its recordings", cfg.name)));
            }
            if found.len() < listed.len() {
                let missing = listed.len() - found.len();
                tracing::warn!("{}: {missing} recordings of {} are not there", cfg.name, path.display());
            }
        }
        if let Some(limit) = cfg.limit.filter(|limit| *limit < wanted.len()) {
            wanted = strefer_video::sample::spread(&wanted, limit);
        }
        Ok(Self { cfg: cfg.clone(), reader, wanted })
    }

    /// What it was opened with.
    pub fn cfg(&self) -> &SourceConfig {
        &self.cfg
    }

    /// The number of its recordings that are wanted.
    pub fn len(&self) -> usize {
        self.wanted.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
    }

    /// The name of a recording among those of all sources.
    pub fn name(&self, place: usize) -> String {
        format!("{}/{}", self.cfg.name, self.reader.recordings()[self.wanted[place]])
    }

    /// What a recording's clip is kept by.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn key(&self, place: usize, digests: &Digests) -> Result<String> {
        let recording = self.wanted[place];
        let content = self.reader.content(recording, digests)?;
        let name = &self.reader.recordings()[recording];
        Ok(digest::of_value(&(MAKING, self.cfg.essence(), name, content))?[..40].to_owned())
    }

    /// Reads a recording. What comes of it contradicts itself nowhere, and its frames are there.
    ///
    /// # Errors
    /// Whatever is wrong with it.
    pub(super) fn read(&self, place: usize) -> Result<Made> {
        let (name, root) = (self.name(place), self.root(place));
        if !Path::new(&name).components().all(|part| matches!(part, Component::Normal(_))) {
            let reason = "its name is no path inside a folder".to_owned();
            return Err(Error::BadVideo { video_id: name, reason });
        }
        let mut made = self.reader.read(self.wanted[place])?;
        if let Some(clip) = &mut made.clip {
            clip.clip_id = name;
            clip.validate()?;
            for frame in &clip.frames {
                FramePath::find(&root, frame)?;
            }
        }
        Ok(made)
    }

    /// The folder that frames of a recording are relative to.
    pub(super) fn root(&self, place: usize) -> PathBuf {
        self.reader.root(self.wanted[place])
    }

    /// True positions of objects whose positions were lifted, by clip, where they are known.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub(super) fn truth(&self) -> Result<BTreeMap<String, Clip>> {
        let Origin::Pseudo(cfg) = &self.cfg.from else { return Ok(BTreeMap::new()) };
        let Some(path) = &cfg.truth else { return Ok(BTreeMap::new()) };
        let named = |clip: Clip| (format!("{}/{}", self.cfg.name, clip.clip_id), clip);
        Ok(clips::read(path)?.into_iter().map(named).collect())
    }
}

fn open(origin: &Origin, device: &Device) -> Result<Box<dyn Reader>> {
    Ok(match origin {
        Origin::Nuscenes(cfg) => Box::new(Nuscenes::open(cfg)?),
        #[cfg(feature = "argoverse")]
        Origin::Argoverse2(cfg) => Box::new(crate::stkit::readers::argoverse::Argoverse::open(cfg)?),
        #[cfg(not(feature = "argoverse"))]
        Origin::Argoverse2(_) => return Err(without("Argoverse 2", "argoverse")),
        #[cfg(feature = "sql")]
        Origin::Nuplan(cfg) => Box::new(crate::stkit::readers::nuplan::Nuplan::open(cfg)?),
        #[cfg(not(feature = "sql"))]
        Origin::Nuplan(_) => return Err(without("nuPlan", "sql")),
        Origin::EgoExo4d(cfg) => Box::new(EgoExo::open(cfg)?),
        Origin::Pseudo(cfg) => Box::new(Pseudo::open(cfg, device)?),
        Origin::Clips(cfg) => Box::new(ClipsFile::open(cfg)?),
    })
}

#[cfg(not(all(feature = "argoverse", feature = "sql")))]
fn without(dataset: &str, feature: &str) -> Error {
    Error::Config(format!("{dataset} needs a program built with the feature {feature}"))
}
