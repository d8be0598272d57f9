//! A model of a family put together from its parts: a language model, a vision tower, and connectors that have learnt
//! nothing yet or were saved alone. What comes out is a folder in the family's published form.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use strefer_llm::Tokenizer;
use strefer_nn::{Declared, ParamStore, Weights, save_safetensors};

use super::folder::Folder;
use super::{Family, parts, strefer, videorefer, vision};
use crate::checkpoint::{MAX_SHARD_BYTES, in_one_step, read_json};
use crate::error::{Error, Result};
use crate::processor::REGION_TOKEN;
use crate::video_llm::{VideoLlm, prefix};

/// What a model is put together from.
#[derive(Debug, Clone)]
pub struct Sources {
    /// A folder of a language model in transformers' form: Qwen2 for VideoRefer, Phi-3 for Strefer.
    pub language: PathBuf,
    /// A folder of SigLIP in transformers' form, alone or with its text model.
    pub vision: PathBuf,
    /// Files of parts that were saved alone: `mm_projector.bin`, `region_encoder.bin`.
    pub parts: Vec<PathBuf>,
    /// Seed of what no source holds.
    pub seed: u64,
    /// Element type of everything; that of the language model when absent.
    pub dtype: Option<DType>,
}

/// Writes a model of `family` to a folder that was not there before, in one step and one tensor at a time. Gives the
/// parameters that have learnt nothing yet.
///
/// # Errors
/// A source of another kind, tensors that do not fit each other, a family that is published whole (LLaVA-OneVision);
/// the folder exists or the disk refuses.
pub fn assemble(family: Family, sources: &Sources, out: &Path) -> Result<Vec<String>> {
    let language = read_json(&sources.language.join("config.json"))?;
    let tower = read_json(&sources.vision.join("config.json"))?;
    let wanted = if family == Family::Strefer { "phi3" } else { "qwen2" };
    if language["model_type"] != wanted {
        let path = sources.language.join("config.json");
        let reason = format!("model_type is {}, {family} wants {wanted:?}", language["model_type"]);
        return Err(Error::Config { path, reason });
    }
    let weights = sources.weights()?;
    let mut tokenizer = Tokenizer::load(&sources.language)?;
    if family == Family::VideoRefer {
        tokenizer.add_special_tokens(&[REGION_TOKEN])?;
    }
    let json = match family {
        Family::VideoRefer => videorefer::config_of(language, tower, &sources.vision),
        Family::Strefer => strefer::config_of(language, tower, &sources.vision, tokenizer.vocab_size()),
        Family::LlavaOneVision => {
            let reason = "LLaVA-OneVision is published whole: start from that".to_owned();
            return Err(Error::Config { path: sources.language.clone(), reason });
        }
    };
    let own_tokenizer = tokenizer.clone();
    let folder = Folder::of_parts(&sources.language, family, &json, weights.clone());
    let config = match family {
        Family::Strefer => strefer::config(&folder, &mut tokenizer)?,
        _ => videorefer::config(&folder, &mut tokenizer)?,
    };
    // What the sources hold takes no memory here.
    let there = weights.clone();
    let store =
        ParamStore::new(sources.seed, &Device::Cpu, DType::F32).hollow(move |name| there.contains(name));
    VideoLlm::new(&config, store.var_builder())?;
    let fresh: BTreeMap<String, Tensor> =
        store.tensors().into_iter().filter(|(name, _)| !weights.contains(name)).collect();
    let names: Vec<String> = fresh.keys().cloned().collect();
    let learnt =
        |name: &&String| [prefix::VISION, prefix::LANGUAGE].iter().any(|part| name.starts_with(part));
    if let Some(name) = names.iter().filter(learnt).find(|name| !name.contains("additional_")) {
        let origin = weights.origin().to_owned();
        return Err(strefer_nn::Error::MissingTensor { origin, name: name.clone() }.into());
    }
    let dtype = sources.dtype.or_else(|| weights.dtype("language_model.model.embed_tokens.weight"));
    let weights =
        weights.joined(Weights::from_tensors("fresh parameters", fresh))?.cast(dtype.unwrap_or(DType::F32));
    let used = weights.clone().renamed(|name| (!super::is_unused(&config, name)).then(|| name.to_owned()))?;
    let declared = Declared::default();
    VideoLlm::new(&config, declared.var_builder())?;
    declared.check(&used)?;

    let layout = &family.layouts()[0];
    let weights = weights.renamed(|name| Some(layout.theirs(name).unwrap_or_else(|| name.to_owned())))?;
    in_one_step(out, |dir| {
        let metadata = [("format".to_owned(), "pt".to_owned())].into();
        save_safetensors(dir, "model", &weights, MAX_SHARD_BYTES, &metadata)?;
        let path = dir.join("config.json");
        fs::write(&path, format!("{json:#}\n")).map_err(|source| Error::Io { path, source })?;
        own_tokenizer.save(dir.join("tokenizer.json"))?;
        for file in ["generation_config.json", "tokenizer_config.json"] {
            let path = sources.language.join(file);
            if path.is_file() {
                fs::copy(&path, dir.join(file)).map_err(|source| Error::Io { path, source })?;
            }
        }
        Ok(())
    })?;
    Ok(names)
}

impl Sources {
    /// All tensors under our names.
    fn weights(&self) -> Result<Weights> {
        let language = |name: &str| {
            let own = name.starts_with("model.") || name.starts_with("lm_head.");
            own.then(|| format!("{}.{name}", prefix::LANGUAGE))
        };
        let mut weights = Weights::open(&self.language)?.renamed(language)?;
        weights = weights.joined(vision::open_tower(&self.vision)?)?;
        for part in &self.parts {
            weights = weights.joined(parts::open_part(part)?)?;
        }
        Ok(weights)
    }
}

/// The section of a tower's own configuration that describes it.
pub(super) fn tower_section(tower: Value) -> Value {
    match tower.get("vision_config") {
        Some(section) if section.is_object() => section.clone(),
        _ => tower,
    }
}

/// The last part of a folder's name.
pub(super) fn name_of(folder: &Path) -> Value {
    folder.file_name().map_or(Value::Null, |name| json!(name.to_string_lossy()))
}
