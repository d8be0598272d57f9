//! `strefer verify`: a checkpoint's activations beside those that a reference recorded.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use clap::Args;
use strefer_model::ProcessorOptions;
use strefer_model::recording::Recording;

use crate::args::ModelArgs;

/// Compare a checkpoint's activations with recorded ones, tensor by tensor
#[derive(Debug, Args)]
pub struct VerifyArgs {
    #[command(flatten)]
    model: ModelArgs,
    /// The recording, a safetensors file
    recording: PathBuf,
    /// The largest difference allowed, relative to the largest recorded value; what f32 keeps when absent
    #[arg(long)]
    tolerance: Option<f64>,
    /// Print one JSON object a tensor instead of a table
    #[arg(long)]
    json: bool,
}

/// Runs it.
pub fn run(args: &VerifyArgs) -> Result<()> {
    let recording = Recording::open(&args.recording)?;
    let model = args.model.load(ProcessorOptions::default())?.model;
    let comparisons = recording.compare(&model, args.tolerance)?;
    for comparison in &comparisons {
        if args.json {
            println!("{}", serde_json::to_string(comparison)?);
        } else {
            let verdict = if comparison.holds() { "ok" } else { "DIFFERS" };
            println!(
                "{:24} {:>10.3e} of {:>8.1e}  {verdict}  {:?}",
                comparison.name, comparison.difference, comparison.tolerance, comparison.shape
            );
        }
    }
    let wrong = comparisons.iter().filter(|comparison| !comparison.holds()).count();
    ensure!(wrong == 0, "{wrong} of {} recorded tensors differ", comparisons.len());
    Ok(())
}
