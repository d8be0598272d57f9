//! `strefer engine filter`: samples that can be believed; and how well that is told on samples that were spoilt.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde_json::json;
use strefer_core::Sample;
use strefer_core::jsonl::{self, Writer, read_records};
use strefer_core::records::LineRecord;
use strefer_engine::filter::measure::{Confusion, Labelled, Score};
use strefer_engine::filter::scores::read as read_scores;
use strefer_engine::filter::spoil::{Label, Spoilt, spoil, spoil_records};
use strefer_engine::filter::{Against, Evidence, FilterSettings, Likelihood, Limits, run};
use strefer_engine::pipeline::digest;
use strefer_engine::stages;
use strefer_model::{FrameCache, ProcessorOptions};

use crate::args::ModelArgs;
use crate::interrupt::stop_flag;
use crate::progress::bar;

/// Bytes of decoded frames that are kept.
const KEPT_FRAMES: usize = 256 << 20;

/// Keep the questions that words, records and a model's eyes do not speak against
#[derive(Debug, Args)]
pub struct FilterArgs {
    /// Samples of the engine
    samples: PathBuf,
    /// Folder of their records; given again, records of another teacher that must agree
    #[arg(long, value_name = "DIR")]
    given: Vec<PathBuf>,
    /// The folder that media paths are relative to; that of the samples when absent
    #[arg(long, value_name = "DIR")]
    media_root: Option<PathBuf>,
    /// Ask no model
    #[arg(long)]
    no_model: bool,
    #[command(flatten)]
    model: ModelArgs,
    /// What is refused: a file that `strefer engine filter-limits` wrote, instead of faults in words and records, answers that fit another
    /// object better by a factor of e, and answers less likely than e to the minus 3 a token
    #[arg(long, value_name = "FILE")]
    limits: Option<PathBuf>,
    /// The most other objects that an answer is tried on
    #[arg(long, default_value_t = 4)]
    others: usize,
    /// The folder to write; the same command goes on where it stopped
    #[arg(long)]
    out: PathBuf,
}

/// What is refused where no file says.
const USUAL: Limits = Limits { form: true, records: Against::Refused, cycle: Some(-1.0), likely: Some(-3.0) };

/// Runs it.
pub fn run_filter(args: &FilterArgs) -> Result<()> {
    let limits = match &args.limits {
        Some(file) => read_json(file)?,
        None if args.no_model => Limits { cycle: None, likely: None, ..USUAL },
        None => USUAL,
    };
    let evidence: Vec<Evidence> =
        args.given.iter().map(|folder| Evidence::read(folder)).collect::<Result<_, _>>()?;
    let beside = || args.samples.parent().unwrap_or(Path::new("")).to_owned();
    let media_root = args.media_root.clone().unwrap_or_else(beside);
    let mut identity = vec![
        format!("samples {}", digest::of_path(&args.samples)?),
        format!("others {}", args.others),
        format!("media {}", media_root.display()),
    ];
    for folder in &args.given {
        for name in stages::STAGE_FILES {
            let file = [format!("{name}.jsonl"), format!("{name}.jsonl.zst")].map(|name| folder.join(name));
            if let Some(file) = file.iter().find(|file| file.is_file()) {
                identity.push(format!("records {}", digest::of_path(file)?));
            }
        }
    }
    let loaded = match args.no_model {
        true => None,
        false => {
            let folder = args.model.folder()?;
            identity.push(format!("model {}", digest::of_path(&folder)?));
            let cache = Arc::new(FrameCache::new(KEPT_FRAMES));
            let options = ProcessorOptions { cache, media_root, ..ProcessorOptions::default() };
            Some(args.model.load_from(&folder, options)?)
        }
    };
    let settings = FilterSettings {
        evidence: &evidence,
        likelihood: loaded.as_ref().map(|loaded| Likelihood::new(&loaded.model, &loaded.processor)),
        limits,
        others: args.others,
        identity: identity.join("\n"),
    };
    let samples = read_records::<Sample>(&args.samples)?;
    let total = read_records::<Sample>(&args.samples)?.count();
    let progress = bar(total, "samples");
    let filtered = run(samples, &settings, &args.out, &*stop_flag()?, || progress.inc(1))
        .with_context(|| format!("filtering {}", args.samples.display()))?;
    progress.finish_and_clear();
    println!("{}", serde_json::to_string(&filtered)?);
    Ok(())
}

/// Make some of right samples wrong, to measure what a filter finds
#[derive(Debug, Args)]
pub struct SpoilArgs {
    /// Samples with one question each, all of them right
    samples: PathBuf,
    /// Folder of records that are true
    #[arg(long, value_name = "DIR")]
    given: PathBuf,
    /// The share that becomes wrong
    #[arg(long, default_value_t = 0.38)]
    share: f64,
    /// What becomes wrong
    #[arg(long, value_enum, default_value_t = What::Content)]
    what: What,
    /// Write records of another teacher besides, who is wrong about this share of what is done, and exchanges two objects in this share of the
    /// videos
    #[arg(long, value_name = "SHARE")]
    teacher: Option<f64>,
    /// What is drawn
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// The new folder to write: samples.jsonl, labels.jsonl, records of the teacher in teacher/
    #[arg(long)]
    out: PathBuf,
}

/// What becomes wrong.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum What {
    /// What is said: masks, times, answers
    Content,
    /// How it is said: questions that give their object away, broken sentences, repeats
    Form,
}

