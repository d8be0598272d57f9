//! What a run begins with: its folder, its model, its questions.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::sync::Arc;
use std::time::Duration;

use candle_core::{Device, Var};
use strefer_core::{Rng, Sample};
use strefer_llm::gguf::Gguf;
use strefer_model::{Checkpoint, Processor, ProcessorOptions, VideoLlm, prefix};
use strefer_nn::optim::Group;
use strefer_nn::{Dropout, ParamStore, Weights};
use strefer_store::{Held, SampleSet, Shelf};

use crate::config::{DataConfig, EvalConfig, LoraConfig, Part, Sharding, TrainConfig};
use crate::error::{Error, Result, io};
use crate::layers::layer_of;
use crate::ranks::Owners;

/// Path of the layers that ranks may share.
pub(crate) const LAYERS: &str = "language_model.model.layers";

/// Makes the run's folder, or checks that it is this run's. Gives whether there may be checkpoints.
pub(super) fn claim_output(config: &TrainConfig, resume: bool) -> Result<bool> {
    let run = config.output.as_path();
    let path = run.join("config.toml");
    if run.exists() {
        if !resume {
            return Err(Error::OutputExists { path: run.to_owned() });
        }
        if path.exists() {
            let before = TrainConfig::load(&path, &[])?;
            return match before.difference(config) {
                Some(field) => Err(Error::ConfigChanged { path: run.to_owned(), field: field.to_owned() }),
                None => Ok(true),
            };
        }
    }
    fs::create_dir_all(run.join("checkpoints")).map_err(io(run))?;
    let temporary = path.with_extension("toml.tmp");
    fs::write(&temporary, config.to_toml()).map_err(io(&temporary))?;
    fs::rename(&temporary, &path).map_err(io(&path))?;
    Ok(false)
}

/// A model that is ready to learn.
pub(super) struct Built {
    pub store: ParamStore,
    pub model: VideoLlm,
    /// What its low-rank updates drop.
    pub dropout: Dropout,
    /// Weights that the model has in quantised form instead: they are written as they were read.
    pub kept: Weights,
}

/// The model, with the low-rank updates that the run asks for, which the checkpoint may not have yet.
pub(super) fn build(
    config: &TrainConfig,
    checkpoint: &mut Checkpoint,
    device: &Device,
    owners: &mut Owners,
) -> Result<Built> {
    let weights = checkpoint.weights()?;
    if config.steps.shard == Sharding::Full {
        let size = |name: &str| weights.shape(name).map_or(0, |shape| shape.iter().product());
        let shared = weights.names().filter(|name| layer_of(LAYERS, name).is_some());
        owners.spread(shared.map(|name| (name, size(name))));
    }
    let away = {
        let owners = owners.clone();
        move |name: &str| owners.of(name).is_some() && !owners.owns(name)
    };
    let mut fresh = false;
    if let Some(lora) = config.lora.as_ref().map(LoraConfig::settings) {
        match &checkpoint.config.llm.lora {
            Some(there) if *there != lora => {
                return Err(Error::OtherLora { path: checkpoint.dir().to_owned() });
            }
            Some(_) => {}
            None => {
                fresh = true;
                checkpoint.config.llm.lora = Some(lora);
            }
        }
    }
    let (parts, lora) = (config.parts, checkpoint.config.llm.lora.is_some());
    let base = config.lora.as_ref().and_then(|lora| lora.base.as_ref()).map(Gguf::open).transpose()?;
    let base = base.map(Arc::new);
    let in_base = {
        let base = base.clone();
        move |name: &str| {
            let file = base.as_ref().filter(|_| Part::of(name) == Part::Language);
            let own = name.strip_prefix(prefix::LANGUAGE).and_then(|name| name.strip_prefix('.'));
            file.zip(own).is_some_and(|(file, name)| file.has_matrix(name))
        }
    };
    let kept = weights.clone().renamed(|name| in_base(name).then(|| name.to_owned()))?;
    let store = ParamStore::new(config.seed, device, config.steps.dtype.into())
        .with_weights(weights)
        .hollow(in_base)
        .elsewhere(away)
        .trainable(move |name| parts.rate(Part::of(name), lora).is_some());
    let mut model = VideoLlm::new(&checkpoint.config, store.var_builder())?;
    store.check_missing(|name| fresh && Part::of(name) == Part::Lora)?;
    if let Some(file) = &base {
        model.language_model_mut().quantise_layers(file)?;
    }
    let dropout = Dropout::new(config.lora.as_ref().map_or(0.0, |lora| lora.dropout));
    model.language_model_mut().set_dropout(&dropout);
    Ok(Built { dropout, store: store.without_weights(), model, kept })
}

/// Matrices are decayed, vectors (biases, norms) where it is asked for; every part has its own rate.
pub(super) fn groups(config: &TrainConfig, vars: &BTreeMap<String, Var>) -> Vec<Group> {
    let lora = vars.keys().any(|name| Part::of(name) == Part::Lora);
    let vectors = vars.iter().filter(|(_, var)| var.rank() <= 1).map(|(name, _)| name.clone());
    let vectors: Arc<BTreeSet<String>> = Arc::new(vectors.collect());
    let parts: BTreeSet<Part> = vars.keys().map(|name| Part::of(name)).collect();
    let mut groups = Vec::new();
    for part in parts {
        let lr_scale = config.parts.rate(part, lora).unwrap_or_default();
        let vectors = Arc::clone(&vectors);
        groups.push(Group {
            matches: Box::new(move |name| Part::of(name) == part && vectors.contains(name)),
            lr_scale,
            weight_decay: if config.optim.decay_vectors { config.optim.weight_decay } else { 0.0 },
        });
        groups.push(Group {
            matches: Box::new(move |name| Part::of(name) == part),
            lr_scale,
            weight_decay: config.optim.weight_decay,
        });
    }
    groups
}

/// Questions that are asked on the way.
pub(super) struct Quiz {
    pub processor: Processor,
    pub samples: Vec<Sample>,
    /// Copies of what they show.
    _copies: Vec<Held>,
}

impl Quiz {
    pub(super) fn open(eval: &EvalConfig, data: &DataConfig, processor: &Processor) -> Result<Self> {
        let shelf = Shelf::new((data.shelf_gb * 1e9) as u64, Duration::from_secs_f64(data.deadline_s))?;
        let set = SampleSet::open(&eval.samples, eval.media_root.as_deref(), None, &shelf)?;
        let (media_root, draw) = (set.media_root().to_owned(), data.draw);
        let processor =
            processor.with_options(ProcessorOptions { media_root, draw, ..ProcessorOptions::default() });
        let chosen = Rng::new(0, "limit").spread(set.len(), eval.limit);
        let (mut samples, mut copies) = (Vec::with_capacity(chosen.len()), Vec::new());
        for index in chosen {
            let mut sample = set.get(index)?;
            copies.extend(set.bring(index, &mut sample)?);
            samples.push(sample);
        }
        Ok(Self { processor, samples, _copies: copies })
    }
}
