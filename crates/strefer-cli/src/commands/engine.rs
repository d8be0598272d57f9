//! `strefer engine`: videos become stage records and instruction samples, to be looked at; masklets alone; questions about motion.

use anyhow::Result;
use clap::{Args, Subcommand};

use super::engine_filter::{self, FilterArgs, LimitsArgs, SpoilArgs};
use super::engine_inspect::{self, InspectArgs};
use super::engine_masklets::{self, MaskletsArgs};
use super::engine_rehearse::{self, RehearseArgs};
use super::engine_run::{self, RunArgs, RunJob};
use super::engine_stkit::{self, StkitArgs};
use crate::args::DeviceArgs;

/// Make instruction data from videos or a synthetic world; without a subcommand it is `run`
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct EngineArgs {
    #[command(subcommand)]
    job: Option<Job>,
    #[command(flatten)]
    run: Option<RunArgs>,
    #[command(flatten)]
    device: DeviceArgs,
}

#[derive(Debug, Subcommand)]
enum Job {
    Run(Box<RunJob>),
    Masklets(MaskletsArgs),
    Stkit(StkitArgs),
    Rehearse(RehearseArgs),
    Inspect(InspectArgs),
    Filter(Box<FilterArgs>),
    Spoil(SpoilArgs),
    FilterLimits(LimitsArgs),
}

/// Runs it.
pub fn run(args: &EngineArgs) -> Result<()> {
    match (&args.job, &args.run) {
        (Some(Job::Run(job)), _) => job.run(),
        (Some(Job::Masklets(args)), _) => engine_masklets::run(args),
        (Some(Job::Stkit(args)), _) => engine_stkit::run(args),
        (Some(Job::Rehearse(args)), _) => engine_rehearse::run(args),
        (Some(Job::Inspect(args)), _) => engine_inspect::run(args),
        (Some(Job::Filter(args)), _) => engine_filter::run_filter(args),
        (Some(Job::Spoil(args)), _) => engine_filter::run_spoil(args),
        (Some(Job::FilterLimits(args)), _) => engine_filter::run_limits(args),
        (None, Some(run)) => engine_run::run(run, &args.device),
        (None, None) => anyhow::bail!("name a configuration, or a subcommand"),
    }
}
