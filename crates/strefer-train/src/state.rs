//! Checkpoints of a run: the model's folder with a folder `trainer` in it, which is what resuming needs besides.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use serde::{Deserialize, Serialize};
use strefer_llm::Tokenizer;
use strefer_model::checkpoint::write_files;
use strefer_model::{Origin, VideoLlmConfig};
use strefer_nn::optim::AdamW;
use strefer_nn::{Weights, save_safetensors};

use crate::error::{Error, Result, io};
use crate::ranks::Ranks;

/// Counters of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Progress {
    /// Optimiser steps done.
    pub step: usize,
    /// Samples seen, skipped ones included.
    pub seen: usize,
    /// Samples skipped.
    pub skipped: usize,
    /// Positions supervised.
    pub supervised: usize,
}

const SHARD_BYTES: usize = 5_000_000_000;
const PREFIX: &str = "step-";
const TEMPORARY: &str = ".saving-";
const TRAINER: &str = "trainer";
const OPTIMIZER: &str = "optimizer";

/// The checkpoints of one run.
#[derive(Debug, Clone)]
pub struct Checkpoints {
    dir: PathBuf,
    keep: usize,
}

/// What a checkpoint holds.
pub struct Saved<'a> {
    /// The model's configuration.
    pub config: &'a VideoLlmConfig,
    /// The tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// All weights in f32.
    pub weights: &'a Weights,
    /// Where the model came from, if it was published.
    pub origin: Option<&'a Origin>,
    /// The optimiser.
    pub optimizer: &'a AdamW,
    /// The counters.
    pub progress: Progress,
}

impl Checkpoints {
    /// The checkpoints below a run's folder.
    pub fn new(run: &Path, keep: usize) -> Self {
        Self { dir: run.join("checkpoints"), keep }
    }

    /// The folder of the checkpoint after so many steps.
    pub fn path(&self, step: usize) -> PathBuf {
        self.dir.join(format!("{PREFIX}{step:08}"))
    }

    /// Steps before the newest whole checkpoint. What a killed run left half written is removed.
    pub fn latest(&self) -> Result<Option<usize>> {
        if !self.dir.exists() {
            return Ok(None);
        }
        let mut steps = Vec::new();
        for entry in fs::read_dir(&self.dir).map_err(io(&self.dir))? {
            let path = entry.map_err(io(&self.dir))?.path();
            let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            if name.starts_with(TEMPORARY) {
                fs::remove_dir_all(&path).map_err(io(&path))?;
            } else if let Some(step) = name.strip_prefix(PREFIX).and_then(|step| step.parse::<usize>().ok()) {
                steps.push(step);
            }
        }
        Ok(steps.into_iter().max())
    }

    /// Writes a checkpoint in one step, then removes the oldest ones. All ranks come here; where each keeps a `part` of
    /// the optimiser's state, each writes its own, and the first everything else.
    pub(crate) fn save(&self, saved: &Saved<'_>, ranks: &Ranks, part: bool) -> Result<PathBuf> {
        let target = self.path(saved.progress.step);
        let temporary = self.dir.join(format!("{TEMPORARY}{PREFIX}{:08}", saved.progress.step));
        let first = ranks.is_first();
        let what = format!("saving after {} steps", saved.progress.step);
        let [there] = ranks.sum(&what, [f64::from(u8::from(first && target.exists()))])?;
        if there > 0.0 {
            return Ok(target);
        }
        ranks.together(&what, if first { make(&temporary) } else { Ok(()) })?;
        let name = if part { format!("{OPTIMIZER}-rank{:05}", ranks.rank()) } else { OPTIMIZER.to_owned() };
        let own = if first || part { write_optimizer(&temporary, &name, saved.optimizer) } else { Ok(()) };
        let own = own.and_then(|()| if first { write(&temporary, saved) } else { Ok(()) });
        let written = ranks.together(&what, own);
        if written.is_err() && first {
            // The disk may be full: give back what was taken. The first error is the one to report.
            let _ = fs::remove_dir_all(&temporary);
        }
        written?;
        ranks.together(&what, if first { self.publish(&temporary, &target) } else { Ok(()) })?;
        Ok(target)
    }

    fn publish(&self, temporary: &Path, target: &Path) -> Result<()> {
        sync(temporary)?;
        fs::rename(temporary, target).map_err(io(target))?;
        sync(&self.dir)?;
        self.rotate()
    }

    fn rotate(&self) -> Result<()> {
        let mut names: Vec<PathBuf> = fs::read_dir(&self.dir)
            .map_err(io(&self.dir))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PREFIX)))
            .collect();
        names.sort();
        let surplus = names.len().saturating_sub(self.keep);
        for (index, path) in names.into_iter().take(surplus).enumerate() {
            // Renamed first: a kill in the middle of removing must not leave a folder that looks whole.
            let doomed = self.dir.join(format!("{TEMPORARY}old-{index}"));
            fs::rename(&path, &doomed).map_err(io(&path))?;
            fs::remove_dir_all(&doomed).map_err(io(&doomed))?;
        }
        Ok(())
    }
}

fn make(dir: &Path) -> Result<()> {
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(io(dir))?;
    }
    let trainer = dir.join(TRAINER);
    fs::create_dir_all(&trainer).map_err(io(&trainer))
}

fn write(dir: &Path, saved: &Saved<'_>) -> Result<()> {
    write_files(dir, saved.config, saved.tokenizer, saved.weights, saved.origin)?;
    let path = dir.join(TRAINER).join("progress.json");
    let text = serde_json::to_string_pretty(&saved.progress).map_err(|error| io(&path)(error.into()))?;
    fs::write(&path, text).map_err(io(&path))
}

fn write_optimizer(dir: &Path, name: &str, optimizer: &AdamW) -> Result<()> {
    let state = Weights::from_tensors(name, optimizer.state_dict()?);
    save_safetensors(dir.join(TRAINER), name, &state, SHARD_BYTES, &BTreeMap::new())?;
    Ok(())
}

fn sync(dir: &Path) -> Result<()> {
    fs::File::open(dir).and_then(|dir| dir.sync_all()).map_err(io(dir))
}

/// Reads counters and optimiser state of a checkpoint, however many ranks and files it lies in: each parameter's is
/// found by its name.
pub fn restore(checkpoint: &Path, optimizer: &mut AdamW, device: &Device) -> Result<Progress> {
    let trainer = checkpoint.join(TRAINER);
    let path = trainer.join("progress.json");
    let text = fs::read_to_string(&path).map_err(io(&path))?;
    let progress: Progress = serde_json::from_str(&text)
        .map_err(|error| Error::Config { path: path.clone(), reason: error.to_string() })?;
    let mut state = BTreeMap::new();
    for entry in fs::read_dir(&trainer).map_err(io(&trainer))? {
        let path = entry.map_err(io(&trainer))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if !(name.starts_with(OPTIMIZER) && name.ends_with(".safetensors")) {
            continue;
        }
        let weights = Weights::open(&path)?;
        for name in weights.names().filter(|name| optimizer.keeps(name)) {
            let dtype = weights.dtype(name).unwrap_or(DType::F32);
            state.insert(name.to_owned(), weights.load(name, dtype, device)?);
        }
    }
    optimizer.load_state_dict(&state)?;
    Ok(progress)
}
