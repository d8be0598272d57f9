//! `strefer export`: masklets in the files of other tools, samples as records of VideoRefer-700K.

use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde_json::json;
use strefer_core::import::videorefer;
use strefer_core::records::Masklets;
use strefer_core::{Sample, jsonl, tracks};

use crate::args::TrackFormat;

/// Write masklets for another tool, or samples as VideoRefer-700K has them
#[derive(Debug, Args)]
pub struct ExportArgs {
    /// The format to write
    #[arg(value_enum)]
    format: Format,
    /// A file of masklets or samples, one a line, plain or zstd (.zst)
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

/// What can be written.
#[derive(Debug, Clone, Copy)]
enum Format {
    Videorefer,
    Tracks(TrackFormat),
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        use TrackFormat::*;
        &[
            Self::Tracks(Coco),
            Self::Tracks(Sav),
            Self::Tracks(Davis),
            Self::Tracks(MotsPng),
            Self::Tracks(MotsTxt),
            Self::Tracks(Cvat),
            Self::Tracks(CvatBoxes),
            Self::Tracks(LabelStudio),
            Self::Tracks(LabelStudioBoxes),
            Self::Videorefer,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Videorefer => Some(PossibleValue::new("videorefer").help("VideoRefer-700K, a JSON array")),
            Self::Tracks(format) => format.to_possible_value(),
        }
    }
}

/// Runs it.
pub fn run(args: &ExportArgs) -> Result<()> {
    match args.format {
        Format::Videorefer if args.video_id.is_some() || args.smaller_in_front => {
            bail!("--video-id and --smaller-in-front are for masklets")
        }
        Format::Videorefer => samples(args),
        Format::Tracks(format) => masklets(args, format),
    }
}

/// A JSON array, written beside its place and moved there.
fn samples(args: &ExportArgs) -> Result<()> {
    let folder = args.out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let cannot = || format!("cannot write {}", args.out.display());
    let beside = tempfile::NamedTempFile::new_in(folder).with_context(cannot)?;
    let mut out = BufWriter::new(beside);
    let (mut count, mut regions) = (0, 0);
    for sample in jsonl::read_records::<Sample>(&args.file)? {
        let sample = sample?;
        let record = videorefer::export(&sample)?;
        out.write_all(if count == 0 { b"[\n" } else { b",\n" }).with_context(cannot)?;
        serde_json::to_writer(&mut out, &record).with_context(cannot)?;
        count += 1;
        regions += sample.regions.len();
    }
    if count == 0 {
        bail!("{} has no samples", args.file.display());
    }
    out.write_all(b"\n]\n").with_context(cannot)?;
    let file = out.into_inner().map_err(|error| error.into_error()).with_context(cannot)?;
    file.persist(&args.out).with_context(cannot)?;
    println!("{}", json!({"samples": count, "regions": regions}));
    Ok(())
}

fn masklets(args: &ExportArgs, format: TrackFormat) -> Result<()> {
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
    tracks::write(format.into(), &args.out, &masklets)
        .with_context(|| format!("cannot export {}", args.file.display()))?;
    let objects: usize = masklets.iter().map(|one| one.objects.len()).sum();
    println!("{}", json!({"videos": masklets.len(), "objects": objects}));
    Ok(())
}
