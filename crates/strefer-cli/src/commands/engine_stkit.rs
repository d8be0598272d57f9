//! `strefer engine stkit`: annotated datasets, and videos with masks and depth, become questions about motion.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::{Value, json};
use strefer_engine::pipeline::RunFolder;
use strefer_engine::stkit::run::{Source, StkitRun, StkitRunConfig};

use crate::args::{DeviceArgs, key_value};
use crate::interrupt::stop_flag;
use crate::progress::StkitBar;

/// Make questions about how far, how fast and which way objects move, from nuScenes, Argoverse 2, nuPlan, Ego-Exo4D, or
/// videos with masklets and depth
#[derive(Debug, Args)]
pub struct StkitArgs {
    /// TOML file of sources (configs/engine/stkit-nuscenes.toml)
    config: PathBuf,
    /// Set a single value, such as stkit.per_task=200
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
    /// The folder to write; a second call goes on where the first stopped, and several at once share the work
    #[arg(long)]
    out: PathBuf,
    /// Count recordings and make nothing
    #[arg(long)]
    dry_run: bool,
    /// The folder was made with another configuration; go on with what still fits
    #[arg(long)]
    changed: bool,
    #[command(flatten)]
    device: DeviceArgs,
}

/// Runs it.
pub fn run(args: &StkitArgs) -> Result<()> {
    let cfg = StkitRunConfig::load(&args.config, &args.overrides)
        .with_context(|| format!("{} is no configuration of STKit", args.config.display()))?;
    let device = args.device.placement()?.first().clone();
    let open = |source| Source::open(source, &device).with_context(|| format!("source {:?}", source.name));
    let sources = cfg.sources.iter().map(open).collect::<Result<Vec<Source>>>()?;
    RunFolder::look_at(&args.out, &cfg.essence(), args.changed)?;
    if args.dry_run {
        let counts = sources.iter().map(|source| (source.cfg().name.clone(), json!(source.len())));
        let counts: serde_json::Map<String, Value> = counts.collect();
        println!("{}", json!({ "recordings": counts }));
        return Ok(());
    }
    let folder = RunFolder::claim_for(&args.out, &cfg.essence(), args.changed)?;
    let stop = stop_flag()?;
    let bar = StkitBar::new(sources.iter().map(Source::len).sum());
    let run = StkitRun {
        cfg: &cfg,
        sources: &sources,
        folder: &folder,
        stop: &stop,
        observer: &|event| bar.hear(event),
    };
    let mut summary = run.collect()?;
    if summary.left == 0 {
        summary = run.join(summary)?;
    }
    bar.finish();
    println!("{}", serde_json::to_string(&summary)?);
    if summary.failed > 0 {
        let list = folder.path("failures.jsonl");
        tracing::warn!(
            "{} recordings or clips came to nothing; why stands in {}",
            summary.failed,
            list.display()
        );
    }
    if summary.left > 0 {
        bail!(
            "{} recordings or clips are left: it was asked to stop; the same command goes on",
            summary.left
        );
    }
    if summary.samples == 0 && summary.failed > 0 {
        bail!("no recording came to anything");
    }
    let _ = std::fs::remove_dir_all(folder.path("leases"));
    Ok(())
}
