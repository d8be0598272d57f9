//! What a run will need, before it begins: memory, work, disk, and how long samples take to decode.

mod activations;
mod connector;
mod memory;
mod work;

use std::time::Instant;

use candle_core::Device;
use serde::Serialize;
use strefer_core::Rng;
use strefer_model::{Checkpoint, Processor, ProcessorOptions};
use strefer_nn::ops::has_kernels;

use crate::config::{Float, Part, TrainConfig};
use crate::error::Result;
use crate::portions::Portions;
use crate::ranks::Owners;
use crate::reader::{AHEAD, Cursor, Source};

pub(crate) use activations::{Kept, kept};
pub use memory::RankMemory;
use memory::{Parameter, parameters, spread, states};
pub(crate) use work::{Learning, RowSize, flops};

/// Samples that are looked at, spread over the run.
const LOOKED_AT: usize = 64;

/// Passes that are made up of them.
const DRAWS: usize = 1000;

/// Where a run computes, as far as its memory depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Place {
    /// On processors.
    Processor,
    /// On cards.
    Card {
        /// By kernels (`STREFER_KERNELS`), not by operations of candle.
        fused: bool,
    },
}

impl Place {
    /// Whether it is a card.
    pub fn is_card(self) -> bool {
        self != Self::Processor
    }
}

impl From<&Device> for Place {
    /// Where this process computes on that device.
    fn from(device: &Device) -> Self {
        if device.is_cpu() { Self::Processor } else { Self::Card { fused: has_kernels(device) } }
    }
}

/// A run's needs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Plan {
    /// Optimiser steps.
    pub steps: usize,
    /// Samples of the mixture, each as often as an epoch sees it.
    pub epoch: usize,
    /// Parameters that learn, and all.
    pub parameters: (usize, usize),
    /// Bytes of each rank.
    pub ranks: Vec<RankMemory>,
    /// What the samples that were looked at are like.
    pub samples: SampleStatistics,
    /// Floating-point operations of a step over all ranks; layers that run again are counted once.
    pub flops_per_step: f64,
    /// Bytes of all checkpoints that are kept, one that is being written, and the final weights.
    pub disk: usize,
}

/// What some samples of a run are like.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct SampleStatistics {
    /// How many were looked at.
    pub count: usize,
    /// How many of them cannot be used.
    pub refused: usize,
    /// Mean positions in the language model.
    pub mean_positions: f64,
    /// Most positions.
    pub most_positions: usize,
    /// Mean positions that are learnt.
    pub mean_supervised: f64,
    /// Mean frames that go through the vision tower.
    pub mean_frames: f64,
    /// Mean seconds to read, decode and prepare one, on one thread.
    pub seconds: f64,
}

