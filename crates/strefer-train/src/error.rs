//! What can stop a training run.

use std::path::PathBuf;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a run cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the run cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A configuration that does not parse, or cannot be meant.
    #[error("{path}: {reason}")]
    Config {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A configuration file that cannot be read.
    #[error(transparent)]
    Settings(#[from] strefer_core::settings::SettingsError),
    /// A new run into a folder that holds one.
    #[error("{path} exists; resume the run with --resume, or name another folder")]
    OutputExists {
        /// The folder.
        path: PathBuf,
    },
    /// A run to be resumed was started with another configuration.
    #[error("{path}: the run was started with another configuration, {field} differs")]
    ConfigChanged {
        /// The folder of the run.
        path: PathBuf,
        /// The first section that differs.
        field: String,
    },
    /// The mixture or one of its files.
    #[error(transparent)]
    Data(#[from] strefer_core::Error),
    /// A set of samples or its media.
    #[error(transparent)]
    Store(#[from] strefer_store::Error),
    /// The model, its weights or its inputs.
    #[error(transparent)]
    Model(#[from] strefer_model::Error),
    /// The file of a quantised language model.
    #[error(transparent)]
    Language(#[from] strefer_llm::Error),
    /// Evaluation during training.
    #[error(transparent)]
    Eval(#[from] strefer_eval::Error),
    /// Optimiser state or weights.
    #[error(transparent)]
    Weights(#[from] strefer_nn::Error),
    /// A computation failed.
    #[error(transparent)]
    Tensor(#[from] candle_core::Error),
    /// A step behind the last.
    #[error("there is no step {step}: the run has {total}, the first is 0")]
    NoSuchStep {
        /// The step.
        step: usize,
        /// Steps of the run.
        total: usize,
    },
    /// A step cannot be split between the ranks.
    #[error("steps.batch is {batch}, which {ranks} ranks cannot share evenly")]
    UnevenBatch {
        /// Samples of a step.
        batch: usize,
        /// How many ranks there are.
        ranks: usize,
    },
    /// Another rank cannot go on; it says why.
    #[error("{what}: another rank has failed and says why")]
    OtherRank {
        /// What was to be done together.
        what: String,
    },
    /// The checkpoint has low-rank updates of another kind than the run asks for.
    #[error(
        "{path}: it has low-rank updates already, of other rank, alpha or modules; merge them with `strefer convert --merge-lora`"
    )]
    OtherLora {
        /// The checkpoint.
        path: PathBuf,
    },
    /// Too many samples of a step cannot be used.
    #[error("step {step}: no sample of the step can be used, the last reason was: {reason}")]
    NoSamples {
        /// The step.
        step: usize,
        /// Why the last one was skipped.
        reason: String,
    },
    /// Nothing is learnt: usually a template that does not fit the tokenizer.
    #[error("step {step}: no position is supervised in samples {ids:?}")]
    NothingSupervised {
        /// The step.
        step: usize,
        /// The samples.
        ids: Vec<String>,
    },
    /// The loss or a gradient is infinite or not a number.
    #[error("step {step}: the {what} is {value}; samples {ids:?}")]
    NotFinite {
        /// The step.
        step: usize,
        /// Loss or gradient norm.
        what: &'static str,
        /// Its value.
        value: f64,
        /// The samples.
        ids: Vec<String>,
    },
    /// More samples were skipped than the configuration allows.
    #[error("{skipped} of {seen} samples were skipped, more than the {allowed} allowed; the last: {reason}")]
    TooManySkipped {
        /// Skipped so far.
        skipped: usize,
        /// Seen so far.
        seen: usize,
        /// The limit as a share.
        allowed: f64,
        /// Why the last one was skipped.
        reason: String,
    },
    /// A file of a checkpoint is not as it was written.
    #[error("{path}: {file} is not as it was written; without this folder an older checkpoint is taken")]
    DamagedCheckpoint {
        /// The checkpoint.
        path: PathBuf,
        /// Its file.
        file: String,
    },
    /// The thread that writes checkpoints has died.
    #[error("the writer of checkpoints stopped unexpectedly")]
    WriterDied,
    /// The thread that reads data has died.
    #[error("the data reader stopped unexpectedly")]
    ReaderDied,
}

/// An [`Error::Io`] about `path`.
pub fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { path, source }
}
