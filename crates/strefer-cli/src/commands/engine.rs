//! `strefer engine`: videos become stage records and instruction samples; masklets alone.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::engine_masklets::{self, MaskletsArgs};
use super::engine_rehearse::{self, RehearseArgs};
use super::engine_run::{self, RunArgs};

/// Make instruction data from videos or a synthetic world; without a subcommand it is `run`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct EngineArgs {
    #[command(subcommand)]
    job: Option<Job>,
    #[command(flatten)]
    run: Option<RunArgs>,
}

#[derive(Debug, Subcommand)]
enum Job {
    Run(Box<RunArgs>),
    Masklets(MaskletsArgs),
    Rehearse(RehearseArgs),
}

/// Runs it.
pub fn run(args: &EngineArgs) -> Result<()> {
    match (&args.job, &args.run) {
        (Some(Job::Run(args)), _) => engine_run::run(args),
        (Some(Job::Masklets(args)), _) => engine_masklets::run(args),
        (Some(Job::Rehearse(args)), _) => engine_rehearse::run(args),
        (None, Some(args)) => engine_run::run(args),
        (None, None) => anyhow::bail!("name a configuration, or a subcommand"),
    }
}
