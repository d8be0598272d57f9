//! `strefer engine run`: videos become stage records and instruction samples.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use candle_core::{DType, Device};
use clap::Args;
use strefer_core::{IndexSpace, UniformRule};
use strefer_engine::EngineConfig;
use strefer_engine::clips::{ColourFeatures, FrameFeatures, SiglipFeatures};
use strefer_engine::config::{FeatureKind, MaskletModels, MaskletsConfig};
use strefer_engine::pipeline::captions::Captions;
use strefer_engine::pipeline::masklets::{Loaded, Models, Referees, Simulated};
use strefer_engine::pipeline::objects::describer::{Describer, RegionModel};
use strefer_engine::pipeline::{
    Crew, GivenFolder, Input, MaskletSource, Prompts, Run, RunFolder, Stage, Summary, Teachers, digest,
    input, input_afar,
};
use strefer_engine::queue::{FolderQueue, WorkQueue};
use strefer_store::{Shelf, is_address, publish};
use strefer_vision::grounding_dino;
use strefer_vision::sam2::Sam2Video;

use super::referee::{OpenedReferee, open_region_model};
use super::world::world_inputs;
use crate::args::{DeviceArgs, key_value};
use crate::interrupt::stop_flag;
use crate::progress::{EngineBar, bar};

/// Make instruction data from videos or a synthetic world
#[derive(Debug, Args)]
pub struct RunArgs {
    /// TOML file of the engine
    config: PathBuf,
    /// Videos: a file, a folder, a pattern with *, or a list (.txt); or an address (s3://bucket/videos/, https://host/a.mp4) of a
    /// program built with --features cloud; otherwise those of the configuration
    #[arg(long, value_name = "PATH", conflicts_with = "world")]
    videos: Option<PathBuf>,
    /// Folder of a world made with `strefer synth`
    #[arg(long, value_name = "DIR")]
    world: Option<PathBuf>,
    /// Frames of the uniform sample that masks of a world are stored for
    #[arg(long, default_value_t = 32)]
    frames: u32,
    /// Folder of records that are given: entities.jsonl, masklets.jsonl, …
    #[arg(long, value_name = "DIR")]
    given: Option<PathBuf>,
    /// Captions of the videos, which the stage parse reads: JSON Lines or a table with video and caption, or Panda-70M's table; only
    /// videos that have one are worked on
    #[arg(long, value_name = "FILE")]
    captions: Option<PathBuf>,
    /// Set a single value, such as instruct.seed=2
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = key_value)]
    overrides: Vec<(String, String)>,
    /// The folder to write; a second call goes on where the first stopped, and several at once share the work
    #[arg(long)]
    out: PathBuf,
    /// Put the joined records at this address as well (s3://bucket/run/), each time all is joined (--features cloud)
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["stage", "shard", "dry_run"])]
    publish: Option<PathBuf>,
    /// Run one stage alone: recognise, parse, masklets, annotate, review, refine, question, clips,
    /// transcribe or samples
    #[arg(long, value_name = "NAME")]
    stage: Option<Stage>,
    /// Only every N-th video, from the K-th on (0/4 … 3/4); a call without it joins what all shards made
    #[arg(long, value_name = "K/N", value_parser = shard)]
    shard: Option<(usize, usize)>,
    /// Count videos, questions, tokens and cost, and ask nobody
    #[arg(long, conflicts_with_all = ["join", "shard"])]
    dry_run: bool,
    /// Make nothing: join what is finished
    #[arg(long, conflicts_with_all = ["stage", "shard"])]
    join: bool,
    /// Ask nobody: take answers that were kept
    #[arg(long)]
    replay: bool,
    /// The folder was made with another configuration; go on with what still fits
    #[arg(long)]
    changed: bool,
    /// Try videos again that are parked
    #[arg(long)]
    retry: bool,
    /// Share the work over a database instead of locks in the folder: sqlite:FILE or postgres://USER@HOST/NAME
    #[cfg(feature = "sql")]
    #[arg(long, value_name = "URL", conflicts_with = "shard")]
    queue: Option<String>,
}

/// The same, and where models run.
#[derive(Debug, Args)]
pub struct RunJob {
    #[command(flatten)]
    run: RunArgs,
    #[command(flatten)]
    device: DeviceArgs,
}

impl RunJob {
    /// Runs it.
    pub fn run(&self) -> Result<()> {
        run(&self.run, &self.device)
    }
}

/// Seconds after which the videos of a worker on another machine that is gone are free again.
#[cfg(feature = "sql")]
const LEASE: std::time::Duration = std::time::Duration::from_secs(30);

/// `K/N`
fn shard(text: &str) -> Result<(usize, usize), String> {
    let numbers = text.split_once('/').and_then(|(k, n)| Some((k.parse().ok()?, n.parse().ok()?)));
    numbers.filter(|(k, n)| k < n).ok_or_else(|| "expected K/N, with K from 0 to N - 1".to_owned())
}

