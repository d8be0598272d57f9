//! How models of the hub are had.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::model_dir::model_dir;

/// How models of the hub are had.
#[derive(Debug, Args)]
pub struct HubArgs {
    /// Take a model of the hub (`hf:OWNER/NAME`) as the cache has it and download nothing, as with HF_HUB_OFFLINE=1
    #[arg(long)]
    pub offline: bool,
}

impl HubArgs {
    /// The folder of a model: `named` itself, or where the model of the hub lies that it names.
    pub fn folder(&self, named: &Path) -> anyhow::Result<PathBuf> {
        model_dir(named, self.offline)
    }
}
