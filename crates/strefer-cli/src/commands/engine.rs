//! `strefer engine`: videos become stage records and instruction samples; one stage alone.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use strefer_core::records::VideoKind;
use strefer_core::{IndexSpace, UniformRule};
use strefer_engine::EngineConfig;
use strefer_synth::read_truth;

use super::engine_masklets::{self, MaskletsArgs};
use super::engine_rehearse::{self, RehearseArgs};
use super::world::to_engine;
use crate::args::key_value;
use crate::progress::bar;

/// Make instruction data from a synthetic world, or run one stage
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct EngineArgs {
    #[command(subcommand)]
    stage: Option<Stage>,
    #[command(flatten)]
    world: Option<WorldArgs>,
}

#[derive(Debug, Subcommand)]
enum Stage {
    Masklets(MaskletsArgs),
    Rehearse(RehearseArgs),
}

#[derive(Debug, Args)]
struct WorldArgs {
    /// TOML file of the engine
    config: PathBuf,
    /// Folder of a world made with `strefer synth`
    #[arg(long)]
    world: PathBuf,
    /// Frames of the uniform sample that masks are stored for
    #[arg(long, default_value_t = 32)]
    frames: u32,
    /// Set a single value, such as instruct.seed=2
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
    /// The folder to write; a second call goes on where the first stopped
    #[arg(long)]
    out: PathBuf,
}

/// Runs it.
pub fn run(args: &EngineArgs) -> Result<()> {
    match (&args.stage, &args.world) {
        (Some(Stage::Masklets(args)), _) => engine_masklets::run(args),
        (Some(Stage::Rehearse(args)), _) => engine_rehearse::run(args),
        (None, Some(args)) => make(args),
        (None, None) => anyhow::bail!("name a configuration and a world, or a stage"),
    }
}

fn make(args: &WorldArgs) -> Result<()> {
    let config: EngineConfig = strefer_core::settings::load(&args.config, &args.overrides)
        .with_context(|| format!("{} is no engine configuration", args.config.display()))?;
    let clips = read_truth(&args.world)?;
    let space = IndexSpace::Uniform { n: args.frames, rule: UniformRule::LinspaceTrunc };
    let inputs = clips.iter().map(|clip| {
        let file = format!("videos/{}.mp4", clip.id);
        let (uri, kind) = if args.world.join(&file).exists() {
            (file, VideoKind::File)
        } else {
            (format!("videos/{}", clip.id), VideoKind::FramesDir)
        };
        Ok(to_engine(clip, uri, kind, space).stages())
    });
    let bar = bar(clips.len(), "videos");
    let summary = strefer_engine::run::run(inputs, &args.out, &config, |_| bar.inc(1))?;
    bar.finish_and_clear();
    println!("{}", serde_json::to_string(&summary)?);
    Ok(())
}
