//! Measures one case in a process of its own and prints one line of JSON.

#![allow(clippy::print_stdout, reason = "the measurement goes to stdout")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use candle_core::Device;
use clap::Parser;
use strefer_benches::{Case, cases, measure};
use strefer_cli::Freed;
use strefer_nn::open_card;

/// Measure one case
#[derive(Debug, Parser)]
struct Args {
    /// Name in cases.json or card.json
    case: String,
    /// Measured runs; those of cases.json when absent
    #[arg(long)]
    runs: Option<usize>,
    /// Folder of the video files
    #[arg(long, default_value = "target/bench")]
    data: PathBuf,
}

fn run(args: &Args, cases: &BTreeMap<String, Case>) -> Result<()> {
    let names = || cases.keys().cloned().collect::<Vec<_>>().join(", ");
    let case = cases.get(&args.case).with_context(|| format!("{:?} is none of {}", args.case, names()))?;
    let device = if case.needs_card() {
        open_card(0).with_context(|| format!("{} is measured on a card", args.case))?
    } else {
        Device::Cpu
    };
    let runs = args.runs.unwrap_or(case.runs);
    let found = measure(&args.case, runs, &device, || case.prepare(&args.data, &device))?;
    println!("{}", serde_json::to_string(&found)?);
    Ok(())
}

fn main() -> ExitCode {
    let args = Args::parse();
    let cases = cases();
    let makes_records =
        cases.as_ref().is_ok_and(|cases| cases.get(&args.case).is_some_and(Case::makes_records));
    let freed = if makes_records { Freed::ByThread } else { Freed::ByAll };
    // SAFETY: no thread has started yet.
    unsafe { strefer_cli::prepare_process(freed) };
    if cases.as_ref().is_ok_and(|cases| cases.get(&args.case).is_some_and(Case::has_portions)) {
        // SAFETY: as above.
        unsafe { strefer_cli::share_portions_only() };
    }
    strefer_cli::report_errors(cases.and_then(|cases| run(&args, &cases)))
}
