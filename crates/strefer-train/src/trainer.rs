//! The training run: batches, steps, evaluations, checkpoints.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use candle_core::{DType, Device, Tensor, Var};
use strefer_core::Sample;
use strefer_core::mixture::SampleFile;
use strefer_eval::quiz::{self, Look};
use strefer_llm::Tokenizer;
use strefer_model::{
    Checkpoint, Inputs, Origin, Processor, ProcessorOptions, PromptToken, VideoLlm, VideoLlmConfig,
    VisualPrompt,
};
use strefer_nn::optim::{AdamW, Gradients, Group};
use strefer_nn::{ParamStore, Recompute, Weights};

use crate::config::TrainConfig;
use crate::error::{Error, Result, io};
use crate::log::{EvalReport, LogLine, RunLog, StepReport};
use crate::reader::{Batch, Reader, Source};
use crate::state::{Checkpoints, Progress, Saved, restore};

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

/// A run that is ready to go.
pub struct Trainer {
    config: TrainConfig,
    model_config: VideoLlmConfig,
    tokenizer: Tokenizer,
    origin: Option<Origin>,
    store: ParamStore,
    vars: BTreeMap<String, Var>,
    model: VideoLlm,
    recompute: Option<Recompute>,
    optimizer: AdamW,
    source: Arc<Source>,
    quiz: Option<(Processor, Vec<Sample>)>,
    checkpoints: Checkpoints,
    progress: Progress,
    last_skip: String,
}

impl Trainer {
    /// Prepares a new run, or with `resume` goes on where the last checkpoint of the run stands.
    ///
    /// # Errors
    /// A folder that holds a run already, a run of another configuration, a model, mixture or file that cannot be read.
    pub fn new(config: TrainConfig, resume: bool, device: &Device) -> Result<Self> {
        let run = config.output.clone();
        let checkpoints = Checkpoints::new(&run, config.save.keep);
        let latest =
            claim_output(&run, &config, resume)?.then(|| checkpoints.latest()).transpose()?.flatten();
        let checkpoint = Checkpoint::open(latest.as_deref().unwrap_or(&config.init))?;
        let (store, mut model) = build(&config, &checkpoint, device)?;
        let recompute = config.steps.recompute.then(Recompute::default);
        model.set_recompute(recompute.as_ref());
        let vars = store.vars();
        let mut optimizer = AdamW::new(&vars, config.optim.adamw, &groups(&config, &vars))?;
        let progress = match &latest {
            Some(path) => restore(path, &mut optimizer, device)?,
            None => Progress::default(),
        };
        let (model_config, tokenizer) = (checkpoint.config.clone(), checkpoint.tokenizer.clone());
        let processor = Processor::new(&model_config, tokenizer.clone(), ProcessorOptions::default());
        let source = Arc::new(Source::open(&config.data, config.seed, &processor)?);
        let quiz =
            config.eval.as_ref().map(|eval| open_quiz(eval, config.data.draw, &processor)).transpose()?;
        Ok(Self {
            config,
            model_config,
            tokenizer,
            origin: Origin::of(&checkpoint)?,
            store,
            vars,
            model,
            recompute,
            optimizer,
            source,
            quiz,
            checkpoints,
            progress,
            last_skip: String::new(),
        })
    }

    /// Steps done so far.
    pub fn step(&self) -> usize {
        self.progress.step
    }

    /// Number of parameters that learn, and of all.
    pub fn parameter_counts(&self) -> (usize, usize) {
        let learning = self.vars.values().map(|var| var.elem_count()).sum();
        (learning, self.store.tensors().values().map(Tensor::elem_count).sum())
    }

    /// Does the remaining steps. Setting `stop` ends the run after the step under way, with a checkpoint.
    pub fn run(&mut self, observer: &mut dyn Observer, stop: &AtomicBool) -> Result<Outcome> {
        let steps = self.config.steps;
        let mut log = RunLog::open(&self.config.output, self.progress.step)?;
        let mut reader = Reader::start(&self.source, steps, self.progress.step, self.config.data.readers);
        let mut tell = |line: LogLine| -> Result<()> {
            log.write(&line)?;
            observer.line(&line, steps.total);
            Ok(())
        };
        while self.progress.step < steps.total {
            if stop.load(Ordering::Relaxed) {
                let path = self.save()?;
                tell(LogLine::Saved { step: self.progress.step, path })?;
                return Ok(Outcome::Stopped { step: self.progress.step });
            }
            let (report, skipped) = self.one_step(&mut reader)?;
            for (id, reason) in skipped {
                tell(LogLine::Skipped { step: report.step, id, reason })?;
            }
            tell(LogLine::Step(report))?;
            self.check_skipped()?;
            let done = self.progress.step == steps.total;
            if self
                .config
                .eval
                .as_ref()
                .is_some_and(|eval| done || self.progress.step.is_multiple_of(eval.every))
            {
                tell(LogLine::Eval(self.evaluate()?))?;
            }
            if done || self.progress.step.is_multiple_of(self.config.save.every) {
                let path = self.save()?;
                tell(LogLine::Saved { step: self.progress.step, path })?;
            }
        }
        Ok(Outcome::Finished(self.write_final()?))
    }

