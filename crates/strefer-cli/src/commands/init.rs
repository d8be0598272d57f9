//! `strefer init`: a fresh model that has learnt nothing yet.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use strefer_core::Sample;
use strefer_core::jsonl::read_records;
use strefer_model::preset::init_tiny;

/// Make a fresh tiny model, its tokenizer learnt from samples
#[derive(Debug, Args)]
pub struct InitArgs {
    /// Files of samples whose text the tokenizer is learnt from
    #[arg(long = "text", required = true)]
    texts: Vec<PathBuf>,
    /// Entries of the vocabulary
    #[arg(long, default_value_t = 640)]
    vocab: usize,
    /// Seed of the weights
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// The checkpoint folder to write
    #[arg(long)]
    out: PathBuf,
}

/// Runs it.
pub fn run(args: &InitArgs) -> Result<()> {
    let mut texts = Vec::new();
    for path in &args.texts {
        for sample in read_records::<Sample>(path)? {
            texts.extend(sample?.conversations.into_iter().map(|turn| turn.text));
        }
    }
    init_tiny(&args.out, texts, args.vocab, args.seed)?;
    println!("{}", args.out.display());
    Ok(())
}
