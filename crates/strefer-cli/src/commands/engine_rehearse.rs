//! `strefer engine rehearse`: the rules of masklets over simulated models, whose faults are set.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::{ArgGroup, Args};
use strefer_core::jsonl::Writer;
use strefer_core::records::{Record, VideoKind};
use strefer_core::{IndexSpace, UniformRule};
use strefer_engine::masklets::simulate::{Noise, Rules, StageConfig, run as simulate, stage};
use strefer_engine::masklets::{CorrectedConfig, PublishedConfig};
use strefer_engine::truth::TruthVideo;
use strefer_synth::read_truth;

use super::world::to_engine;
use crate::progress::bar;

/// Try the rules of masklets on simulated models, and write what they find beside the truth
#[derive(Debug, Args)]
#[command(group(ArgGroup::new("videos").required(true).args(["world", "staged"])))]
pub struct RehearseArgs {
    /// Folder of a world made with `strefer synth`
    #[arg(long)]
    world: Option<PathBuf>,
    /// This many worlds of masks alone, whose objects come late, leave and return
    #[arg(long, value_name = "COUNT")]
    staged: Option<u64>,
    /// Faults of the models: none, light, heavy, or a TOML file
    #[arg(long, default_value = "light")]
    noise: String,
    /// Seed of the staged worlds and of the faults
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Frames of the uniform sample, of a world
    #[arg(long, default_value_t = 32)]
    frames: u32,
    /// The folder to write: truth.jsonl, published.jsonl, corrected.jsonl
    #[arg(long)]
    out: PathBuf,
}

impl RehearseArgs {
    fn noise(&self) -> Result<Noise> {
        let noise = match self.noise.as_str() {
            "none" => Noise::none(),
            "light" => Noise::light(),
            "heavy" => Noise::heavy(),
            file => {
                let text = std::fs::read_to_string(file).with_context(|| format!("cannot read {file}"))?;
                toml::from_str(&text).with_context(|| format!("{file} is no table of faults"))?
            }
        };
        if let Some(problem) = noise.problem() {
            anyhow::bail!("--noise {}: {problem}", self.noise);
        }
        Ok(Noise { seed: self.seed, ..noise })
    }

    fn videos(&self) -> Result<Vec<TruthVideo>> {
        if let Some(count) = self.staged {
            return Ok((0..count).map(|index| stage(&StageConfig::default(), self.seed, index)).collect());
        }
        let world = self.world.as_deref().context("name a world, or how many are staged")?;
        let space = IndexSpace::Uniform { n: self.frames, rule: UniformRule::LinspaceTrunc };
        let video = |clip| to_engine(clip, String::new(), VideoKind::File, space);
        Ok(read_truth(world)?.iter().map(video).collect())
    }
}

/// Runs it.
pub fn run(args: &RehearseArgs) -> Result<()> {
    let (noise, videos) = (args.noise()?, args.videos()?);
    std::fs::create_dir_all(&args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let rules = [
        ("published", Rules::Published(PublishedConfig::default())),
        ("corrected", Rules::Corrected(CorrectedConfig::default())),
    ];
    let mut truth = Writer::create(args.out.join("truth.jsonl"))?;
    let mut found = rules
        .iter()
        .map(|(name, _)| Writer::create(args.out.join(format!("{name}.jsonl"))))
        .collect::<strefer_core::Result<Vec<Writer>>>()?;
    let bar = bar(videos.len(), "videos");
    for video in &videos {
        truth.write(&Record::Masklets(video.stages().masklets))?;
        for ((_, rules), writer) in rules.iter().zip(&mut found) {
            writer.write(&Record::Masklets(simulate(video, &noise, rules)))?;
        }
        bar.inc(1);
    }
    truth.finish()?;
    for writer in found {
        writer.finish()?;
    }
    bar.finish_and_clear();
    println!("{}", args.out.display());
    Ok(())
}