    /// One optimiser step over all its passes.
    fn one_step(&mut self, reader: &mut Reader) -> Result<(StepReport, Vec<(String, String)>)> {
        let begun = Instant::now();
        let step = self.progress.step;
        let mut gradients: Option<Gradients> = None;
        let (mut loss, mut supervised, mut tokens, mut samples) = (0.0, 0, 0, 0);
        let (mut skipped, mut ids) = (Vec::new(), Vec::new());
        for _ in 0..self.config.steps.accumulation {
            let Batch { inputs, skipped: bad } = reader.next_batch()?;
            self.progress.seen += inputs.len() + bad.len();
            skipped.extend(bad);
            if inputs.is_empty() {
                continue;
            }
            ids.extend(inputs.iter().map(|input| input.id.clone()));
            samples += inputs.len();
            for alike in by_length(inputs, |input| self.positions(input)) {
                // Among the pool's own threads: a thread outside would compete with them for the cores.
                let (sum, count, width) = rayon::scope(|_| self.pass(&alike, &mut gradients))?;
                loss += sum;
                supervised += count;
                tokens += width;
            }
        }
        self.progress.skipped += skipped.len();
        if let Some((id, reason)) = skipped.last() {
            self.last_skip = format!("{id}: {reason}");
        }
        let Some(mut gradients) = gradients else {
            return Err(Error::NoSamples { step, reason: self.last_skip.clone() });
        };
        if supervised == 0 {
            return Err(Error::NothingSupervised { step, ids });
        }
        let loss = loss / supervised as f64;
        gradients.scale(1.0 / supervised as f64)?;
        let grad_norm = gradients.clip(self.config.optim.clip_norm)?;
        for (what, value) in [("loss", loss), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { step, what, value, ids });
            }
        }
        let lr = self.config.schedule.lr_at(step, self.config.steps.total);
        self.optimizer.step(&gradients, lr)?;
        self.progress.step += 1;
        self.progress.supervised += supervised;
        let report = StepReport {
            step,
            loss,
            lr,
            grad_norm,
            tokens,
            supervised,
            samples,
            skipped: self.progress.skipped,
            seconds: begun.elapsed().as_secs_f64(),
        };
        Ok((report, skipped))
    }

    /// Forward and backward of one micro-batch; gives the summed loss, its count and the positions computed.
    fn pass(&self, inputs: &[Inputs], gradients: &mut Option<Gradients>) -> Result<(f64, usize, usize)> {
        let spliced = self.model.splice(inputs)?;
        let width = spliced.embeds.dim(0)? * spliced.embeds.dim(1)?;
        let hidden = self.model.forward(&spliced)?;
        let (sum, count) = self.model.language_model().loss(&hidden, &spliced.labels)?;
        let mut own = Gradients::collect(&self.vars, &sum.backward()?);
        if let Some(recompute) = &self.recompute {
            recompute.add_to(&mut own, &self.vars)?;
        }
        match gradients {
            Some(all) => all.add(own)?,
            None => *gradients = Some(own),
        }
        Ok((f64::from(sum.to_dtype(DType::F32)?.to_scalar::<f32>()?), count, width))
    }

    /// Positions of a sample in the language model, visual tokens included.
    fn positions(&self, inputs: &Inputs) -> usize {
        let cfg = &self.model_config;
        let most = cfg.region.map_or(0, |region| region.max_tokens);
        let of = |token: &PromptToken| match *token {
            PromptToken::Text(_) => 1,
            PromptToken::Video => inputs.video_tokens(cfg),
            PromptToken::Region(region) => {
                inputs.regions.get(region).map_or(0, |rows| rows.rows.len().min(most))
            }
        };
        inputs.tokens.iter().map(of).sum()
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

    fn evaluate(&self) -> Result<EvalReport> {
        let mut accuracy = BTreeMap::new();
        if let Some((processor, samples)) = &self.quiz {
            let answers = quiz::answer_all(&self.model, processor, samples, Look::Real, &mut |_| {})?;
            accuracy = quiz::accuracy_by_kind(&answers);
        }
        Ok(EvalReport { step: self.progress.step, accuracy })
    }

    fn save(&self) -> Result<PathBuf> {
        self.checkpoints.save(&Saved {
            config: &self.model_config,
            tokenizer: &self.tokenizer,
            weights: &self.weights(),
            origin: self.origin.as_ref(),
            optimizer: &self.optimizer,
            progress: self.progress,
        })
    }

    fn write_final(&self) -> Result<PathBuf> {
        let dir = self.config.output.join("final");
        if !dir.exists() {
            let weights = self.weights().cast(self.config.save.final_dtype.into());
            let origin = self.origin.as_ref();
            Checkpoint::save(&dir, &self.model_config, &self.tokenizer, &weights, origin)?;
        }
        Ok(dir)
    }

    fn weights(&self) -> Weights {
        Weights::from_tensors(self.config.output.display().to_string(), self.store.tensors())
    }
}

