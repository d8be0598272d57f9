//! `strefer leaderboard`: runs beside each other and beside what papers report.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use strefer_eval::leaderboard::Leaderboard;

/// Put runs of benchmarks beside each other and beside published numbers
#[derive(Debug, Args)]
pub struct LeaderboardArgs {
    /// Folders of `strefer eval BENCHMARK`; rows are called like them
    #[arg(required = true)]
    runs: Vec<PathBuf>,
    /// Write a page, too
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// Runs it.
pub fn run(args: &LeaderboardArgs) -> Result<()> {
    let board = Leaderboard::of_runs(args.runs.iter().map(PathBuf::as_path))?;
    if let Some(path) = &args.html {
        std::fs::write(path, board.to_html()).with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("{}", board.to_markdown().trim_end());
    Ok(())
}
