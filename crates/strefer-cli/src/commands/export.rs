//! `strefer export`: masklets in the files of other tools.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use strefer_core::jsonl;
use strefer_core::records::Masklets;
use strefer_core::tracks;

use crate::args::TrackFormat;

/// Write masklets for another tool
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The format to write
    #[arg(value_enum)]
    format: TrackFormat,
    /// A file of masklets, one a line, plain or zstd (.zst)
    file: PathBuf,
    /// The file, or the folder that is not there yet, to write
    #[arg(long)]
    out: PathBuf,
    /// Of all videos of the file only this one
    #[arg(long, value_name = "ID")]
    video_id: Option<String>,
    /// Where objects overlap, a pixel is the smaller one's; pictures of object numbers cannot say otherwise
    #[arg(long)]
    smaller_in_front: bool,
}

/// Runs it.
pub fn run(args: &ExportArgs) -> Result<()> {
    let records = jsonl::read_records::<Masklets>(&args.file)?;
    let mut masklets = records.collect::<strefer_core::Result<Vec<_>>>()?;
    if let Some(wanted) = &args.video_id {
        masklets.retain(|one| one.video_id == *wanted);
        if masklets.is_empty() {
            bail!("{} has no video {wanted:?}", args.file.display());
        }
    }
    if masklets.is_empty() {
        bail!("{} has no masklets", args.file.display());
    }
    if args.smaller_in_front {
        masklets = masklets
            .iter()
            .map(|one| tracks::smaller_in_front(&args.file, one))
            .collect::<strefer_core::Result<_>>()?;
    }
    tracks::write(args.format.into(), &args.out, &masklets)
        .with_context(|| format!("cannot export {}", args.file.display()))?;
    let objects: usize = masklets.iter().map(|one| one.objects.len()).sum();
    println!("{}", json!({"videos": masklets.len(), "objects": objects}));
    Ok(())
}