/// Rows of like length, longest first: padding a short prompt to a long one costs as much as the long one.
fn by_length<T>(rows: Vec<T>, length: impl Fn(&T) -> usize) -> Vec<Vec<T>> {
    let mut rows: Vec<(usize, T)> = rows.into_iter().map(|row| (length(&row), row)).collect();
    rows.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    let (mut groups, mut longest) = (Vec::<Vec<T>>::new(), 0);
    for (length, row) in rows {
        match groups.last_mut() {
            Some(group) if 5 * length >= 3 * longest => group.push(row),
            _ => {
                longest = length;
                groups.push(vec![row]);
            }
        }
    }
    groups
}

/// Makes the run's folder, or checks that it is this run's. Gives whether there may be checkpoints.
fn claim_output(run: &Path, config: &TrainConfig, resume: bool) -> Result<bool> {
    let path = run.join("config.toml");
    let bad = |reason: String| Error::Config { path: path.clone(), reason };
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
    let text = toml::to_string_pretty(config).map_err(|error| bad(error.to_string()))?;
    let temporary = path.with_extension("toml.tmp");
    fs::write(&temporary, text).map_err(io(&temporary))?;
    fs::rename(&temporary, &path).map_err(io(&path))?;
    Ok(false)
}

fn build(config: &TrainConfig, checkpoint: &Checkpoint, device: &Device) -> Result<(ParamStore, VideoLlm)> {
    let weights: Weights = checkpoint.weights()?;
    let learning: Vec<String> =
        config.parts.learning().into_iter().map(|(prefix, _)| format!("{prefix}.")).collect();
    let store = ParamStore::new(config.seed, device, DType::F32)
        .with_weights(weights)
        .trainable(move |name| learning.iter().any(|prefix| name.starts_with(prefix)));
    let model = VideoLlm::new(&checkpoint.config, store.var_builder())?;
    store.check_complete()?;
    Ok((store, model))
}

/// Matrices are decayed, vectors (biases, norms) are not; every part has its own rate.
fn groups(config: &TrainConfig, vars: &BTreeMap<String, Var>) -> Vec<Group> {
    let vectors: BTreeSet<String> =
        vars.iter().filter(|(_, var)| var.rank() <= 1).map(|(name, _)| name.clone()).collect();
    let vectors = Arc::new(vectors);
    let mut groups = Vec::new();
    for (prefix, lr_scale) in config.parts.learning() {
        let prefix = format!("{prefix}.");
        let (own, vectors) = (prefix.clone(), Arc::clone(&vectors));
        groups.push(Group {
            matches: Box::new(move |name| name.starts_with(&own) && vectors.contains(name)),
            lr_scale,
            weight_decay: 0.0,
        });
        groups.push(Group {
            matches: Box::new(move |name| name.starts_with(&prefix)),
            lr_scale,
            weight_decay: config.optim.weight_decay,
        });
    }
    groups
}

fn open_quiz(
    eval: &crate::config::EvalConfig,
    draw: VisualPrompt,
    processor: &Processor,
) -> Result<(Processor, Vec<Sample>)> {
    let file = SampleFile::open(&eval.samples, None)?;
    let own_folder = || eval.samples.parent().map_or_else(PathBuf::new, PathBuf::from);
    let media_root = eval.media_root.clone().unwrap_or_else(own_folder);
    let processor =
        processor.with_options(ProcessorOptions { media_root, draw, ..ProcessorOptions::default() });
    let count = eval.limit.min(file.len());
    let samples: strefer_core::Result<Vec<Sample>> =
        (0..count).map(|index| file.get(index * file.len() / count)).collect();
    Ok((processor, samples?))
}

#[cfg(test)]
mod tests {
    use super::by_length;

    #[test]
    fn rows_of_like_length_stay_together_and_none_is_lost() {
        let rows = vec![30, 100, 61, 59, 60, 10, 18];
        let groups = by_length(rows, |row| *row);
        assert_eq!(groups, [vec![100, 61, 60], vec![59], vec![30, 18], vec![10]]);
        assert!(by_length(Vec::<usize>::new(), |row| *row).is_empty());
    }
}
