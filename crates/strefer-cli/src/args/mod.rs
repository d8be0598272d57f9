//! Arguments that several jobs share.

mod bench;
mod device;
mod hub;
mod marks;
mod score;
mod tracks;

use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use clap::{Args, ValueEnum};
use strefer_llm::gguf::Gguf;
use strefer_model::{Checkpoint, Loaded, Loading, ProcessorOptions};

use crate::model_dir::find_model;

pub use bench::{BenchArgs, PaceArgs, ViewArgs, named};
pub use device::DeviceArgs;
pub use hub::HubArgs;
pub use marks::MarkArgs;
pub use score::ScoreRunArgs;
pub use tracks::{TrackArgs, TrackFormat};

/// Which model, where and how.
#[derive(Debug, Args)]
pub struct ModelArgs {
    /// Checkpoint folder, or `hf:OWNER/NAME[@REVISION]` for a model of the hub; the model that comes with the program when
    /// absent
    #[arg(long)]
    pub model: Option<PathBuf>,
    #[command(flatten)]
    hub: HubArgs,
    #[command(flatten)]
    device: DeviceArgs,
    /// Type of the weights in memory
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    pub dtype: Precision,
    /// GGUF file with the language model's weights quantised, to run with those (strefer convert --gguf writes one)
    #[arg(long, value_name = "FILE")]
    pub language: Option<PathBuf>,
}

/// Types of weights in memory.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Precision {
    /// 32 bits.
    F32,
    /// 16 bits, 8 of them exponent.
    Bf16,
    /// 16 bits, 5 of them exponent.
    F16,
}

impl From<Precision> for DType {
    fn from(precision: Precision) -> Self {
        match precision {
            Precision::F32 => Self::F32,
            Precision::Bf16 => Self::BF16,
            Precision::F16 => Self::F16,
        }
    }
}

impl ModelArgs {
    /// The model's folder; a model of the hub is downloaded if it has to be.
    pub fn folder(&self) -> anyhow::Result<PathBuf> {
        self.hub.folder(&find_model(self.model.as_deref())?)
    }

    /// The first of its devices, for models that work beside it.
    pub fn first_device(&self) -> anyhow::Result<Device> {
        Ok(self.device.placement()?.first().clone())
    }

    /// Loads the model.
    pub fn load(&self, options: ProcessorOptions) -> anyhow::Result<Loaded> {
        self.load_from(&self.folder()?, options)
    }

    /// Loads the model from its [folder](Self::folder).
    pub fn load_from(&self, folder: &Path, options: ProcessorOptions) -> anyhow::Result<Loaded> {
        self.load_checkpoint(&Checkpoint::open(folder)?, options)
    }

    /// Loads the model of a checkpoint that was opened, and perhaps changed.
    pub fn load_checkpoint(
        &self,
        checkpoint: &Checkpoint,
        options: ProcessorOptions,
    ) -> anyhow::Result<Loaded> {
        let language = self.language.as_ref().map(Gguf::open).transpose()?;
        let loading = Loading { language, ..Loading::on(self.device.placement()?, self.dtype.into()) };
        Ok(checkpoint.load_with(loading, options)?)
    }
}

/// `KEY=VALUE` of `--set`.
pub fn key_value(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.trim().to_owned())),
        _ => Err("expected KEY=VALUE".to_owned()),
    }
}
