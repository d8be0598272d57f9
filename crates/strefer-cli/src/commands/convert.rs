//! `strefer convert`: a checkpoint in another form, or what tensors a folder holds.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use strefer_llm::gguf::Quantisation;
use strefer_model::Checkpoint;
use strefer_model::convert::{Conversion, Form, TensorFacts, convert, tensor_facts};

use crate::args::{HubArgs, Precision};
use crate::progress::bar;

/// Write a checkpoint in another form, or list its tensors with sizes and digests
#[derive(Debug, Args)]
pub struct ConvertArgs {
    /// Checkpoint folder, ours or of a published family; or `hf:OWNER/NAME[@REVISION]` for a model of the hub
    source: PathBuf,
    #[command(flatten)]
    hub: HubArgs,
    /// The folder to write; without it the tensors of SOURCE are listed and nothing is written
    #[arg(long)]
    out: Option<PathBuf>,
    /// The form to write: ours, or that of the published checkpoint which SOURCE came from
    #[arg(long, value_enum, default_value_t = To::Ours, requires = "out")]
    to: To,
    /// Element type of the weights; each keeps its own when absent
    #[arg(long, value_enum, requires = "out")]
    dtype: Option<Precision>,
    /// Fold low-rank updates into the weights (the published forms always do)
    #[arg(long, requires = "out")]
    merge_lora: bool,
    /// A checkpoint whose tensors are taken where SOURCE lacks them: training keeps only what the model uses
    #[arg(long, requires = "out")]
    fill: Option<PathBuf>,
    /// Checkpoints of the same model whose weights are averaged with SOURCE's, all counting alike (a model soup)
    #[arg(long, requires = "out", num_args = 1.., value_name = "DIR")]
    average: Vec<PathBuf>,
    /// Write the language model alone to this file, with quantised weights, for llama.cpp and for --language
    #[arg(long, value_name = "FILE", conflicts_with_all = ["out", "json"])]
    gguf: Option<PathBuf>,
    /// How --gguf quantises
    #[arg(long, value_enum, default_value_t = Quant::Q8_0, requires = "gguf")]
    quant: Quant,
    /// Print one JSON object a tensor instead of a table
    #[arg(long)]
    json: bool,
}

/// Forms of checkpoints.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum To {
    /// Ours
    Ours,
    /// That of the published checkpoint
    Published,
}

/// How weights are quantised.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Quant {
    /// 8 bits
    #[value(name = "q8_0")]
    Q8_0,
    /// 4 bits, 6 where they count
    #[value(name = "q4_k_m")]
    Q4KM,
}

impl From<Quant> for Quantisation {
    fn from(quant: Quant) -> Self {
        match quant {
            Quant::Q8_0 => Self::Q8_0,
            Quant::Q4KM => Self::Q4KM,
        }
    }
}

/// Runs it.
pub fn run(args: &ConvertArgs) -> Result<()> {
    let source = args.hub.folder(&args.source)?;
    if let Some(path) = &args.gguf {
        return export(&source, path, args.quant.into());
    }
    let folder = match &args.out {
        None => &source,
        Some(out) => {
            let conversion = Conversion {
                form: match args.to {
                    To::Ours => Form::Ours,
                    To::Published => Form::Published,
                },
                dtype: args.dtype.map(Into::into),
                merge_lora: args.merge_lora,
                fill: args.fill.as_deref().map(|folder| args.open(folder)).transpose()?,
                average: args.average.iter().map(|folder| args.open(folder)).collect::<Result<_>>()?,
            };
            convert(&Checkpoint::open(&source)?, out, &conversion)
                .with_context(|| format!("converting {} to {}", args.source.display(), out.display()))?;
            out
        }
    };
    let progress = bar(0, "reading");
    let facts = tensor_facts(folder, |_, count| {
        progress.set_length(count as u64);
        progress.inc(1);
    })?;
    progress.finish_and_clear();
    if args.json {
        for tensor in &facts {
            println!("{}", serde_json::to_string(tensor)?);
        }
    } else {
        print_table(&facts);
    }
    Ok(())
}

fn export(source: &Path, path: &Path, quantisation: Quantisation) -> Result<()> {
    let progress = bar(0, "quantising");
    Checkpoint::open(source)?
        .export_language(path, quantisation, |done, all| {
            progress.set_length(all as u64);
            progress.set_position(done as u64);
        })
        .with_context(|| format!("exporting {} to {}", source.display(), path.display()))?;
    progress.finish_and_clear();
    println!("{} ({:.1} MB, {})", path.display(), path.metadata()?.len() as f64 / 1e6, quantisation.name());
    Ok(())
}

impl ConvertArgs {
    fn open(&self, folder: &Path) -> Result<Checkpoint> {
        Ok(Checkpoint::open(self.hub.folder(folder)?)?)
    }
}

fn print_table(facts: &[TensorFacts]) {
    let widest = facts.iter().map(|tensor| tensor.name.len()).max().unwrap_or_default();
    for TensorFacts { name, dtype, shape, bytes, blake3 } in facts {
        println!("{name:widest$}  {dtype:4}  {:>12}  {}  {shape:?}", bytes, &blake3[..16]);
    }
    let total: usize = facts.iter().map(|tensor| tensor.bytes).sum();
    println!("{} tensors, {:.1} MB", facts.len(), total as f64 / 1e6);
}