/// Runs it.
pub fn run(args: &RunArgs, device: &DeviceArgs) -> Result<()> {
    let cfg = EngineConfig::load(&args.config, &args.overrides)
        .with_context(|| format!("{} is no engine configuration", args.config.display()))?;
    if let Some(address) = &args.publish {
        ensure!(is_address(address), "--publish {} is no address", address.display());
        ensure!(cfg!(feature = "cloud"), "--publish: the program is built without this (--features cloud)");
    }
    let inputs = args.inputs(&cfg)?;
    let folder = RunFolder::look(&args.out, &cfg, args.changed)?;
    let mut crew = args.crew(&cfg, &folder, device)?;
    // A run that cannot start, and one that only counts, leave no folder; nothing was ever answered in a new one.
    let is_counted = args.dry_run && !args.out.exists();
    if !is_counted {
        RunFolder::claim(&args.out, &cfg, args.changed)?;
    }
    let placed = || device.placement().map(|placement| placement.first().clone());
    let placed = || placed().map_err(|error| strefer_engine::Error::Config(crate::explain(&error)));
    let replay = args.replay || is_counted;
    crew.teachers = Teachers::open(&cfg.teachers, &folder.path("teachers"), replay, &placed)?;
    let stop = stop_flag()?;
    let bar = EngineBar::new(inputs.len(), &crew.teachers);
    let run = Run {
        cfg: &cfg,
        crew: &crew,
        folder: &folder,
        only: args.stage,
        retry: args.retry,
        stop: &stop,
        observer: &|event| bar.hear(event),
    };
    if args.dry_run {
        let bar = self::bar(inputs.len(), "videos");
        let plan = run.plan(&inputs, || bar.inc(1));
        bar.finish_and_clear();
        println!("{}", serde_json::to_string_pretty(&plan)?);
        return Ok(());
    }
    let mut summary = Summary::default();
    if !args.join {
        let queue = args.queue(&folder, run.work_names(&inputs))?;
        summary = run.over(&inputs, queue.as_ref())?;
    }
    bar.finish();
    // A part of the work is joined with the rest, later.
    let whole = args.stage.is_none() && args.shard.is_none();
    if whole && (args.join || summary.left == 0) {
        summary = run.join(&inputs, summary)?;
        if let Some(address) = &args.publish {
            publish(&joined(&args.out)?, address, &shelf(&cfg)?)?;
        }
    }
    println!("{}", serde_json::to_string(&summary)?);
    if summary.parked > 0 {
        let list = folder.path("failures.jsonl");
        let there = if list.exists() { "why stands in" } else { "a call for all stages writes why to" };
        tracing::warn!("{} videos came to nothing; {there} {}", summary.parked, list.display());
    }
    match &summary.stopped {
        Some(reason) if summary.left > 0 => {
            bail!("{} videos are left: {reason}; the same command goes on", summary.left)
        }
        _ if summary.parked == inputs.len() => bail!("no video came to anything"),
        _ => {
            if whole && summary.left == 0 && !stop.load(Ordering::Relaxed) {
                // Nobody holds anything any more; those who work on other parts of the videos might.
                let _ = std::fs::remove_dir_all(folder.path("leases"));
            }
            Ok(())
        }
    }
}

impl RunArgs {
    fn inputs(&self, cfg: &EngineConfig) -> Result<Vec<Input>> {
        let given = self.given.as_ref().or(cfg.given.as_ref());
        let mut inputs = match (&self.world, self.videos.as_ref().or(cfg.videos.as_ref())) {
            (Some(world), _) => {
                ensure!(given.is_none(), "records of a world are its own: leave out --given");
                let space = IndexSpace::Uniform { n: self.frames, rule: UniformRule::LinspaceTrunc };
                world_inputs(world, space)?
            }
            (None, Some(videos)) if is_address(videos) => {
                input_afar::videos_at(&videos.to_string_lossy(), &shelf(cfg)?)?
            }
            (None, Some(videos)) => input::videos(videos)?,
            (None, None) => {
                bail!("name videos (--videos, or `videos` in the configuration) or a world (--world)")
            }
        };
        if let Some(dir) = given {
            let folder = GivenFolder::open(dir)?;
            for input in &mut inputs {
                input.known = Some(folder.about(&input.video_id));
            }
        }
        if let Some(file) = self.captions.as_ref().or(cfg.captions.as_ref()) {
            let without = Captions::open(file)?.give(&mut inputs);
            ensure!(!inputs.is_empty(), "{} has a caption of none of the videos", file.display());
            if without > 0 {
                tracing::warn!("{without} videos have no caption in {} and are left out", file.display());
            }
        }
        if let Some((k, n)) = self.shard {
            let all = inputs.into_iter().enumerate();
            inputs = all.filter(|(at, _)| at % n == k).map(|(_, input)| input).collect();
        }
        Ok(inputs)
    }

