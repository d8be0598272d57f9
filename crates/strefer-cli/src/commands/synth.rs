//! `strefer synth`: a world of moving bodies as video files, with everything that is true of them.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use strefer_synth::{Split, WorldConfig, write_world};

use crate::progress::bar;

/// Render a synthetic world with exact ground truth
#[derive(Debug, Args)]
pub struct SynthArgs {
    /// The folder to write: videos/ and truth.jsonl; a second call goes on where the first stopped
    #[arg(long)]
    out: PathBuf,
    /// Number of clips
    #[arg(long, default_value_t = 100)]
    count: u64,
    /// The first clip's number
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Test clips show combinations of attributes that training never does
    #[arg(long, value_enum, default_value_t = Part::Train)]
    split: Part,
    /// Seed of the world
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Longer clips with more bodies
    #[arg(long)]
    long: bool,
    /// TOML file of the world; its defaults when absent
    #[arg(long, conflicts_with = "long")]
    config: Option<PathBuf>,
}

/// Parts of the data.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Part {
    /// To learn from.
    Train,
    /// To watch while learning.
    Val,
    /// To measure at the end.
    Test,
}

impl From<Part> for Split {
    fn from(part: Part) -> Self {
        match part {
            Part::Train => Self::Train,
            Part::Val => Self::Val,
            Part::Test => Self::Test,
        }
    }
}

/// Runs it.
pub fn run(args: &SynthArgs) -> Result<()> {
    let config = match &args.config {
        Some(path) => {
            let text =
                std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
            toml::from_str(&text).with_context(|| format!("{} is no world", path.display()))?
        }
        None if args.long => WorldConfig::long(),
        None => WorldConfig::default(),
    };
    let bar = bar(args.count as usize, "clips");
    let range = args.first..args.first + args.count;
    write_world(&config, args.split.into(), args.seed, range, &args.out, &|done| {
        bar.set_position(done as u64)
    })?;
    bar.finish_and_clear();
    println!("{}", args.out.display());
    Ok(())
}
