//! What a run sees at one of its steps, rebuilt from configuration and step alone.

use strefer_core::mixture::Place;
use strefer_llm::Tokenizer;
use strefer_model::{Checkpoint, Inputs, Processor, ProcessorOptions};

use crate::config::TrainConfig;
use crate::error::{Error, Result};
use crate::reader::{Cursor, Source};

/// One sample of a step.
#[derive(Debug)]
pub struct SeenSample {
    /// Name of its source.
    pub source: String,
    /// Which sample of the source.
    pub index: usize,
    /// What the model sees of it, or its id and why it is skipped.
    pub inputs: std::result::Result<Inputs, (String, String)>,
}

/// All samples of a step, in the order of its passes.
#[derive(Debug)]
pub struct SeenStep {
    /// Says what ids are.
    pub tokenizer: Tokenizer,
    /// The samples.
    pub samples: Vec<SeenSample>,
}

impl SeenStep {
    /// Rebuilds a step, counted from 0 as in the log. Weights are not read, and the run's folder is not touched.
    ///
    /// # Errors
    /// The run has no such step; a model or mixture that cannot be read.
    pub fn of(config: &TrainConfig, step: usize) -> Result<Self> {
        let steps = config.steps;
        let checkpoint = Checkpoint::open(&config.init)?;
        let tokenizer = checkpoint.tokenizer.clone();
        let processor = Processor::new(&checkpoint.config, tokenizer.clone(), ProcessorOptions::default());
        let source = Source::open(&config.data, config.seed, &processor)?;
        let total = steps.count(source.epoch_len());
        if step >= total {
            return Err(Error::NoSuchStep { step, total });
        }
        let mut cursor = Cursor::default();
        let samples = (step * steps.batch..(step + 1) * steps.batch).map(|position| {
            let place: Place = cursor.place(&source, position);
            SeenSample {
                source: source.name(place.source).to_owned(),
                index: place.index,
                inputs: source.row(place, position as u64).map(|row| row.inputs),
            }
        });
        Ok(Self { samples: samples.collect(), tokenizer })
    }
}