    fn queue(&self, folder: &RunFolder, names: Vec<String>) -> Result<Box<dyn WorkQueue>> {
        #[cfg(feature = "sql")]
        if let Some(url) = &self.queue {
            // What is done about a stage alone is another work.
            let run = format!("{} {}", folder.id()?, self.stage.map_or("", Stage::name));
            return Ok(Box::new(strefer_engine::queue::SqlQueue::open(url, &run, names, LEASE)?));
        }
        Ok(Box::new(FolderQueue::open(folder.path("leases"), names)?))
    }

    /// All but the teachers, whose folders are not written yet.
    fn crew(&self, cfg: &EngineConfig, folder: &RunFolder, device: &DeviceArgs) -> Result<Crew> {
        let beside = self.config.parent().unwrap_or(Path::new(""));
        let device = || -> Result<Device> { Ok(device.placement()?.first().clone()) };
        let masklets: Option<Box<dyn MaskletSource>> = match &cfg.masklets {
            None => None,
            Some(MaskletsConfig::Simulated(own)) => Some(Box::new(Simulated::new(own.clone()))),
            Some(MaskletsConfig::Models(own)) => {
                let answers = folder.path("teachers/referee");
                Some(Box::new(models(own, device()?, answers)?))
            }
        };
        let features: Box<dyn FrameFeatures> = match cfg.clips.as_ref() {
            Some(clips) if clips.features == FeatureKind::Siglip => {
                let tower = clips.tower.as_deref().context("clips.tower names no folder")?;
                Box::new(SiglipFeatures::open(tower, &device()?).context("opening the tower of clips")?)
            }
            _ => Box::new(ColourFeatures),
        };
        let describer: Option<Box<dyn Describer>> =
            match cfg.review.as_ref().and_then(|review| review.model.as_ref()) {
                None => None,
                Some(model) => Some(Box::new(region_model(model, device()?)?)),
            };
        Teachers::check(&cfg.teachers)?;
        let prompts = Prompts::open(cfg, beside)?;
        Ok(Crew { teachers: Teachers::default(), prompts, masklets, describer, features })
    }
}

/// Brings videos from addresses and puts records there, each within the time of a stage. Copies stay only while they are worked on.
fn shelf(cfg: &EngineConfig) -> Result<Arc<Shelf>> {
    Ok(Shelf::new(0, Duration::from_secs_f64(cfg.work.stage_s))?)
}

/// The joined records of a run's folder, those of samples last.
fn joined(folder: &Path) -> Result<Vec<PathBuf>> {
    let entries = std::fs::read_dir(folder).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let entries = entries.with_context(|| format!("cannot read {}", folder.display()))?;
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let is_record = |path: &PathBuf| {
        let name = name(path);
        !name.starts_with('.') && (name.ends_with(".jsonl") || name.ends_with(".jsonl.zst"))
    };
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).filter(is_record).collect();
    files.sort_by_key(|path| (name(path).starts_with("samples."), name(path)));
    Ok(files)
}

/// A detector, a tracker and a referee, loaded when they are needed.
/// Answers of a referee behind a server are kept in `answers`.
fn models(cfg: &MaskletModels, device: Device, answers: PathBuf) -> Result<Models> {
    let folders = [Some(&cfg.detector), Some(&cfg.tracker), cfg.referee.as_ref()];
    let digests = folders.into_iter().flatten().map(|folder| digest::of_path(folder));
    let digests = digests.collect::<strefer_engine::Result<Vec<String>>>()?;
    let digest = digest::of_value(&digests)?;
    let own = cfg.clone();
    let load = move || -> Result<Loaded> {
        let dtype = DType::F32;
        let open = |path: &PathBuf| OpenedReferee::open(path, &device, dtype, &answers);
        let referee = own.referee.as_ref().map(open).transpose().context("opening the referee")?;
        Ok(Loaded {
            detector: grounding_dino::Detector::open(&own.detector, &device, dtype)
                .context("opening the detector")?,
            tracker: Sam2Video::open(&own.tracker, &device, dtype).context("opening the tracker")?,
            referee: referee.map(|referee| Box::new(referee) as Box<dyn Referees>),
        })
    };
    let load = move || load().map_err(|error| crate::explain(&error));
    Ok(Models::new(cfg.clone(), &digest[..16], Box::new(load)))
}

/// A Video LLM that says what masks show, loaded when it is needed.
fn region_model(folder: &Path, device: Device) -> Result<RegionModel> {
    let digest = digest::of_path(folder).context("opening the reviewer")?;
    let folder = folder.to_owned();
    let load =
        move || open_region_model(&folder, &device, DType::F32).map_err(|error| crate::explain(&error));
    Ok(RegionModel::new(&digest[..16], Box::new(load)))
}
