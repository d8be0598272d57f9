//! A checkpoint folder: `config.json`, `tokenizer.json`, `model*.safetensors`. The contract between training and
//! everything after it. Folders of the published families are taken too.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::{DType, Device};
use serde::Deserialize;
use serde_json::Value;
use strefer_llm::decoder::Placement;
use strefer_llm::gguf::{self, Export, Gguf, Quantisation};
use strefer_llm::{GenerationConfig, Tokenizer};
use strefer_nn::{Declared, ParamStore, Weights, save_safetensors};

use crate::config::{ModelType, VideoLlmConfig};
use crate::error::{Error, Result};
use crate::family::{self, Family, Layout};
use crate::feature_cache::FeatureCache;
use crate::generation;
use crate::origin::{self, Origin};
use crate::processor::{Processor, ProcessorOptions};
use crate::video_llm::{VideoLlm, prefix};

/// Shards are at most this large (5 GB).
pub(crate) const MAX_SHARD_BYTES: usize = 5_000_000_000;

/// Features that a model for answering keeps.
const FEATURE_CACHE_BYTES: usize = 256 << 20;

/// A checkpoint folder whose configuration and tokenizer have been read.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    dir: PathBuf,
    /// The folder's own `config.json`.
    json: Value,
    /// The family whose folder it is; none for our own.
    pub family: Option<Family>,
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
    /// How it wants its answers written.
    pub generation: GenerationConfig,
}

/// Where and how a model is loaded for answering.
#[derive(Debug)]
pub struct Loading {
    /// The devices.
    pub placement: Placement,
    /// The type of the weights.
    pub dtype: DType,
    /// A file with the language model's matrices, quantised, in the place of the folder's.
    pub language: Option<Gguf>,
    /// Whether the language model's products with the same input become one, and low-rank updates a part of their weights:
    /// fewer and larger products, of which cards gain.
    pub joined: bool,
}

impl Loading {
    /// As it is best there.
    pub fn on(placement: Placement, dtype: DType) -> Self {
        let joined = placement.first().is_cuda();
        Self { placement, dtype, language: None, joined }
    }
}

impl Checkpoint {
    /// Reads configuration and tokenizer, of a folder of ours or of a published family; weights are read later.
    ///
    /// # Errors
    /// A `config.json` that asks for what we cannot do, a tokenizer that does not fit it; for a family's folder also
    /// weights of another family.
    pub fn open(dir: impl AsRef<Path>) -> Result<Self> {
        let dir = dir.as_ref().to_owned();
        let path = dir.join("config.json");
        let json = read_json(&path)?;
        let family = Family::recognise(&json);
        let (config, tokenizer) = match family {
            Some(family) => family::read(&dir, family, &json)?,
            None => (own_config(&path, &json)?, Tokenizer::load(&dir)?),
        };
        config.validate().map_err(|reason| Error::Config { path, reason })?;
        family::check_tokens(&dir, &config, &tokenizer)?;
        Ok(Self { dir, json, family, config, tokenizer })
    }

    /// Where it lies.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// The weights that the model of the configuration needs, under our names. Only headers are read.
    ///
    /// # Errors
    /// A report of every tensor that is missing, left over or of another shape.
    pub fn weights(&self) -> Result<Weights> {
        let weights = self.all_weights()?.renamed(|name| {
            let needed = !family::is_unused(&self.config, name);
            needed.then(|| name.to_owned())
        })?;
        let declared = Declared::default();
        VideoLlm::new(&self.config, declared.var_builder())?;
        declared.check(&weights)?;
        Ok(weights)
    }

    /// All tensors of the folder under our names, those that no model uses included.
    pub fn all_weights(&self) -> Result<Weights> {
        match self.family {
            Some(family) => Ok(family::open_weights(&self.dir, family, &self.json)?.0),
            None => Ok(Weights::open(&self.dir)?),
        }
    }

