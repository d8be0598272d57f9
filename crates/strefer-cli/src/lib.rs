//! The programs `strefer` and `strefer-infer`: arguments, progress, and one library call a job.

#![allow(clippy::print_stdout, reason = "a job's result goes to stdout")]

pub mod args;
pub mod commands;
mod interrupt;
mod model_dir;
mod process;
mod progress;

pub use interrupt::stop_flag;
pub use model_dir::find_model;
pub use process::prepare_process;

/// Logs go to stderr; `STREFER_LOG` chooses how many.
pub fn start_logging() {
    let filter = tracing_subscriber::EnvFilter::try_from_env("STREFER_LOG")
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("warn,strefer=info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).without_time().init();
}

/// Runs a job and says what went wrong, with what it was doing.
pub fn report_errors(job: anyhow::Result<()>) -> std::process::ExitCode {
    match job {
        Ok(()) => std::process::ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            std::process::ExitCode::FAILURE
        }
    }
}
