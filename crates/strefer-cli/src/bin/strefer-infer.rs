//! The program `strefer-infer`: questions about masked objects at moments of a video.

use std::process::ExitCode;

use clap::Parser;
use strefer_cli::commands::infer;

/// Ask about masked objects at moments of a video
#[derive(Debug, Parser)]
#[command(version, about)]
struct Args {
    #[command(flatten)]
    infer: infer::InferArgs,
}

fn main() -> ExitCode {
    // SAFETY: no thread has started yet.
    unsafe { strefer_cli::prepare_process(strefer_cli::Freed::ByAll) };
    strefer_cli::start_logging();
    strefer_cli::report_errors(infer::run(&Args::parse().infer))
}
