//! `strefer eval BENCHMARK`: a run on a benchmark in a folder that processes may share.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use strefer_core::settings;
use strefer_eval::Bootstrap;
use strefer_eval::answer::{Answerer, Ours, OursOptions, Predictions, Server, ServerOptions};
use strefer_eval::bench::{BenchId, Benchmark, Views, missing_media};
use strefer_eval::run::{Outcome, Plan, Report, Run, RunFolder, RunFormat, RunRecord, sha256, work};
use strefer_model::{Checkpoint, FrameCache, ProcessorOptions};
use strefer_teacher::{Budget, EndpointConfig};

use super::eval::EvalArgs;
use super::judged::JudgeDesk;
use crate::interrupt::stop_flag;
use crate::progress::bar;
use crate::teachers;

/// Decoded frames that are kept for the next question about the same video, in bytes.
const FRAMES_KEPT: usize = 512 << 20;

/// The longest side of pictures that servers are shown.
const LONGEST_SIDE: u32 = 768;

/// Answers that a card writes together.
const ON_CARD: usize = 8;

/// Servers with a model.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerConfig {
    endpoints: Vec<EndpointConfig>,
    #[serde(default)]
    budget: Budget,
}

/// A benchmark that is about to be run.
struct Job<'a> {
    args: &'a EvalArgs,
    id: BenchId,
    root: &'a Path,
    bench: &'a dyn Benchmark,
}

pub(super) fn run(args: &EvalArgs, id: BenchId) -> Result<()> {
    let root = args.bench.root()?;
    let bench = id.open(&root, &args.bench.options()?)?;
    let job = Job { args, id, root: &root, bench: &*bench };
    if let Some(path) = &args.predictions {
        let predictions = Predictions::open(path)?;
        let extra = predictions.extra(bench.items().iter().map(|item| item.id()));
        if !extra.is_empty() {
            let (count, first) = (extra.len(), &extra[..extra.len().min(10)]);
            bail!("{}: {count} predictions without a question: {}", path.display(), first.join(", "));
        }
        return job.run(&predictions, 1);
    }
    job.check_media()?;
    let reading = ProcessorOptions {
        media_root: root.clone(),
        cache: Arc::new(FrameCache::new(FRAMES_KEPT)),
        draw: args.draw,
        ..ProcessorOptions::default()
    };
    if let Some(path) = &args.server {
        let ServerConfig { endpoints, budget } = settings::load(path, &[])?;
        let in_flight = endpoints.iter().map(|endpoint| endpoint.in_flight).sum();
        let asked = teachers::open(endpoints, budget, &teachers::beside(&args.out, "asked"), false)
            .with_context(|| format!("opening {}", path.display()))?;
        let frames = args.frames.unwrap_or(32);
        let options = ServerOptions { frames, reading, longest_side: LONGEST_SIDE, in_flight };
        return job.run(&Server::new(asked, options), in_flight);
    }
    let folder = args.model.folder()?;
    let mut checkpoint = Checkpoint::open(&folder)?;
    if let Some(unions) = args.unions {
        let region = checkpoint.config.region.as_mut();
        let region = region.with_context(|| format!("{} has no region connector", folder.display()))?;
        region.max_tokens = unions.get();
    }
    let loaded = args.model.load_checkpoint(&checkpoint, reading)?;
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let on_cpu = loaded.model.language_model().device().is_cpu();
    // The likeliest of offered answers is one whole pass, which does not share its steps.
    let usual_batch = if on_cpu || args.likeliest { 1 } else { ON_CARD };
    let usual_lanes = if on_cpu { cores } else { 1 };
    let batch = args.pace.batch.map_or(usual_batch, std::num::NonZero::get);
    let lanes = args.pace.lanes.map_or(usual_lanes, std::num::NonZero::get).max(batch);
    let options = OursOptions {
        frames: args.frames,
        draw: args.draw,
        batch,
        lanes,
        likeliest: args.likeliest,
        facts: model_facts(&folder, args)?,
    };
    job.run(&Ours::new(&loaded, options), lanes)
}

