//! `strefer schema`: what a configuration may hold.

use anyhow::Result;
use clap::Args;
use strefer_train::TrainConfig;

/// Print the JSON schema of a training run's file, for editors
#[derive(Debug, Args)]
pub struct SchemaArgs {}

/// Runs it.
pub fn run(_args: &SchemaArgs) -> Result<()> {
    println!("{}", serde_json::to_string_pretty(&TrainConfig::schema())?);
    Ok(())
}
