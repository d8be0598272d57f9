//! `strefer eval`: a benchmark, or samples with known answers.

use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use clap::Args;
use strefer_eval::bench::BenchId;
use strefer_model::VisualPrompt;

use super::{eval_bench, eval_quiz};
use crate::args::{BenchArgs, ModelArgs, PaceArgs, ViewArgs};

/// Run a model on a benchmark, or ask it questions with known answers with and without looking
#[derive(Debug, Args)]
pub struct EvalArgs {
    /// A benchmark by name, or JSON Lines of single-question samples
    pub(super) what: String,
    #[command(flatten)]
    pub(super) model: ModelArgs,
    /// Samples: what media paths are relative to; the samples' folder when absent
    #[arg(long)]
    pub(super) media_root: Option<PathBuf>,
    /// Ask only so many questions, spread over all
    #[arg(long)]
    pub(super) limit: Option<usize>,
    /// Point in the pixels: som, numberit, both or boxes, as for strefer-infer
    #[arg(long, value_name = "WHAT", default_value_t = VisualPrompt::None)]
    pub(super) draw: VisualPrompt,
    /// Folder of the run; the same command goes on where a run stopped, and several processes may share one
    #[arg(long)]
    pub(super) out: PathBuf,
    #[command(flatten)]
    pub(super) bench: BenchArgs,
    #[command(flatten)]
    pub(super) views: ViewArgs,
    #[command(flatten)]
    pub(super) pace: PaceArgs,
    /// Frames that are shown; as many as the model was trained with, and 32 on a server, when absent
    #[arg(long)]
    pub(super) frames: Option<usize>,
    /// Tokens that an object with many masks is merged into at most (VideoRefer's "unions"); as trained when absent
    #[arg(long, value_name = "COUNT")]
    pub(super) unions: Option<std::num::NonZeroUsize>,
    /// Take the likeliest of the answers a question offers, for models that were never taught to answer with letters
    #[arg(long)]
    pub(super) likeliest: bool,
    /// Ask a server instead: a TOML file with its endpoints (configs/eval/server.toml)
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "likeliest"])]
    pub(super) server: Option<PathBuf>,
    /// Take somebody's answers instead: lines {id, text}
    #[arg(long, value_name = "FILE", conflicts_with_all = ["model", "likeliest", "server", "views", "probes"])]
    pub(super) predictions: Option<PathBuf>,
    /// Who judges descriptions and captions (configs/eval/videorefer-d-judge.toml, tempcompass-judge.toml), or `world`: rules, for the synthetic world
    #[arg(long, value_name = "FILE")]
    pub(super) judge: Option<PathBuf>,
    /// Take the judge's replies that were kept and ask nobody
    #[arg(long, requires = "judge")]
    pub(super) replay: bool,
    /// Another run over the same questions, to compare with when this one is over
    #[arg(long, value_name = "RUN")]
    pub(super) compare: Option<PathBuf>,
    /// Go on without videos that are missing, and score without questions that have no answer; both are counted and named
    #[arg(long)]
    pub(super) allow_missing: bool,
    /// Seed of what is drawn: orders of frames, intervals
    #[arg(long, default_value_t = 0)]
    pub(super) seed: u64,
    /// Print JSON
    #[arg(long)]
    pub(super) json: bool,
}

impl EvalArgs {
    /// An argument that is given and means nothing for samples.
    fn for_benchmarks(&self) -> Option<&'static str> {
        let given = [
            ("views", self.views.are_given()),
            ("frames", self.frames.is_some()),
            ("unions", self.unions.is_some()),
            ("likeliest", self.likeliest),
            ("server", self.server.is_some()),
            ("predictions", self.predictions.is_some()),
            ("judge", self.judge.is_some()),
            ("compare", self.compare.is_some()),
            ("json", self.json),
        ];
        given.into_iter().find(|(_, given)| *given).map(|(flag, _)| flag)
    }
}

/// Runs it.
pub fn run(args: &EvalArgs) -> Result<()> {
    match args.what.parse::<BenchId>() {
        Ok(_) if args.media_root.is_some() => bail!("--media-root is for samples, benchmarks have --root"),
        Ok(bench) => eval_bench::run(args, bench),
        Err(_) if Path::new(&args.what).exists() => match args.for_benchmarks() {
            Some(flag) => bail!("--{flag} is for benchmarks, {} holds samples", args.what),
            None => eval_quiz::run(args),
        },
        Err(_) => {
            let names: Vec<&str> = BenchId::ALL.iter().map(|bench| bench.name()).collect();
            bail!("{:?} is neither a file of samples nor a benchmark ({})", args.what, names.join(", "))
        }
    }
}
