//! `strefer lessons`: a benchmark's training split as samples.

use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use strefer_core::Record;
use strefer_core::jsonl::Writer;
use strefer_eval::bench::{BenchId, LessonForm, lesson};

use crate::args::BenchArgs;
use crate::progress::bar;

/// Write a benchmark's questions with their right answers as samples to train on: asked in the words that `eval` asks in,
/// answered in the form that it reads. For training splits
#[derive(Debug, Args)]
pub struct LessonsArgs {
    /// Which benchmark
    benchmark: BenchId,
    #[command(flatten)]
    bench: BenchArgs,
    /// How they ask and answer
    #[arg(long, value_enum, default_value_t = Form::Asked)]
    form: Form,
    /// The file of samples to write, plain or zstd (.zst); media are found below --root
    #[arg(long)]
    out: PathBuf,
}

/// How lessons ask and answer.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Form {
    /// In the benchmark's words, and the form of answer that they ask for
    Asked,
    /// Without the answers that are offered; the right one in words, as --likeliest reads them
    Bare,
}

/// Runs it.
pub fn run(args: &LessonsArgs) -> Result<()> {
    let root = args.bench.root()?;
    let bench = args.benchmark.open(&root, &args.bench.options()?)?;
    let split = args.bench.split.as_deref().unwrap_or("the usual one");
    if split != "train" {
        tracing::warn!(
            "the split is {split}, not train: a model that learns from these questions must not be scored on them"
        );
    }
    let form = match args.form {
        Form::Asked => LessonForm::Asked,
        Form::Bare => LessonForm::Bare,
    };
    let mut out = Writer::create(&args.out)?;
    let (mut samples, mut left_out) = (0, 0);
    let progress = bar(bench.items().len(), "questions");
    for item in bench.items() {
        match lesson(args.benchmark, item, form)? {
            Some(sample) => {
                sample.validate(Default::default()).with_context(|| format!("question {}", item.id()))?;
                out.write(&Record::Sample(Box::new(sample)))?;
                samples += 1;
            }
            None => left_out += 1,
        }
        progress.inc(1);
    }
    progress.finish_and_clear();
    if samples == 0 {
        bail!("{}: no question has an answer of this form", bench.title());
    }
    out.finish()?;
    println!("{}", json!({ "samples": samples, "left_out": left_out }));
    Ok(())
}
