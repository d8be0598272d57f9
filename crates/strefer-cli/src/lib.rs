//! The programs `strefer` and `strefer-infer`: arguments, progress, and one library call a job.

#![allow(clippy::print_stdout, reason = "a job's result goes to stdout")]

pub mod args;
pub mod commands;
#[cfg(feature = "hub")]
mod hub;
mod interrupt;
mod model_dir;
mod process;
mod progress;
mod ranks;
mod teachers;

pub use interrupt::stop_flag;
pub use model_dir::find_model;
pub use process::{Freed, prepare_process, share_portions_only};

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
            eprintln!("error: {}", explain(&error));
            std::process::ExitCode::FAILURE
        }
    }
}

/// What went wrong and why, from the outside in. A cause that the words before it repeat already is left out.
pub fn explain(error: &anyhow::Error) -> String {
    let mut said = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if said.is_empty() {
            said = cause;
        } else if !said.contains(&cause) {
            said = format!("{said}: {cause}");
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use anyhow::Context;

    use super::*;

    #[test]
    fn a_cause_is_said_once() {
        let error = strefer_video::Error::NoFrame { path: "a.mp4".into(), at_s: 9.0, end_s: 4.0 };
        let io = std::io::Error::other("no room");
        let outer = Err::<(), _>(io).context("disk: no room").context("saving").unwrap_err();
        assert_eq!(explain(&outer), "saving: disk: no room");
        let asked = anyhow::Error::new(error).context("asking");
        assert!(explain(&asked).starts_with("asking: a.mp4"));
    }
}