impl Plan {
    /// Looks at the checkpoint's tensors without reading them, and at some samples of the run. Nothing is written.
    ///
    /// # Errors
    /// A batch that so many ranks cannot share; a model or mixture that cannot be read.
    pub fn of(config: &TrainConfig, ranks: usize, place: Place) -> Result<Self> {
        let passes = config.steps.passes(ranks)?;
        let checkpoint = Checkpoint::open(&config.init)?;
        let cfg = &checkpoint.config;
        let parameters = parameters(config, &checkpoint)?;
        let processor = Processor::new(cfg, checkpoint.tokenizer.clone(), ProcessorOptions::default());
        let source = Source::open(&config.data, config.seed, &processor)?;
        let steps = config.steps.count(source.epoch_len());
        let (rows, samples) = look(&source, steps * config.steps.batch, cfg);

        let learning = learning_of(&parameters);
        let width = match (config.steps.dtype, place.is_card()) {
            (Float::F32, _) => 4,
            (_, true) => 2,
            // A processor computes in f32 what it keeps narrow.
            (_, false) => 6,
        };
        // Passes of rows that were looked at, as many as the run has, up to a limit: their largest.
        let rng = Rng::new(config.seed, "plan");
        let draws = (steps * passes.count()).min(DRAWS);
        let count = |learns: bool| -> usize {
            let some = parameters.iter().filter(|parameter| parameter.learns || !learns);
            some.map(|parameter| parameter.count).sum()
        };
        let (learn, all) = (count(true), count(false));
        let portions = Portions::new(config, cfg, learning, learn, place);
        let held = (0..draws as u64).map(|draw| {
            let order = rng.at(draw).permutation(rows.len());
            let pass = order.into_iter().cycle().take(if rows.is_empty() { 0 } else { passes.rows() });
            let pass = portions.of(pass.map(|at| rows[at]).collect(), |row| *row);
            portions.held(&pass, rayon::current_num_threads(), passes.count() > 1)
        });
        let (kept, sets) = held.fold((Kept::default(), 1), |a, b| (a.0.max(b.0), a.1.max(b.1)));
        let frames = rows.iter().map(|row| row.frames).max().unwrap_or_default();
        let sample = frames * 3 * cfg.image_size().pow(2) * size_of::<f32>();
        // On the way to a card a pass lies in page-locked memory, and one waits for its turn.
        let carries = place == Place::Card { fused: true };
        let waiting = config.data.readers * (AHEAD + 1) + if carries { 2 } else { 0 };
        let ahead = waiting * passes.rows() * sample;

        let mut found = Vec::new();
        for rank in 0..ranks {
            let owners =
                spread(Owners::of_rank(config.steps.shard, rank, ranks), config.steps.shard, &parameters);
            let mut memory = RankMemory::new(place, sets, cfg.llm.tie_word_embeddings);
            memory.keep(config, &parameters, &owners, rank == 0)?;
            memory.activations = width * kept.most;
            memory.middle_activations = width * kept.middle;
            memory.last_activations = width * kept.tower;
            memory.carried = if carries { 2 * passes.rows() * sample } else { 0 };
            memory.data = ahead + (config.data.cache_mb << 20);
            found.push(memory);
        }
        let own = if config.steps.dtype == Float::F32 { 4 } else { 2 };
        let learning_parameters = parameters.iter().filter(|parameter| parameter.learns);
        let state: usize = learning_parameters.map(|parameter| states(config, parameter.count)).sum();
        let kept = config.save.keep + 1 + usize::from(config.save.best.is_some());
        let last = if config.save.final_dtype == Float::F32 { 4 } else { 2 };
        let per_row =
            rows.iter().map(|row| flops(*row, cfg, learning)).sum::<f64>() / rows.len().max(1) as f64;
        Ok(Self {
            steps,
            epoch: source.epoch_len(),
            parameters: (learn, all),
            ranks: found,
            samples,
            flops_per_step: per_row * config.steps.batch as f64,
            disk: kept * (own * all + state) + last * all,
        })
    }
}

pub(crate) fn learning_of<'a>(parameters: impl IntoIterator<Item = &'a Parameter>) -> Learning {
    let learning: Vec<Part> = parameters.into_iter().filter(|one| one.learns).map(|one| one.part).collect();
    Learning::of(&learning)
}

impl Learning {
    /// What it is when these parts learn.
    pub(crate) fn of(parts: &[Part]) -> Self {
        let any = |wanted: &[Part]| parts.iter().any(|part| wanted.contains(part));
        Self {
            vision: any(&[Part::Vision]),
            language: any(&[Part::Language]),
            lora: any(&[Part::Lora]),
            connector: any(&[Part::Connector]),
            head: any(&[Part::Head, Part::Tokens]),
            embedding: any(&[Part::Embedding]),
            before: any(&[Part::Vision, Part::Connector, Part::Region, Part::Tokens, Part::Embedding]),
        }
    }
}

/// Some samples of the run, as it would see them.
fn look(
    source: &Source,
    seen: usize,
    cfg: &strefer_model::VideoLlmConfig,
) -> (Vec<RowSize>, SampleStatistics) {
    let mut cursor = Cursor::default();
    let (mut rows, mut statistics) = (Vec::new(), SampleStatistics::default());
    let begun = Instant::now();
    for at in 0..LOOKED_AT.min(seen) {
        let position = at * seen / LOOKED_AT.min(seen);
        statistics.count += 1;
        match source.row(cursor.place(source, position), position as u64) {
            Ok(row) => rows.push(RowSize::of(&row.inputs, cfg)),
            Err((id, reason)) => {
                statistics.refused += 1;
                tracing::warn!("{id}: {reason}");
            }
        }
    }
    let mean =
        |of: fn(&RowSize) -> usize| rows.iter().map(of).sum::<usize>() as f64 / (rows.len() as f64).max(1.0);
    statistics.mean_positions = mean(|row| row.positions);
    statistics.mean_supervised = mean(|row| row.supervised);
    statistics.mean_frames = mean(|row| row.frames);
    statistics.most_positions = rows.iter().map(|row| row.positions).max().unwrap_or_default();
    statistics.seconds = begun.elapsed().as_secs_f64() / statistics.count.max(1) as f64;
    (rows, statistics)
}
