//! `strefer import`: published training data as samples, masklets of other tools and of datasets as ours.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::builder::PossibleValue;
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::json;
use strefer_core::import::{SampleFormat, read};
use strefer_core::jsonl::Writer;
use strefer_core::records::LineRecord;
use strefer_core::tracks::ReadOptions;
use strefer_core::tracks::referring::{self, Dataset};
use strefer_core::{jsonl, tracks};

use crate::args::{TrackArgs, TrackFormat};
use crate::progress::bar;

/// Write records of a published format as samples, which training reads, masklets of another tool as ours, or a dataset with
/// expressions as records that `engine run --given` takes
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The format of the records
    #[arg(value_enum)]
    format: Format,
    /// Of samples a JSON array or JSON Lines, plain or zstd (.zst); of masklets the tool's file or folder; of a dataset its
    /// folder
    file: PathBuf,
    /// The file of samples or masklets to write, plain or zstd (.zst); of a dataset the folder for entities.jsonl and
    /// masklets.jsonl
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

/// Formats of samples and of masklets, and datasets.
#[derive(Debug, Clone, Copy)]
enum Format {
    Samples(SampleFormat),
    Tracks(TrackFormat),
    Dataset(DatasetName),
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
            Self::Dataset(DatasetName::Mevis),
            Self::Dataset(DatasetName::RefYoutubeVos),
            Self::Dataset(DatasetName::A2dSentences),
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        match self {
            Self::Samples(format) => Some(PossibleValue::new(format.name()).help(format.help())),
            Self::Tracks(format) => format.to_possible_value(),
            Self::Dataset(name) => name.to_possible_value(),
        }
    }
}

/// Datasets with expressions.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum DatasetName {
    /// MeViS, the folder of a subset with masks
    Mevis,
    /// Refer-YouTube-VOS, the training videos
    RefYoutubeVos,
    /// A2D-Sentences, with masks as PNGs
    #[value(name = "a2d-sentences")]
    A2dSentences,
}

impl From<DatasetName> for Dataset {
    fn from(name: DatasetName) -> Self {
        match name {
            DatasetName::Mevis => Self::Mevis,
            DatasetName::RefYoutubeVos => Self::RefYoutubeVos,
            DatasetName::A2dSentences => Self::A2dSentences,
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
        Format::Tracks(_) | Format::Dataset(_) if args.max_refused.is_some() => {
            bail!("--max-refused is for samples")
        }
        Format::Dataset(name) => dataset(args, name.into()),
        Format::Samples(format) => samples(args, format),
        Format::Tracks(format) => masklets(args, format),
    }
}

/// Records are written as they come; the files take their names when all have.
fn dataset(args: &ImportArgs, dataset: Dataset) -> Result<()> {
    let ReadOptions { fps, size, video_id } = args.tracks.options();
    if size.is_some() || video_id.is_some() {
        bail!("--size and --video-id are for masklets of other tools");
    }
    std::fs::create_dir_all(&args.out).with_context(|| args.out.display().to_string())?;
    let create = |name: &str| Writer::create(args.out.join(name));
    let (mut entities, mut masklets) = (create("entities.jsonl")?, create("masklets.jsonl")?);
    let progress = bar(0, "videos");
    let counts = referring::read(dataset, &args.file, fps, &mut |named, shown| {
        progress.inc_length(1);
        progress.inc(1);
        entities.write(&named.into_record())?;
        masklets.write(&shown.into_record())
    });
    let counts = counts.with_context(|| format!("cannot import {}", args.file.display()))?;
    progress.finish_and_clear();
    entities.finish()?;
    masklets.finish()?;
    println!("{}", serde_json::to_string(&counts)?);
    Ok(())
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
