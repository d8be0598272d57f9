//! `strefer engine inspect`: a run as pages to look at.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use strefer_engine::inspect::{InspectOptions, write};

/// Write pages of a run: frames with masks, parts, transcript, questions and answers, and what made them
#[derive(Debug, Args)]
pub struct InspectArgs {
    /// Folder of a run
    run: PathBuf,
    /// The folder that the videos of the records lie in
    #[arg(long, value_name = "DIR", default_value = ".")]
    media_root: PathBuf,
    /// Most videos, from the first on
    #[arg(long, value_name = "COUNT", default_value_t = InspectOptions::default().most_videos)]
    limit: usize,
    /// Frames of a video
    #[arg(long, default_value_t = InspectOptions::default().frames)]
    frames: usize,
    /// Width of a frame on the page, in pixels
    #[arg(long, default_value_t = InspectOptions::default().width)]
    width: u32,
    /// The new folder to write; open its index.html
    #[arg(long)]
    out: PathBuf,
}

/// Runs it.
pub fn run(args: &InspectArgs) -> Result<()> {
    let options = InspectOptions { most_videos: args.limit, frames: args.frames, width: args.width.max(16) };
    write(&args.run, &args.media_root, &args.out, &options)?;
    println!("{}", args.out.join("index.html").display());
    Ok(())
}
