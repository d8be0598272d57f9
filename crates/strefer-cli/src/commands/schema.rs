//! `strefer schema`: what a configuration may hold.

use anyhow::Result;
use clap::{Args, ValueEnum};
use strefer_engine::config::EngineConfig;
use strefer_engine::stkit::run::StkitRunConfig;
use strefer_store::mix::MixConfig;
use strefer_train::TrainConfig;

/// Print the JSON schema of a configuration, for editors
#[derive(Debug, Args)]
pub struct SchemaArgs {
    /// Of which job
    #[arg(value_enum, default_value_t = Job::Train)]
    job: Job,
}

/// Jobs with a configuration.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Job {
    /// A training run
    Train,
    /// A mixture
    Mix,
    /// A run of the data engine
    Engine,
    /// Questions about motion
    Stkit,
}

/// Runs it.
pub fn run(args: &SchemaArgs) -> Result<()> {
    let schema = match args.job {
        Job::Train => TrainConfig::schema(),
        Job::Mix => MixConfig::schema(),
        Job::Engine => EngineConfig::schema(),
        Job::Stkit => StkitRunConfig::schema(),
    };
    println!("{}", serde_json::to_string_pretty(&schema)?);
    Ok(())
}
