//! The training run: batches, steps, evaluations, checkpoints.

mod pass;
mod setup;
mod shares;
mod step;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use candle_core::{Device, Tensor, Var};
use strefer_core::Sample;
use strefer_dist::{Alone, Communicator};
use strefer_eval::quiz::{self, Look};
use strefer_llm::Tokenizer;
use strefer_model::{Checkpoint, Origin, Processor, ProcessorOptions, VideoLlm, VideoLlmConfig};
use strefer_nn::optim::AdamW;
use strefer_nn::{Dropout, LayerWatch, ParamStore, Recompute, Weights, host_copy};

pub(crate) use self::setup::LAYERS;
use self::setup::{Built, Quiz, build, claim_output, groups};
use crate::checkpoints::Checkpoints;
use crate::config::{Part, Passes, Sharding, TrainConfig};
use crate::error::{Error, Result};
use crate::layers::Layers;
use crate::log::{EvalReport, LogLine, RunLog};
use crate::plan::Learning;
use crate::ranks::{Owners, Ranks};
use crate::reader::{Reader, Seen, Source};
use crate::saver::{Saver, saving};
use crate::state::{Best, Progress, Shared, Snapshot, restore};

/// Sees what a run does, as it does it.
pub trait Observer {
    /// Something happened; `total` is the number of steps of the run.
    fn line(&mut self, line: &LogLine, total: usize);
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// All steps are done; the final checkpoint lies here.
    Finished(PathBuf),
    /// It was asked to stop; a checkpoint after so many steps was written.
    Stopped {
        /// Steps done.
        step: usize,
    },
}

/// A run that is ready to go, or one rank of it.
pub struct Trainer {
    config: TrainConfig,
    ranks: Ranks,
    passes: Passes,
    /// Steps of the run.
    total: usize,
    owners: Owners,
    model_config: VideoLlmConfig,
    tokenizer: Tokenizer,
    origin: Option<Origin>,
    store: ParamStore,
    /// Weights that the model has in quantised form instead.
    kept: Weights,
    vars: BTreeMap<String, Var>,
    /// Those of them that lie on every rank.
    everywhere: BTreeMap<String, Var>,
    layers: Option<Arc<Layers>>,
    model: VideoLlm,
    dropout: Dropout,
    recompute: Option<Recompute>,
    learning: Learning,
    optimizer: AdamW,
    source: Arc<Source>,
    quiz: Option<Quiz>,
    saver: Saver,
    progress: Progress,
    last_skip: String,
}

impl Trainer {
    /// Prepares a new run, or with `resume` goes on where the last checkpoint of the run stands.
    ///
    /// # Errors
    /// A folder that holds a run already, a run of another configuration, a model, mixture or file that cannot be read.
    pub fn new(config: TrainConfig, resume: bool, device: &Device) -> Result<Self> {
        Self::among(config, resume, device, Arc::new(Alone))
    }

    /// As [`Trainer::new`], as one rank of several that share the samples of each step and see the same files. A run may
    /// be resumed by another number of ranks.
    ///
    /// # Errors
    /// Those of [`Trainer::new`]; a batch that the ranks cannot share evenly; another rank that failed.
    pub fn among(
        config: TrainConfig,
        resume: bool,
        device: &Device,
        ranks: Arc<dyn Communicator>,
    ) -> Result<Self> {
        let ranks = Ranks::new(ranks);
        let checkpoints = Checkpoints::new(&config.output, config.save.keep);
        let output = config.output.clone();
        let warn = |error: &Error| tracing::warn!("{error}");
        let is_new = ranks.is_first() && !output.exists();
        let latest = match ranks.is_first() {
            true => claim_output(&config, resume)
                .and_then(|may| if may { checkpoints.latest(warn) } else { Ok(None) }),
            false => Ok(None),
        };
        let latest = ranks.together("opening the run", latest)?;
        // Only the first rank looks, and only it tidies up.
        let [latest] = ranks.sum("opening the run", [latest.map_or(0.0, |step| step as f64 + 1.0)])?;
        let latest = (latest > 0.0).then(|| checkpoints.path(latest as usize - 1));
        let own = Self::prepare(config, latest.as_deref(), device, ranks.clone(), checkpoints);
        let prepared = ranks.together("preparing the run", own);
        if prepared.is_err() && is_new {
            // Nothing was done in it. The error is the one to report.
            let _ = std::fs::remove_dir_all(&output);
        }
        prepared
    }

