//! `strefer import`: published training data as samples.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use strefer_core::import::{Fields, llava_video, read, strefer, videorefer};
use strefer_core::jsonl::Writer;
use strefer_core::records::LineRecord;
use strefer_core::validate::MediaFacts;
use strefer_core::{Sample, jsonl};

use crate::progress::bar;

/// Write records of a published format as samples, which training reads
#[derive(Debug, Args)]
pub struct ImportArgs {
    /// The format of the records
    #[arg(value_enum)]
    format: Format,
    /// A JSON array or JSON Lines, plain or zstd (.zst)
    file: PathBuf,
    /// The file of samples to write, plain or zstd (.zst)
    #[arg(long)]
    out: PathBuf,
    /// The share of records that may be refused; with more of them nothing is written
    #[arg(long, default_value_t = 0.01)]
    max_refused: f64,
}

/// Formats of records.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// VideoRefer-700K
    Videorefer,
    /// The Strefer release
    Strefer,
    /// LLaVA-Video-178K
    LlavaVideo,
}

impl Format {
    fn import(self, fields: Fields, position: usize) -> strefer_core::Result<Sample> {
        let sample = match self {
            Self::Videorefer => videorefer::import(fields, position),
            Self::Strefer => strefer::import(fields, position),
            Self::LlavaVideo => llava_video::import(fields, position),
        }?;
        sample.validate(MediaFacts::default())?;
        Ok(sample)
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
    let mut samples = Writer::create(&args.out)?;
    let (mut counts, mut refused) = (Counts::default(), Vec::new());
    let progress = bar(0, "importing");
    read(&args.file, |position, fields| {
        counts.records += 1;
        progress.set_length(counts.records as u64);
        progress.inc(1);
        match fields.and_then(|fields| args.format.import(fields, position)) {
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
        if counts.refused as f64 > args.max_refused * counts.records as f64 {
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
