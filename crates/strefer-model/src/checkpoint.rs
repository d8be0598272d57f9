//! A checkpoint folder: `config.json`, `tokenizer.json`, `model*.safetensors`. The contract between training and
//! everything after it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use strefer_llm::Tokenizer;
use strefer_nn::{ParamStore, Weights, save_safetensors};

use crate::config::VideoLlmConfig;
use crate::error::{Error, Result};
use crate::processor::{Processor, ProcessorOptions};
use crate::video_llm::VideoLlm;

/// Shards are at most this large (5 GB).
const MAX_SHARD_BYTES: usize = 5_000_000_000;

/// A checkpoint folder whose configuration and tokenizer have been read.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    dir: PathBuf,
    /// The model's configuration.
    pub config: VideoLlmConfig,
    /// The tokenizer.
    pub tokenizer: Tokenizer,
}

/// A model and the processor that makes its inputs.
#[derive(Debug)]
pub struct Loaded {
    /// The model.
    pub model: VideoLlm,
    /// Makes its inputs.
    pub processor: Processor,
}

impl Checkpoint {
    /// Reads configuration and tokenizer; weights are read later.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        let path = dir.join("config.json");
        let text = fs::read_to_string(&path).map_err(|source| Error::Io { path: path.clone(), source })?;
        let bad = |reason: String| Error::Config { path: path.clone(), reason };
        let config: VideoLlmConfig = serde_json::from_str(&text).map_err(|error| bad(error.to_string()))?;
        config.validate().map_err(bad)?;
        let tokenizer = Tokenizer::load(&dir)?;
        Ok(Self { dir, config, tokenizer })
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The weights.
    pub fn weights(&self) -> Result<Weights> {
        Ok(Weights::open(&self.dir)?)
    }

    /// The model, without gradients.
    ///
    /// # Errors
    /// A tensor that is missing, left over or of another shape.
    pub fn load(&self, device: &Device, dtype: DType, options: ProcessorOptions) -> Result<Loaded> {
        let store = ParamStore::new(0, device, dtype).with_weights(self.weights()?);
        let model = VideoLlm::new(&self.config, store.var_builder())?;
        store.check_complete()?;
        Ok(Loaded { model, processor: Processor::new(&self.config, self.tokenizer.clone(), options) })
    }

    /// Writes a folder that was not there before, in one step: whoever sees it sees all of it.
    ///
    /// # Errors
    /// The folder exists, or the disk refuses; nothing is left behind then.
    pub fn save(
        dir: impl AsRef<Path>,
        config: &VideoLlmConfig,
        tokenizer: &Tokenizer,
        tensors: &BTreeMap<String, Tensor>,
        dtype: DType,
    ) -> Result<()> {
        let dir = dir.as_ref();
        let io = |source| Error::Io { path: dir.to_owned(), source };
        if dir.exists() {
            return Err(io(std::io::ErrorKind::AlreadyExists.into()));
        }
        let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        fs::create_dir_all(parent).map_err(io)?;
        let temporary = tempfile::Builder::new().prefix(".checkpoint-").tempdir_in(parent).map_err(io)?;
        write_files(temporary.path(), config, tokenizer, tensors, dtype)?;
        fs::rename(temporary.path(), dir).map_err(io)?;
        // The folder has left its temporary name: there is nothing to remove any more.
        let _ = temporary.keep();
        Ok(())
    }
}

/// Writes configuration, tokenizer and weights into a folder that exists.
pub fn write_files(
    dir: &Path,
    config: &VideoLlmConfig,
    tokenizer: &Tokenizer,
    tensors: &BTreeMap<String, Tensor>,
    dtype: DType,
) -> Result<()> {
    let tensors: BTreeMap<String, Tensor> = tensors
        .iter()
        .map(|(name, tensor)| Ok((name.clone(), tensor.to_dtype(dtype)?)))
        .collect::<Result<_>>()?;
    save_safetensors(dir, "model", &tensors, MAX_SHARD_BYTES, &BTreeMap::new())?;
    let path = dir.join("config.json");
    let text = serde_json::to_string_pretty(config)
        .map_err(|error| Error::Config { path: path.clone(), reason: error.to_string() })?;
    fs::write(&path, text + "\n").map_err(|source| Error::Io { path, source })?;
    Ok(tokenizer.save(dir.join("tokenizer.json"))?)
}
