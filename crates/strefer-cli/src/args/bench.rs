//! What runs on benchmarks take.

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};
use serde::de::DeserializeOwned;
use serde_json::Value;
use strefer_eval::bench::{BenchOptions, Masks, ObjectForm, View};
use strefer_eval::choice::Reading;
use strefer_eval::run::Pace;
use strefer_teacher::Prompt;

/// How a benchmark's questions are put.
#[derive(Debug, Args)]
pub struct BenchArgs {
    /// Folder of all benchmarks; each has a folder of its own below it
    #[arg(long, value_name = "DIR", env = "BENCH_ROOT")]
    pub root: Option<PathBuf>,
    /// Which of the benchmark's files: val, test, …; the usual one when absent
    #[arg(long)]
    pub split: Option<String>,
    /// Masks of an object that the model gets: that of the frame a record names, or all
    #[arg(long, value_enum, default_value_t = MasksArg::Single)]
    masks: MasksArg,
    /// How objects stand in questions: in square brackets, as VideoRefer was trained, or alone
    #[arg(long, value_enum, default_value_t = ObjectsArg::Bracketed)]
    objects: ObjectsArg,
    /// Give Video-MME's subtitles, those that so many frames show
    #[arg(long, value_name = "FRAMES")]
    subtitles: Option<usize>,
    /// Whose rules find the choice in an answer; the benchmark's usual ones when absent
    #[arg(long, value_parser = named::<Reading>)]
    reading: Option<Reading>,
    /// Words around questions, a file in Jinja's language, instead of ours
    #[arg(long, value_name = "FILE")]
    prompt: Option<PathBuf>,
    /// Videos of MVBench are cut to what is asked about already
    #[arg(long)]
    cut_already: bool,
    /// Ask QVHighlights' queries about the masks of what they name, which stand in NAME.objects.jsonl beside the annotations
    #[arg(long)]
    grounded: bool,
}

/// Which masks.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum MasksArg {
    /// That of the named frame
    Single,
    /// All
    Multi,
}

/// How objects stand in questions.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum ObjectsArg {
    /// [<region>]
    Bracketed,
    /// <region>
    Plain,
}

impl BenchArgs {
    /// As benchmarks take it.
    pub fn options(&self) -> Result<BenchOptions> {
        let prompt = self.prompt.as_deref().map(Prompt::open).transpose()?;
        Ok(BenchOptions {
            split: self.split.clone(),
            masks: match self.masks {
                MasksArg::Single => Masks::Single,
                MasksArg::Multi => Masks::Multi,
            },
            objects: match self.objects {
                ObjectsArg::Bracketed => ObjectForm::Bracketed,
                ObjectsArg::Plain => ObjectForm::Plain,
            },
            subtitles: self.subtitles,
            reading: self.reading,
            prompt,
            cut_already: self.cut_already,
            grounded: self.grounded,
        })
    }

    /// The folder of all benchmarks.
    pub fn root(&self) -> Result<PathBuf> {
        self.root.clone().context("name the folder of all benchmarks: --root DIR, or BENCH_ROOT")
    }
}

/// Ways in which items are put.
#[derive(Debug, Args)]
pub struct ViewArgs {
    /// Put items in these ways besides, each a row of the table: no-video, other-mask, shifted-mask, shuffled-times,
    /// reversed, som, numberit
    #[arg(long, value_name = "VIEW,…", value_delimiter = ',')]
    views: Vec<View>,
    /// All probes that tell whether a model looked at what this benchmark asks about
    #[arg(long)]
    probes: bool,
}

impl ViewArgs {
    /// Whether any but the first is wanted.
    pub fn are_given(&self) -> bool {
        self.probes || !self.views.is_empty()
    }

    /// As they are first, then the others in the order of tables, each once.
    pub fn views(&self, probes: Vec<View>) -> Vec<View> {
        let mut views = self.views.clone();
        if self.probes {
            views.extend(probes);
        }
        View::ALL.into_iter().filter(|view| *view == View::Real || views.contains(view)).collect()
    }
}

/// How work is spread.
#[derive(Debug, Args)]
pub struct PaceArgs {
    /// Answers that are written together, each step for all of them: on a card 8 (with --likeliest 1), on a CPU each alone, when absent
    #[arg(long)]
    pub batch: Option<NonZeroUsize>,
    /// Questions that are answered side by side, each by a thread: at least as many as are written together, on a CPU as many as
    /// it has cores, when absent
    #[arg(long)]
    pub lanes: Option<NonZeroUsize>,
    /// Threads that decode; as many as there are cores when absent
    #[arg(long)]
    readers: Option<NonZeroUsize>,
    /// Questions that are decoded ahead; twice those that are being answered, and 8 at least, when absent
    #[arg(long)]
    ahead: Option<NonZeroUsize>,
    /// Seconds after which a process that says nothing is dead to others that share the run
    #[arg(long, default_value_t = 60.0)]
    lease: f64,
}

impl PaceArgs {
    /// For so many questions under way.
    pub fn pace(&self, under_way: usize) -> Result<Pace> {
        anyhow::ensure!(self.lease >= 0.1 && self.lease.is_finite(), "a lease of {} s is none", self.lease);
        let usual = Pace::default();
        Ok(Pace {
            readers: self.readers.map_or(usual.readers, NonZeroUsize::get),
            ahead: self.ahead.map_or(usual.ahead.max(2 * under_way), NonZeroUsize::get),
            lease: Duration::from_secs_f64(self.lease),
            ..usual
        })
    }
}

/// One of an enumeration's names in files, also with hyphens.
pub fn named<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    serde_json::from_value(Value::String(text.replace('-', "_"))).map_err(|error| error.to_string())
}
