//! `strefer import`: published training data as samples, masklets of other tools as ours.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use strefer_core::import::{SampleFormat, read};
use strefer_core::jsonl::Writer;
use strefer_core::records::LineRecord;
use strefer_core::{jsonl, tracks};

use crate::args::{TrackArgs, TrackFormat};
use crate::progress::bar;

/// Write records of a published format as samples, which training reads, or masklets of another tool as ours
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The format of the records
    #[arg(value_enum)]
    format: Format,
    /// Of samples a JSON array or JSON Lines, plain or zstd (.zst); of masklets the tool's file or folder
    file: PathBuf,
    /// The file of samples or masklets to write, plain or zstd (.zst)
    #[arg(long)]
    out: PathBuf,
    /// The share of records of samples that may be refused; with more of them nothing is written [default: 0.01]
    #[arg(long)]
    max_refused: Option<f64>,
    #[command(flatten)]
    tracks: TrackArgs,
}

/// The share of records that may be refused where nothing else is said.
const MAX_REFUSED: f64 = 0.01;

/// Formats of samples and of masklets.
#[derive(Debug, Clone, Copy)]
enum Format {
    Samples(SampleFormat),
    Tracks(TrackFormat),
}

impl ValueEnum for Format {
    fn value_variants<'a>() -> &'a [Self] {
        use TrackFormat::*;
        &[
            Self::Samples(SampleFormat::Videorefer),
            Self::Samples(SampleFormat::Strefer),
            Self::Samples(SampleFormat::LlavaVideo),
            Self::Samples(SampleFormat::GroundedVideoLlm),
            Self::Samples(SampleFormat::Qvhighlights),
            Self::Tracks(Coco),
            Self::Tracks(Sav),
            Self::Tracks(Davis),
            Self::Tracks(MotsPng),
            Self::Tracks(MotsTxt),
            Self::Tracks(Cvat),
            Self::Tracks(LabelStudio),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Samples(format) => Some(PossibleValue::new(format.name()).help(format.help())),
            Self::Tracks(format) => format.to_possible_value(),
        }
    }
}

/// A record that became no sample.
#[derive(Debug, Serialize)]
struct Refused {
    /// Where it stands in the file, from 0.
    position: usize,
    reason: String,
}

/// What became of a file.
#[derive(Debug, Default, Serialize)]
struct Counts {
    records: usize,
    samples: usize,
    refused: usize,
}

/// Runs it.
pub fn run(args: &ImportArgs) -> Result<()> {
    match args.format {
        Format::Samples(_) if !args.tracks.is_empty() => {
            bail!("--fps, --size and --video-id are for masklets of other tools")
        }
        Format::Tracks(_) if args.max_refused.is_some() => bail!("--max-refused is for samples"),
        Format::Samples(format) => samples(args, format),
        Format::Tracks(format) => masklets(args, format),
    }
}

fn masklets(args: &ImportArgs, format: TrackFormat) -> Result<()> {
    let masklets = tracks::read(format.into(), &args.file, &args.tracks.options())
        .with_context(|| format!("cannot import {}", args.file.display()))?;
    let objects: usize = masklets.iter().map(|one| one.objects.len()).sum();
    let masks: usize = masklets.iter().flat_map(|one| &one.objects).map(|object| object.frames.len()).sum();
    let videos = masklets.len();
    let mut out = Writer::create(&args.out)?;
    for one in masklets {
        out.write(&one.into_record())?;
    }
    out.finish()?;
    println!("{}", json!({"videos": videos, "objects": objects, "masks": masks}));
    Ok(())
}

fn samples(args: &ImportArgs, format: SampleFormat) -> Result<()> {
    let mut samples = Writer::create(&args.out)?;
    let (mut counts, mut refused) = (Counts::default(), Vec::new());
    let progress = bar(0, "importing");
    read(&args.file, |position, fields| {
        counts.records += 1;
        progress.set_length(counts.records as u64);
        progress.inc(1);
        match fields.and_then(|fields| format.import(fields, position)) {
            Ok(sample) => {
                counts.samples += 1;
                samples.write(&sample.into_record())
            }
            Err(error) => {
                refused.push(Refused { position, reason: error.to_string() });
                Ok(())
            }
        }
    })
    .with_context(|| format!("cannot import {}", args.file.display()))?;
    progress.finish_and_clear();
    counts.refused = refused.len();
    if let Some(Refused { position, reason }) = refused.first() {
        if counts.refused as f64 > args.max_refused.unwrap_or(MAX_REFUSED) * counts.records as f64 {
            bail!(
                "{} of {} records were refused, more than --max-refused allows; the first, at {position}: {reason}",
                counts.refused,
                counts.records
            );
        }
        let path = refused_file(&args.out);
        jsonl::write_all(&path, &refused)?;
        tracing::warn!("{} of {} records were refused: {}", counts.refused, counts.records, path.display());
    }
    samples.finish()?;
    println!("{}", serde_json::to_string(&counts)?);
    Ok(())
}

/// Beside the samples.
fn refused_file(samples: &Path) -> PathBuf {
    let name = samples.file_name().unwrap_or_default().to_string_lossy();
    let stem = name.split('.').next().unwrap_or("samples");
    samples.with_file_name(format!("{stem}.refused.jsonl"))
}