    /// How a family's folder names its tensors; our own names need no layout.
    pub fn layout(&self) -> Result<Option<&'static Layout>> {
        match self.family {
            Some(family) => Ok(Some(family::open_weights(&self.dir, family, &self.json)?.1)),
            None => Ok(None),
        }
    }

    /// How it wants its answers written: by its `generation_config.json` or that of the published folder it came from.
    ///
    /// # Errors
    /// A file that cannot be meant.
    pub fn generation(&self) -> Result<GenerationConfig> {
        generation::read(&[&self.dir, &self.dir.join(origin::FOLDER)], self.config.tokens.eos.clone())
    }

    /// The model, without gradients, for answering: it keeps 256 MB of features of the frames that it saw last
    /// ([`VideoLlm::set_feature_cache`]). A card that several threads are to use is opened by [`strefer_nn::open_card`].
    ///
    /// # Errors
    /// A tensor that is missing, left over or of another shape.
    pub fn load(&self, device: &Device, dtype: DType, options: ProcessorOptions) -> Result<Loaded> {
        self.load_with(Loading::on(device.into(), dtype), options)
    }

    /// As [`Checkpoint::load`], on several devices if there are several, and with the language model's matrices from a GGUF
    /// file if there is one, quantised as they lie.
    ///
    /// # Errors
    /// Also a file of another language model.
    pub fn load_with(&self, loading: Loading, options: ProcessorOptions) -> Result<Loaded> {
        let Loading { placement, dtype, language, joined } = loading;
        let (mut config, mut weights) = (self.config.clone(), self.weights()?);
        // Quantised weights cannot take up an update.
        if joined
            && language.is_none()
            && let Some(lora) = config.llm.lora.take()
        {
            weights = weights.merge_lora(lora.alpha)?;
        }
        let language = language.map(Arc::new);
        let mut store = ParamStore::new(0, placement.first(), dtype).with_weights(weights);
        if let Some(file) = &language {
            file.check(&self.config.llm)?;
            let file = Arc::clone(file);
            store = store.hollow(move |name| language_name(name).is_some_and(|name| file.has_matrix(name)));
        }
        let mut model = VideoLlm::placed(&config, store.var_builder(), &placement)?;
        store.check_complete()?;
        if let Some(file) = &language {
            model.language_model_mut().quantise(file)?;
        }
        if joined {
            // It would keep the products that become parts of larger ones.
            drop(store);
            model.language_model_mut().join_products()?;
        }
        model.set_feature_cache(Some(Arc::new(FeatureCache::new(FEATURE_CACHE_BYTES))));
        let processor = Processor::new(&self.config, self.tokenizer.clone(), options);
        Ok(Loaded { model, processor, generation: self.generation()? })
    }

    /// Writes the language model as a GGUF file with quantised weights; low-rank updates are folded in. `progress` gets the
    /// number of tensors done and of all.
    ///
    /// # Errors
    /// A model that llama.cpp has no form for, a file that exists, a disk that refuses.
    pub fn export_language(
        &self,
        path: &Path,
        quantisation: Quantisation,
        progress: impl FnMut(usize, usize),
    ) -> Result<()> {
        let mut weights = self.weights()?;
        if let Some(lora) = &self.config.llm.lora {
            weights = weights.merge_lora(lora.alpha)?;
        }
        let below = format!("{}.", prefix::LANGUAGE);
        let export = Export {
            cfg: &self.config.llm,
            tokenizer: &self.tokenizer,
            eos: self.config.tokens.eos.first().copied(),
            quantisation,
        };
        Ok(gguf::export(path, &export, &weights, &below, progress)?)
    }

    /// Writes a folder that was not there before, in one step. `origin` is that of the checkpoint the weights began as:
    /// with it they can be written in its form again.
    ///
    /// # Errors
    /// The folder exists, or the disk refuses; nothing is left behind then.
    pub fn save(
        dir: impl AsRef<Path>,
        config: &VideoLlmConfig,
        tokenizer: &Tokenizer,
        weights: &Weights,
        origin: Option<&Origin>,
    ) -> Result<()> {
        in_one_step(dir.as_ref(), |dir| write_files(dir, config, tokenizer, weights, origin))
    }
}

/// The name of a parameter of the language model inside it.
fn language_name(name: &str) -> Option<&str> {
    name.strip_prefix(prefix::LANGUAGE)?.strip_prefix('.')
}

/// Makes a folder that was not there before, in one step: whoever sees it sees all that `write` puts into it.
pub(crate) fn in_one_step(dir: &Path, write: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let io = |source| Error::Io { path: dir.to_owned(), source };
    if dir.exists() {
        return Err(io(std::io::ErrorKind::AlreadyExists.into()));
    }
    let parent = dir.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(parent).map_err(io)?;
    let temporary = tempfile::Builder::new().prefix(".checkpoint-").tempdir_in(parent).map_err(io)?;
    write(temporary.path())?;
    fs::rename(temporary.path(), dir).map_err(io)?;
    // The folder has left its temporary name: there is nothing to remove any more.
    let _ = temporary.keep();
    Ok(())
}

/// Parses a file.
pub(crate) fn read_json(path: &Path) -> Result<Value> {
    let text = fs::read_to_string(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    serde_json::from_str(&text)
        .map_err(|error| Error::Config { path: path.to_owned(), reason: error.to_string() })
}

fn own_config(path: &Path, json: &Value) -> Result<VideoLlmConfig> {
    let bad = |reason: String| Error::Config { path: path.to_owned(), reason };
    match json["model_type"].as_str() {
        Some(ours) if ours == ModelType::NAME => {
            VideoLlmConfig::deserialize(json).map_err(|error| bad(error.to_string()))
        }
        other => {
            let known = Family::ALL.map(Family::name).join(", ");
            let model_type = other.unwrap_or("nothing");
            Err(bad(format!(
                "model_type is {model_type:?}, neither ours nor that of a known family ({known})"
            )))
        }
    }
}

/// Writes configuration, tokenizer, weights and origin into a folder that exists.
pub fn write_files(
    dir: &Path,
    config: &VideoLlmConfig,
    tokenizer: &Tokenizer,
    weights: &Weights,
    origin: Option<&Origin>,
) -> Result<()> {
    save_safetensors(dir, "model", weights, MAX_SHARD_BYTES, &BTreeMap::new())?;
    let path = dir.join("config.json");
    let text = serde_json::to_string_pretty(config)
        .map_err(|error| Error::Config { path: path.clone(), reason: error.to_string() })?;
    fs::write(&path, text + "\n").map_err(|source| Error::Io { path, source })?;
    tokenizer.save(dir.join("tokenizer.json"))?;
    origin.map_or(Ok(()), |origin| origin.keep_in(dir))
}