    fn prepare(
        config: TrainConfig,
        latest: Option<&Path>,
        device: &Device,
        ranks: Ranks,
        checkpoints: Checkpoints,
    ) -> Result<Self> {
        let passes = config.steps.passes(ranks.size())?;
        let mut checkpoint = Checkpoint::open(latest.unwrap_or(&config.init))?;
        let mut owners = Owners::new(config.steps.shard, &ranks);
        let Built { store, mut model, dropout, kept } = build(&config, &mut checkpoint, device, &mut owners)?;
        let vars = store.vars();
        let fully = config.steps.shard == Sharding::Full && owners.are_several();
        let layers = fully
            .then(|| Arc::new(Layers::new(ranks.clone(), owners.clone(), LAYERS, &store.tensors(), &vars)));
        owners.spread(vars.iter().map(|(name, var)| (name.as_str(), var.elem_count())));
        let mut everywhere = vars.clone();
        everywhere.retain(|name, _| layers.as_ref().is_none_or(|layers| !layers.has(name)));
        let recompute = config.steps.recompute.then(|| match &layers {
            Some(layers) => Recompute::watched(Arc::clone(layers) as Arc<dyn LayerWatch>),
            None => Recompute::default(),
        });
        model.set_recompute(recompute.as_ref());
        let learning = Learning::of(&vars.keys().map(|name| Part::of(name)).collect::<Vec<_>>());
        let own = vars.iter().filter(|(name, _)| owners.owns(name));
        let own: BTreeMap<String, Var> = own.map(|(name, var)| (name.clone(), var.clone())).collect();
        let mut optimizer = AdamW::new(&own, config.optim.adamw, &groups(&config, &vars))?;
        let progress = match latest {
            Some(path) => restore(path, &mut optimizer, device)?,
            None => Progress::default(),
        };
        let (model_config, tokenizer) = (checkpoint.config.clone(), checkpoint.tokenizer.clone());
        let processor = Processor::new(&model_config, tokenizer.clone(), ProcessorOptions::default());
        let source = Arc::new(Source::open(&config.data, config.seed, &processor)?);
        let quiz = config.eval.as_ref().map(|eval| Quiz::open(eval, &config.data, &processor)).transpose()?;
        Ok(Self {
            total: config.steps.count(source.epoch_len()),
            config,
            ranks,
            passes,
            owners,
            model_config,
            tokenizer,
            origin: Origin::of(&checkpoint)?,
            store,
            kept,
            vars,
            everywhere,
            layers,
            model,
            dropout,
            recompute,
            learning,
            optimizer,
            source,
            quiz,
            saver: Saver::new(checkpoints),
            progress,
            last_skip: String::new(),
        })
    }

    /// Steps done so far.
    pub fn step(&self) -> usize {
        self.progress.step
    }

    /// Steps of the whole run.
    pub fn total(&self) -> usize {
        self.total
    }

    /// Number of parameters that learn, and of all.
    pub fn parameter_counts(&self) -> (usize, usize) {
        let learning = self.vars.values().map(|var| var.elem_count()).sum();
        (learning, self.store.tensors().values().map(Tensor::elem_count).sum())
    }

