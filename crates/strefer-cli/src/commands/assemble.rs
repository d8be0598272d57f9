//! `strefer assemble`: a model put together from a language model, a vision tower and connectors.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use strefer_model::Family;
use strefer_model::family::{Sources, assemble};

use crate::args::{HubArgs, Precision};

/// Put a model together that has not learnt to see yet: what training begins with
#[derive(Debug, Args)]
pub struct AssembleArgs {
    /// The family: videorefer (Qwen2, spatial-temporal convolution) or strefer (Phi-3, Perceiver, temporal tokens)
    family: Family,
    /// The language model in transformers' form: a folder, or `hf:OWNER/NAME[@REVISION]`
    #[arg(long)]
    language: PathBuf,
    /// SigLIP in transformers' form: a folder, or `hf:OWNER/NAME[@REVISION]`
    #[arg(long)]
    vision: PathBuf,
    /// A part that was saved alone (mm_projector.bin, region_encoder.bin); parts that are not given are drawn anew
    #[arg(long = "part", value_name = "FILE")]
    parts: Vec<PathBuf>,
    /// Element type of all weights; the language model's when absent
    #[arg(long, value_enum)]
    dtype: Option<Precision>,
    /// Seed of what is drawn
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The checkpoint folder to write
    #[arg(long)]
    out: PathBuf,
    #[command(flatten)]
    hub: HubArgs,
}

/// Runs it.
pub fn run(args: &AssembleArgs) -> Result<()> {
    let sources = Sources {
        language: args.hub.folder(&args.language)?,
        vision: args.hub.folder(&args.vision)?,
        parts: args.parts.clone(),
        seed: args.seed,
        dtype: args.dtype.map(Into::into),
    };
    let fresh = assemble(args.family, &sources, &args.out)
        .with_context(|| format!("cannot put {} together", args.out.display()))?;
    let parts = fresh.iter().filter_map(|name| name.split('.').next());
    let parts: std::collections::BTreeSet<&str> = parts.collect();
    let parts = parts.into_iter().collect::<Vec<_>>().join(", ");
    tracing::info!("{} tensors have learnt nothing yet, of: {parts}", fresh.len());
    println!("{}", args.out.display());
    Ok(())
}