/// What tells one model from another: its configuration, its weights by name and size.
fn model_facts(folder: &Path, args: &EvalArgs) -> Result<Value> {
    let config = folder.join("config.json");
    let bytes = std::fs::read(&config).with_context(|| format!("cannot read {}", config.display()))?;
    let mut weights: Vec<(String, u64)> = Vec::new();
    let entries = std::fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in entries {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(".safetensors") || name.ends_with(".bin") {
            weights.push((name, std::fs::metadata(entry.path())?.len()));
        }
    }
    weights.sort();
    Ok(json!({
        "folder": folder,
        "config_sha256": sha256(&bytes),
        "weights": weights.into_iter().collect::<std::collections::BTreeMap<_, _>>(),
        "unions": args.unions,
        "dtype": format!("{:?}", args.model.dtype).to_lowercase(),
        "language": args.model.language,
    }))
}

impl Job<'_> {
    fn check_media(&self) -> Result<()> {
        let missing = missing_media(self.bench.items(), self.root);
        if missing.is_empty() {
            return Ok(());
        }
        let root = self.root.display();
        for uri in &missing {
            eprintln!("missing: {root}/{uri}");
        }
        let count = missing.len();
        if self.args.allow_missing {
            tracing::warn!("{count} videos are missing: questions about them have no answer");
            return Ok(());
        }
        bail!("{count} videos are missing below {root}; to go on without them, add --allow-missing")
    }

    fn run<A: Answerer>(&self, answerer: &A, under_way: usize) -> Result<()> {
        let Self { args, bench, .. } = self;
        let views = Views::new(*bench, args.seed);
        let wanted = args.views.views(bench.probes());
        let plan = Plan::new(*bench, &views, &wanted, args.limit);
        let record = RunRecord {
            format: RunFormat::V1,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            benchmark: self.id,
            title: bench.title().to_owned(),
            root: self.root.to_owned(),
            split: args.bench.split.clone(),
            questions: bench.facts(),
            items: plan.items(),
            items_sha256: plan.digest(*bench),
            views: wanted,
            answers: answerer.facts(),
            seed: args.seed,
        };
        let folder = RunFolder::open(&args.out, &record)?;
        let run = Run { folder: &folder, record: &record, plan: &plan, benchmark: *bench, views: &views };
        let stop = stop_flag()?;
        let progress = bar(plan.questions(), "questions");
        let pace = args.pace.pace(under_way)?;
        let worked = work(&run, answerer, pace, &stop, &|now| progress.set_position(now.over as u64))?;
        progress.finish_and_clear();
        let busy = worked.answering_s + worked.waiting_s;
        if worked.answered > 0 {
            let waiting = 100.0 * worked.waiting_s / busy.max(1e-9);
            tracing::info!("{} answers, waiting for frames {waiting:.1} % of the time", worked.answered);
        }
        if !worked.complete {
            bail!("stopped; the same command goes on");
        }
        self.report(&run)
    }

    fn report(&self, run: &Run<'_>) -> Result<()> {
        let args = self.args;
        let desk = match &args.judge {
            Some(name) if name.as_os_str() == "world" => Some(JudgeDesk::of_the_world()),
            Some(config) => Some(JudgeDesk::open(config, &run.folder.path("judged"), args.replay)?),
            None => None,
        };
        let judge = desk.as_ref().map(JudgeDesk::judge);
        let judged = bar(run.plan.questions(), "judged");
        let each = || judged.inc(1);
        let bootstrap = Bootstrap { seed: args.seed, ..Bootstrap::default() };
        let rater = judge.as_ref().map(|judge| (judge, &each as &(dyn Fn() + Sync)));
        let report = Report { run, rater, bootstrap };
        let Outcome { table, summary, unanswered } = report.write()?;
        let compared = args.compare.as_deref().map(|other| report.compare(other)).transpose()?;
        judged.finish_and_clear();
        match args.json {
            true => println!("{}", serde_json::to_string_pretty(&summary)?),
            false => println!("{}", table.trim_end()),
        }
        if let (Some(compared), false) = (compared, args.json) {
            println!("\n{}", compared.trim_end());
        }
        if unanswered > 0 && !args.allow_missing {
            let items = run.folder.path("items.jsonl");
            bail!("{unanswered} questions have no answer; see {}, or add --allow-missing", items.display());
        }
        Ok(())
    }
}