    /// Does the remaining steps. Setting `stop` on any rank ends the run after the step under way, with a checkpoint. Only
    /// the first rank's observer hears of it, and only it writes the log.
    pub fn run(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome> {
        let total = self.total;
        let first = self.ranks.is_first();
        let log = first.then(|| RunLog::open(&self.config.output, self.progress.step)).transpose();
        let mut log = self.ranks.together("opening the log", log)?;
        let seen = Seen { passes: self.passes, rank: self.ranks.rank() };
        let mut reader =
            Reader::start(&self.source, seen, self.progress.step..total, self.config.data.readers)
                .bring_to(self.model.language_model().device())?;
        let mut tell = |line: LogLine| -> Result<()> {
            if let Some(log) = &mut log {
                log.write(&line)?;
                observer.line(&line, total);
            }
            Ok(())
        };
        while self.progress.step < total {
            let asked = [stop.load(Ordering::Relaxed), self.saver.is_written()];
            let [stops, written] =
                self.ranks.sum("asking for a stop", asked.map(|asked| f64::from(u8::from(asked))))?;
            if written as usize == self.ranks.size() {
                tell_saved(self.saver.finish(&self.ranks)?, &mut tell)?;
            }
            if stops > 0.0 {
                self.save(true, &mut tell)?;
                return Ok(Outcome::Stopped { step: self.progress.step });
            }
            let (report, skipped) = self.one_step(&mut reader)?;
            for (id, reason) in skipped {
                tell(LogLine::Skipped { step: report.step, id, reason })?;
            }
            tell(LogLine::Step(report))?;
            self.check_skipped()?;
            let done = self.progress.step == total;
            let every = self.config.eval.as_ref().map(|eval| eval.every);
            let mut is_best = false;
            if every.is_some_and(|every| done || self.progress.step.is_multiple_of(every)) {
                let report = self.evaluate()?;
                is_best = self.note_best(&report);
                tell(LogLine::Eval(report))?;
            }
            if done || is_best || self.progress.step.is_multiple_of(self.config.save.every) {
                self.save(done || !self.config.save.background, &mut tell)?;
            }
        }
        let written = self.write_final();
        Ok(Outcome::Finished(self.ranks.together("writing the final weights", written)?))
    }

    fn check_skipped(&self) -> Result<()> {
        let Progress { seen, skipped, .. } = self.progress;
        // A first bad sample in a small start says nothing about the share yet.
        if skipped > 0 && seen >= 100 && skipped as f64 > self.config.data.max_skipped * seen as f64 {
            let (allowed, reason) = (self.config.data.max_skipped, self.last_skip.clone());
            return Err(Error::TooManySkipped { skipped, seen, allowed, reason });
        }
        Ok(())
    }

    /// Each rank answers some of the questions.
    fn evaluate(&self) -> Result<EvalReport> {
        let mut accuracy = BTreeMap::new();
        if let Some(Quiz { processor, samples, .. }) = &self.quiz {
            let (rank, size) = (self.ranks.rank(), self.ranks.size());
            let own: Vec<Sample> = samples.iter().skip(rank).step_by(size).cloned().collect();
            let answer = || quiz::answer_all(&self.model, processor, &own, Look::Real, &mut |_| {});
            let answers = match &self.layers {
                Some(layers) => layers.all_here(answer)?,
                None => answer(),
            };
            let answers = self.ranks.together("evaluating", answers.map_err(Error::from))?;
            accuracy = quiz::accuracy_by_kind(&self.ranks.gather("answers", answers)?);
        }
        Ok(EvalReport { step: self.progress.step, accuracy })
    }

    /// Whether an evaluation surpasses all before, where that is asked for.
    fn note_best(&mut self, report: &EvalReport) -> bool {
        let Some(kind) = &self.config.save.best else { return false };
        let Some(accuracy) = report.of(kind) else {
            let known: Vec<&String> = report.accuracy.keys().collect();
            tracing::warn!("save.best: the evaluation has no {kind:?}, only {known:?} and their mean");
            return false;
        };
        let is_best = self.progress.best.is_none_or(|best| accuracy > best.accuracy);
        if is_best {
            self.progress.best = Some(Best { step: report.step, accuracy });
        }
        is_best
    }

    /// Begins a checkpoint, or with `wait` writes it.
    fn save(&mut self, wait: bool, tell: &mut impl FnMut(LogLine) -> Result<()>) -> Result<()> {
        let step = self.progress.step;
        tell_saved(self.saver.finish(&self.ranks)?, tell)?;
        if self.saver.make_room(&self.ranks, step)? {
            let snapshot = self.ranks.together(&saving(step), self.snapshot())?;
            self.saver.write(step, self.progress.best.map(|best| best.step), snapshot);
        }
        if wait {
            tell_saved(self.saver.finish(&self.ranks)?, tell)?;
        }
        Ok(())
    }

    /// What this rank writes of a checkpoint, as it is now.
    fn snapshot(&self) -> Result<Snapshot> {
        let (first, several) = (self.ranks.is_first(), self.owners.are_several());
        let collected =
            self.layers.as_ref().map_or_else(|| Ok(BTreeMap::new()), |layers| layers.collect())?;
        let shared = || -> Result<Shared> {
            let mut copies = collected;
            for (name, var) in &self.everywhere {
                copies.insert(name.clone(), host_copy(var)?);
            }
            Ok(Shared {
                config: self.model_config.clone(),
                tokenizer: self.tokenizer.clone(),
                weights: self.weights(copies)?,
                origin: self.origin.clone(),
                progress: self.progress,
            })
        };
        let optimizer = || -> Result<(String, Weights)> {
            let name = Snapshot::state_name(several.then(|| self.ranks.rank()));
            Ok((name.clone(), Weights::from_tensors(name, self.optimizer.state_dict()?)))
        };
        Ok(Snapshot {
            shared: first.then(shared).transpose()?,
            optimizer: (first || several).then(optimizer).transpose()?,
        })
    }

    fn final_folder(&self) -> PathBuf {
        self.config.output.join("final")
    }

    fn write_final(&self) -> Result<PathBuf> {
        let dir = self.final_folder();
        let there = self.ranks.is_first() && dir.exists();
        let [there] = self.ranks.sum("looking for the final weights", [f64::from(u8::from(there))])?;
        if there > 0.0 {
            return Ok(dir);
        }
        let collected =
            self.layers.as_ref().map_or_else(|| Ok(BTreeMap::new()), |layers| layers.collect())?;
        if self.ranks.is_first() {
            let weights = self.weights(collected)?.cast(self.config.save.final_dtype.into());
            let origin = self.origin.as_ref();
            Checkpoint::save(&dir, &self.model_config, &self.tokenizer, &weights, origin)?;
        }
        Ok(dir)
    }

    /// All weights by name; those in `copies` take the place of the run's own.
    fn weights(&self, copies: BTreeMap<String, Tensor>) -> strefer_nn::Result<Weights> {
        let mut tensors = self.store.tensors();
        tensors.extend(copies);
        tensors.retain(|name, _| !self.kept.contains(name));
        Weights::from_tensors(self.config.output.display().to_string(), tensors).joined(self.kept.clone())
    }
}

/// Reports a checkpoint that has got its name.
fn tell_saved(saved: Option<(usize, PathBuf)>, tell: &mut impl FnMut(LogLine) -> Result<()>) -> Result<()> {
    saved.map_or(Ok(()), |(step, path)| tell(LogLine::Saved { step, path }))
}