/// Runs it.
pub fn run_spoil(args: &SpoilArgs) -> Result<()> {
    for share in [args.share, args.teacher.unwrap_or_default()] {
        if !(0.0..=1.0).contains(&share) {
            bail!("a share of {share} is not between 0 and 1");
        }
    }
    let samples: Vec<Sample> = read_records(&args.samples)?.collect::<Result<_, _>>()?;
    let ways: &[Spoilt] = match args.what {
        What::Content => &Spoilt::CONTENT,
        What::Form => &Spoilt::FORM,
    };
    let truth = Evidence::read(&args.given)?;
    let (spoilt, labels) = spoil(&samples, &truth, ways, args.share, args.seed);
    if args.out.exists() {
        bail!("{} exists already", args.out.display());
    }
    let name = args.out.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let part = args.out.with_file_name(format!(".{name}.{}.part", std::process::id()));
    std::fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let mut out = Writer::create(part.join("samples.jsonl"))?;
    for sample in spoilt {
        out.write(&sample.into_record())?;
    }
    out.finish()?;
    jsonl::write_all(part.join("labels.jsonl"), &labels)?;
    if let Some(share) = args.teacher {
        let folder = part.join("teacher");
        std::fs::create_dir(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let mut files = Vec::new();
        for name in stages::STAGE_FILES {
            files.push(Writer::create(folder.join(format!("{name}.jsonl")))?);
        }
        for video in stages::read(&args.given)? {
            let records = spoil_records(video?, share, args.seed).into_records();
            files.iter_mut().zip(&records).try_for_each(|(file, record)| file.write(record))?;
        }
        files.into_iter().try_for_each(Writer::finish)?;
    }
    std::fs::rename(&part, &args.out).with_context(|| format!("cannot make {}", args.out.display()))?;
    let wrong = labels.iter().filter(|label| label.spoilt.is_some()).count();
    println!("{}", json!({"samples": labels.len(), "wrong": wrong}));
    Ok(())
}

/// Fit a filter's limits on spoilt samples, and say on others how well each check tells right from wrong
#[derive(Debug, Args)]
pub struct LimitsArgs {
    /// Scores of spoilt samples to fit on
    fit: PathBuf,
    /// What is true of them
    #[arg(long)]
    labels: PathBuf,
    /// Scores of other spoilt samples
    #[arg(long)]
    test: PathBuf,
    /// What is true of these
    #[arg(long)]
    test_labels: PathBuf,
    /// Where to write the limits, for `strefer engine filter --limits`
    #[arg(long)]
    out: PathBuf,
}

/// Runs it.
pub fn run_limits(args: &LimitsArgs) -> Result<()> {
    let (fit, test) = (labelled(&args.fit, &args.labels)?, labelled(&args.test, &args.test_labels)?);
    let form = Limits { form: true, ..Limits::NONE };
    let checks = [
        ("none", Limits::NONE),
        ("form", form),
        ("records", Limits { records: Against::Refused, ..Limits::NONE }),
        ("cycle", fit.fit(Limits::NONE, &[Score::Cycle])),
        ("likely", fit.fit(Limits::NONE, &[Score::Likely])),
        ("cycle and likely", fit.fit(Limits::NONE, &[Score::Likely, Score::Cycle])),
        ("all", fit.fit(form, &[Score::Likely, Score::Records, Score::Cycle])),
    ];
    let (samples, wrong) = test.counts();
    println!("{samples} samples, {wrong} of them wrong\n");
    println!(
        "| check | kept right | kept wrong | precision | recall | F1 | accuracy |\n|---|---|---|---|---|---|---|"
    );
    for (name, limits) in &checks {
        let found = test.confusion(limits);
        let Confusion { kept_right, kept_wrong, .. } = found;
        let [precision, recall, f1, accuracy] =
            [found.precision(), found.recall(), found.f1(), found.accuracy()]
                .map(|share| format!("{share:.3}"));
        println!("| {name} | {kept_right} | {kept_wrong} | {precision} | {recall} | {f1} | {accuracy} |");
    }
    println!("\n| wrong in this way | {} |", checks.map(|(name, _)| name)[1..].join(" | "));
    println!("|---|{}", "---|".repeat(checks.len() - 1));
    for way in test.refused(&Limits::NONE).keys() {
        let shares = checks[1..].iter().map(|(_, limits)| {
            let (all, refused) = test.refused(limits)[way];
            format!("{refused} of {all}")
        });
        let name = serde_json::to_value(way)?;
        println!("| {} | {} |", name.as_str().unwrap_or_default(), shares.collect::<Vec<_>>().join(" | "));
    }
    let all = checks.map(|(_, limits)| limits)[checks.len() - 1];
    std::fs::write(&args.out, serde_json::to_vec_pretty(&all)?)
        .with_context(|| format!("cannot write {}", args.out.display()))
}

fn labelled(scores: &Path, labels: &Path) -> Result<Labelled> {
    let read = read_scores(scores)?;
    let truth: Vec<Label> = jsonl::Reader::open(labels)?.collect::<Result<_, _>>()?;
    Labelled::new(read, &truth).map_err(|id| {
        anyhow::anyhow!("{}: sample {id} has no line in {}", scores.display(), labels.display())
    })
}

fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<T> {
    let text = std::fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| path.display().to_string())
}
