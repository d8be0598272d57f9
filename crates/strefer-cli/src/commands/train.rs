//! `strefer train`: fine-tunes a model as a configuration says.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::Args;
use strefer_dist::World;
use strefer_nn::ops::kernels_asked_for;
use strefer_train::{Outcome, Place, TrainConfig, Trainer};

use crate::args::{DeviceArgs, HubArgs, key_value};
use crate::interrupt::stop_flag;
use crate::progress::TrainBar;
use crate::ranks::ranks;

/// Fine-tune a model
#[derive(Debug, Args)]
pub struct TrainArgs {
    /// TOML file of the run
    config: PathBuf,
    /// Go on where the last checkpoint of the run stands; starts it if there is none
    #[arg(long)]
    resume: bool,
    /// Set a single value, such as steps.total=100
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
    /// Do not train: write a page with the frames, masks, text and labels of this step, counted from 0 (--page)
    #[arg(long, value_name = "STEP")]
    show: Option<usize>,
    /// The page of --show; step-STEP.html when absent
    #[arg(long, value_name = "FILE", requires = "show")]
    page: Option<PathBuf>,
    /// Do not train: print what the run needs (memory of each rank by part, tokens, operations, disk, reading), and fail if
    /// it does not fit
    #[arg(long, conflicts_with_all = ["show", "resume"])]
    dry_run: bool,
    /// Ranks of --dry-run, all on this machine; as the launcher says when absent
    #[arg(long, value_name = "RANKS", requires = "dry_run", value_parser = clap::value_parser!(u32).range(1..))]
    ranks: Option<u32>,
    /// GB that a rank of --dry-run has, such as a card's; when absent, what is free on the card, or its share of what is free here
    #[arg(long, value_name = "GB", requires = "dry_run")]
    memory: Option<f64>,
    /// Print --dry-run as JSON
    #[arg(long, requires = "dry_run")]
    json: bool,
    /// 10^12 operations a second that one rank's processor or card can do: shows the share that the model takes (MFU)
    #[arg(long, value_name = "TFLOPS")]
    peak_tflops: Option<f64>,
    /// Seconds that a rank waits for the others before it ends with an error that names what it waited for
    #[arg(long, value_name = "SECONDS", default_value_t = 1800)]
    patience: u64,
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    hub: HubArgs,
}

/// Bytes of weights up to which passes usually have several portions.
const SMALL: u64 = 64 << 20;

/// Leaves the threads to portions of passes, in runs that are likely to have some.
///
/// # Safety
/// It sets the environment: call it before any thread has started.
pub unsafe fn prepare(args: &TrainArgs) {
    // What is wrong with the file or the model is said by the run.
    let Ok(config) = TrainConfig::load(&args.config, &args.overrides) else { return };
    let weights = std::fs::metadata(config.init.join("model.safetensors"));
    if config.may_go_side_by_side() && weights.is_ok_and(|file| file.len() <= SMALL) {
        // SAFETY: by the caller's promise; reading a file starts no thread.
        unsafe { crate::share_portions_only() };
    }
}

/// Runs it.
pub fn run(args: &TrainArgs) -> Result<()> {
    let mut config = TrainConfig::load(&args.config, &args.overrides)?;
    config.init = args.hub.folder(&config.init)?;
    if let Some(step) = args.show {
        println!("{}", super::show::run(&config, step, args.page.as_deref())?.display());
        return Ok(());
    }
    if args.dry_run {
        let ranks = args
            .ranks
            .map_or_else(|| World::from_env().map(|world| world.size), |ranks| Ok(ranks as usize))?;
        let given = args.memory.map(|memory| (memory * 1e9) as usize);
        let each = given.or_else(|| args.device.free_memory());
        let place = match args.device.is_card() {
            true => Place::Card { fused: kernels_asked_for()? },
            false => Place::Processor,
        };
        let room = super::plan::Room { ranks, each, place };
        return super::plan::run(&config, &room, args.json);
    }
    let output = config.output.clone();
    let world = World::from_env()?;
    let device = args.device.of_rank(world.local_rank)?;
    let ranks = ranks(world, &device, Duration::from_secs(args.patience))?;
    let (rank, size) = (ranks.rank(), ranks.size());
    let mut trainer = Trainer::among(config, args.resume, &device, Arc::clone(&ranks))
        .with_context(|| format!("cannot start the run {}", args.config.display()))?;
    if rank == 0 {
        let (learning, all) = trainer.parameter_counts();
        let step = trainer.step();
        tracing::info!("{learning} of {all} parameters learn on {size} ranks; {step} steps are done");
    }
    let outcome = trainer.run(
        &mut TrainBar::new(args.peak_tflops.map(|peak| peak * 1e12 * size as f64), device.clone()),
        stop_flag()?.as_ref(),
    );
    if outcome.is_err() {
        // The end of MPI waits for all ranks, and they may wait for this one: gone without it, the launcher ends them.
        std::mem::forget(ranks);
    }
    match outcome.with_context(|| format!("the run {} stopped", output.display()))? {
        Outcome::Finished(path) if rank == 0 => println!("{}", path.display()),
        Outcome::Finished(_) => {}
        Outcome::Stopped { step } => anyhow::bail!("stopped after {step} steps; go on with --resume"),
    }
    Ok(())
}
