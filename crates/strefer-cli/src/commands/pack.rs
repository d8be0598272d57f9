//! `strefer pack`: samples as shards with their media, or their records as parquet files or JSON Lines.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde_json::json;
use strefer_store::{SampleSet, Shelf, pack};

use crate::progress::bar;

/// Write samples as WebDataset shards with their media, or their records as parquet files or JSON Lines; training reads all of them
#[derive(Debug, Args)]
pub struct PackArgs {
    /// Samples: a file, a folder, a range or an address, as in a mixture
    samples: PathBuf,
    /// The folder to write, also an address (s3://bucket/set/) of a program built with --features cloud; must not exist
    #[arg(long)]
    out: PathBuf,
    /// What to write
    #[arg(long = "as", value_enum, default_value_t = Form::Shards)]
    form: Form,
    /// The folder that media paths are relative to; that of the samples when absent
    #[arg(long)]
    media_root: Option<PathBuf>,
    /// Megabytes after which a new shard begins
    #[arg(long, default_value_t = 1000)]
    shard_mb: u64,
    /// Rows of a file of records
    #[arg(long, default_value_t = 100_000)]
    rows: usize,
}

/// Forms of packed samples.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// Tar files in which samples stand beside their media (WebDataset)
    Shards,
    /// Records alone; media stay where they are (--features parquet)
    Parquet,
    /// Records alone, as JSON Lines packed with zstd
    Lines,
}

/// Runs it.
pub fn run(args: &PackArgs) -> Result<()> {
    // Copies are held one sample at a time.
    let shelf = Shelf::new(0, Duration::from_secs(3600))?;
    let set = SampleSet::open(&args.samples, args.media_root.as_deref(), None, &shelf)
        .with_context(|| format!("cannot open {}", args.samples.display()))?;
    let bar = bar(set.len(), "samples");
    let packed = match args.form {
        Form::Shards => pack::shards(&set, &args.out, args.shard_mb << 20, || bar.inc(1)),
        Form::Lines => pack::lines(&set, &args.out, args.rows, || bar.inc(1)),
        Form::Parquet => parquet(&set, args, || bar.inc(1)),
    };
    bar.finish_and_clear();
    let pack::Packed { samples, files } =
        packed.with_context(|| format!("cannot write {}", args.out.display()))?;
    println!("{}", json!({ "samples": samples, "files": files }));
    Ok(())
}

#[cfg(feature = "parquet")]
fn parquet(set: &SampleSet, args: &PackArgs, each: impl FnMut()) -> strefer_store::Result<pack::Packed> {
    pack::parquet(set, &args.out, args.rows, each)
}

#[cfg(not(feature = "parquet"))]
fn parquet(_: &SampleSet, args: &PackArgs, _: impl FnMut()) -> strefer_store::Result<pack::Packed> {
    let what = args.out.display().to_string();
    Err(strefer_store::Error::NotBuilt { what, feature: "parquet" })
}
