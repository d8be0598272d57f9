//! `strefer train`: fine-tunes a model as a configuration says.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use strefer_train::{Outcome, TrainConfig, Trainer};

use crate::args::{DeviceArgs, HubArgs, key_value};
use crate::interrupt::stop_flag;
use crate::progress::TrainBar;

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
    #[command(flatten)]
    device: DeviceArgs,
    #[command(flatten)]
    hub: HubArgs,
}

/// Runs it.
pub fn run(args: &TrainArgs) -> Result<()> {
    let mut config = TrainConfig::load(&args.config, &args.overrides)?;
    config.init = args.hub.folder(&config.init)?;
    if let Some(step) = args.show {
        println!("{}", super::show::run(&config, step, args.page.as_deref())?.display());
        return Ok(());
    }
    let output = config.output.clone();
    let mut trainer = Trainer::new(config, args.resume, &args.device.single()?)
        .with_context(|| format!("cannot start the run {}", args.config.display()))?;
    let (learning, all) = trainer.parameter_counts();
    tracing::info!("{learning} of {all} parameters learn; {} steps are done", trainer.step());
    let outcome = trainer.run(&mut TrainBar::new(), stop_flag()?.as_ref());
    match outcome.with_context(|| format!("the run {} stopped", output.display()))? {
        Outcome::Finished(path) => println!("{}", path.display()),
        Outcome::Stopped { step } => anyhow::bail!("stopped after {step} steps; go on with --resume"),
    }
    Ok(())
}
