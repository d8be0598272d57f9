//! What resuming needs besides the model: counters and the optimiser's state.

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

use crate::checkpoints::{entries, write_digests};
use crate::error::{Error, Result, io};

/// Counters of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
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
    /// The best evaluation so far, where the run keeps its checkpoint.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<Best>,
}

/// An evaluation that none has surpassed.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Best {
    /// Steps done before it.
    pub step: usize,
    /// Its accuracy, 0 to 1.
    pub accuracy: f64,
}

const SHARD_BYTES: usize = 5_000_000_000;
const PROGRESS: &str = "progress.json";
const OPTIMIZER: &str = "optimizer";
const MODEL: &str = "model";

/// The folder of a checkpoint that holds what only training reads.
pub(crate) const TRAINER: &str = "trainer";

/// What a rank writes of a checkpoint, as it was when the step was done: training may go on while it is written.
pub(crate) struct Snapshot {
    /// What is written once.
    pub shared: Option<Shared>,
    /// This rank's part of the optimiser's state, and its name.
    pub optimizer: Option<(String, Weights)>,
}

/// The model of a checkpoint, and the counters.
pub(crate) struct Shared {
    pub config: VideoLlmConfig,
    pub tokenizer: Tokenizer,
    pub weights: Weights,
    pub origin: Option<Origin>,
    pub progress: Progress,
}

impl Snapshot {
    /// The name of the state that a rank writes: its own, or that of all of them.
    pub(crate) fn state_name(own: Option<usize>) -> String {
        own.map_or_else(|| OPTIMIZER.to_owned(), |rank| format!("{OPTIMIZER}-rank{rank:05}"))
    }

    /// Writes it into a folder that is there.
    pub(crate) fn write(&self, dir: &Path) -> Result<()> {
        if let Some((name, state)) = &self.optimizer {
            let files = save_safetensors(dir.join(TRAINER), name, state, SHARD_BYTES, &BTreeMap::new())?;
            write_digests(dir, name, &files)?;
        }
        let Some(Shared { config, tokenizer, weights, origin, progress }) = &self.shared else {
            return Ok(());
        };
        write_files(dir, config, tokenizer, weights, origin.as_ref())?;
        let path = dir.join(TRAINER).join(PROGRESS);
        let text = serde_json::to_string_pretty(progress).map_err(|error| io(&path)(error.into()))?;
        fs::write(&path, text).map_err(io(&path))?;
        let mut files = entries(dir)?;
        files.retain(|path| path.is_file());
        files.push(path);
        write_digests(dir, MODEL, &files)
    }
}

/// Reads counters and optimiser state of a checkpoint, however many ranks and files it lies in: each parameter's is
/// found by its name.
pub(crate) fn restore(checkpoint: &Path, optimizer: &mut AdamW, device: &Device) -> Result<Progress> {
    let trainer = checkpoint.join(TRAINER);
    let path = trainer.join(PROGRESS);
    let text = fs::read_to_string(&path).map_err(io(&path))?;
    let progress: Progress = serde_json::from_str(&text)
        .map_err(|error| Error::Config { path: path.clone(), reason: error.to_string() })?;
    let mut state = BTreeMap::new();
    let states = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(OPTIMIZER) && name.ends_with(".safetensors")
    };
    for path in entries(&trainer)?.into_iter().filter(states) {
        let weights = Weights::open(&path)?;
        for name in weights.names().filter(|name| optimizer.keeps(name)) {
            let dtype = weights.dtype(name).unwrap_or(DType::F32);
            state.insert(name.to_owned(), weights.load(name, dtype, device)?);
        }
    }
    optimizer.load_state_dict(&state)?;
    Ok(progress)
}
