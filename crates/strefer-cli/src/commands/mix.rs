//! `strefer mix`: sources of samples become one mixture on disk; `strefer mix-weights`: shares of sources fitted on small runs.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::Args;
use strefer_core::jsonl;
use strefer_eval::bench::{BenchId, BenchOptions};
use strefer_llm::Tokenizer;
use strefer_store::mix::weights::{Trial, fit};
use strefer_store::mix::{Aids, MixConfig, Pass, Progress, Unwanted, mix, video_key};

use crate::args::key_value;
use crate::interrupt::stop_flag;
use crate::progress::bar;

/// Put sources of samples together: without what is repeated or part of a benchmark, videos held out, cut to a composition
#[derive(Debug, Args)]
pub struct MixArgs {
    /// The mixture (configs/mixture)
    config: PathBuf,
    /// The folder to write; must not exist
    #[arg(long)]
    out: PathBuf,
    /// Set a single value of the configuration
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    set: Vec<(String, String)>,
}

/// Runs it.
pub fn run(args: &MixArgs) -> Result<()> {
    let cfg = MixConfig::load(&args.config, &args.set)?;
    let tokenizer = cfg.tokenizer.as_deref().map(tokenizer).transpose()?;
    // A text that cannot be encoded counts as none; lengths are for planning.
    let count =
        |text: &str| tokenizer.as_ref().and_then(|it| it.encode(text).ok()).map_or(0, |ids| ids.len());
    let unwanted = cfg.unwanted.as_ref().map_or_else(|| Ok(HashSet::new()), unwanted)?;
    let aids = Aids { unwanted, count_tokens: tokenizer.as_ref().map(|_| &count as _) };
    let progress = bar(0, "mixing");
    let report = mix(&cfg, &args.out, &aids, &*stop_flag()?, &mut |now: Progress<'_>| {
        if now.done % 1000 == 1 || Some(now.done) == now.of {
            let what = if now.pass == Pass::Look { "looking at" } else { "writing" };
            progress.set_message(format!("{what} {}", now.source));
            progress.set_length(now.of.unwrap_or(now.done) as u64);
            progress.set_position(now.done as u64);
        }
    })
    .with_context(|| format!("cannot make {}", args.out.display()))?;
    progress.finish_and_clear();
    for source in &report.sources {
        if let Some(missing) = source.missing.filter(|missing| *missing > 0) {
            tracing::warn!("source {}: {missing} samples are missing from its cap", source.name);
        }
        for (group, missing) in &source.missing_groups {
            tracing::warn!(
                "source {}: {missing} samples are missing from the cap of group {group}",
                source.name
            );
        }
        for (refers, missing) in &source.missing_refers {
            let what = serde_json::to_string(refers)?;
            tracing::warn!("source {}: {missing} samples are missing from the cap of {what}", source.name);
        }
        if source.bad > 0 {
            tracing::warn!(
                "source {}: {} of {} records are no samples",
                source.name,
                source.bad,
                source.records
            );
        }
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// Fit the shares of sources on the scores of small runs
#[derive(Debug, Args)]
pub struct MixWeightsArgs {
    /// Runs, one a line: {"shares": {"base": 0.5, "strefer": 0.5}, "score": 0.71}
    trials: PathBuf,
}

/// Runs it.
pub fn run_weights(args: &MixWeightsArgs) -> Result<()> {
    let trials: Vec<Trial> = jsonl::Reader::open(&args.trials)?.collect::<Result<_, _>>()?;
    let fitted = fit(&trials).with_context(|| args.trials.display().to_string())?;
    if fitted.left_out_error >= fitted.mean_error {
        tracing::warn!(
            "a run's score is told by the others no better than by their mean ({:.4} and {:.4}): these shares say nothing",
            fitted.left_out_error,
            fitted.mean_error
        );
    }
    println!("{}", serde_json::to_string_pretty(&fitted)?);
    Ok(())
}

fn tokenizer(path: &Path) -> Result<Tokenizer> {
    let file = if path.is_dir() { path.join("tokenizer.json") } else { path.to_owned() };
    Ok(Tokenizer::load(file)?)
}

/// Keys of all videos of lists and benchmarks.
fn unwanted(unwanted: &Unwanted) -> Result<HashSet<String>> {
    let mut keys = HashSet::new();
    for list in &unwanted.lists {
        let text =
            std::fs::read_to_string(list).with_context(|| format!("cannot read {}", list.display()))?;
        keys.extend(
            text.lines()
                .map(str::trim)
                .filter(|line| !line.is_empty())
                .map(|line| video_key(line).to_owned()),
        );
    }
    let root = unwanted.root.as_deref().unwrap_or(Path::new("."));
    for name in &unwanted.benchmarks {
        let bench: BenchId = serde_json::from_value(serde_json::Value::String(name.clone()))
            .map_err(|reason| anyhow::anyhow!("unwanted.benchmarks: {reason}"))?;
        let opened = bench.open(root, &BenchOptions::default())?;
        let media = opened.items().iter().flat_map(|item| &item.sample.media);
        keys.extend(media.map(|media| video_key(&media.uri).to_owned()));
    }
    if keys.is_empty() && !(unwanted.lists.is_empty() && unwanted.benchmarks.is_empty()) {
        bail!("unwanted: the lists and benchmarks name no video");
    }
    Ok(keys)
}
