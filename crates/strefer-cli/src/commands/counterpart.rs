//! `strefer counterpart`: a synthetic world as a benchmark, in the official files of that benchmark.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};
use serde::Serialize;
use serde_json::{Value, json};
use strefer_core::records::VideoKind;
use strefer_core::{IndexSpace, Record, Sample, jsonl};
use strefer_engine::config::{Form, InstructConfig};
use strefer_engine::counterpart::{Highlights, descriptions, highlights, questions};
use strefer_engine::facts::Facts;
use strefer_engine::instruct::generate;
use strefer_engine::instruct::task::TaskKind;
use strefer_engine::stkit::{self, StkitConfig};
use strefer_engine::truth::TruthVideo;
use strefer_synth::{ClipTruth, read_truth};
use strefer_video::{Limits, VideoSource};

use super::world::{to_engine, to_stkit};
use crate::progress::bar;

/// Make a benchmark of a synthetic world, in that benchmark's own files
#[derive(Debug, Args)]
pub struct CounterpartArgs {
    /// Which benchmark
    #[arg(value_enum)]
    bench: Counterpart,
    /// Folder of a world made with `strefer synth`
    #[arg(long)]
    world: PathBuf,
    /// Folder of all benchmarks; a folder of its own is made there
    #[arg(long)]
    root: PathBuf,
    /// Which split QVHighlights' files are called: val, the usual one, or train for lessons
    #[arg(long, value_parser = ["val", "train"])]
    split: Option<String>,
    /// Seed of what is asked
    #[arg(long, default_value_t = 0)]
    seed: u64,
}

/// Benchmarks that a world can stand for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Counterpart {
    /// VideoRefer-Bench-Q
    VideoreferQ,
    /// VideoRefer-Bench-D
    VideoreferD,
    /// QVHighlights; the videos need an even number of seconds
    Qvhighlights,
    /// STKit-Bench
    Stkit,
}

/// A world on disk.
struct World<'a> {
    dir: &'a Path,
    clips: Vec<ClipTruth>,
    seed: u64,
}

impl World<'_> {
    /// The file of a clip, or its folder of frames.
    fn video(&self, clip_id: &str) -> PathBuf {
        let videos = self.dir.join("videos");
        let file = videos.join(format!("{clip_id}.mp4"));
        if file.exists() { file } else { videos.join(clip_id) }
    }

    fn truths(&self) -> impl Iterator<Item = TruthVideo> + '_ {
        self.clips.iter().map(|clip| {
            let video = self.video(&clip.id);
            let kind = if video.is_dir() { VideoKind::FramesDir } else { VideoKind::File };
            to_engine(clip, clip.id.clone(), kind, IndexSpace::Source)
        })
    }

    /// Single questions of some tasks, so many a clip.
    fn samples(&self, tasks: &[(TaskKind, usize)]) -> Result<Vec<Sample>> {
        let config = InstructConfig {
            seed: self.seed,
            dataset: "synth".to_owned(),
            form: Form::SingleTurn,
            tasks: tasks.iter().copied().collect::<BTreeMap<_, _>>(),
            single_frame_share: 0.0,
            ..InstructConfig::default()
        };
        let mut samples = Vec::new();
        for truth in self.truths() {
            samples.extend(generate(&Facts::new(&truth.stages())?, &config)?);
        }
        Ok(samples)
    }
}

/// Runs it.
pub fn run(args: &CounterpartArgs) -> Result<()> {
    if args.split.is_some() && args.bench != Counterpart::Qvhighlights {
        bail!("--split is for qvhighlights");
    }
    let world = World { dir: &args.world, clips: read_truth(&args.world)?, seed: args.seed };
    let folder = args.root.join(match args.bench {
        Counterpart::VideoreferQ | Counterpart::VideoreferD => "videorefer",
        Counterpart::Qvhighlights => "qvhighlights",
        Counterpart::Stkit => "stkit",
    });
    let counts = match args.bench {
        Counterpart::VideoreferQ => bench_q(&world, &folder)?,
        Counterpart::VideoreferD => bench_d(&world, &folder)?,
        Counterpart::Qvhighlights => moments(&world, &folder, args.split.as_deref().unwrap_or("val"))?,
        Counterpart::Stkit => motion(&world, &folder)?,
    };
    println!("{counts}");
    Ok(())
}

fn bench_q(world: &World<'_>, folder: &Path) -> Result<Value> {
    let tasks = [
        (TaskKind::RegionAttribute, 4),
        (TaskKind::MaskBehavior, 1),
        (TaskKind::MaskRelation, 1),
        (TaskKind::MaskOrder, 1),
    ];
    let frames = |sample: &Sample| format!("frames/{}", sample.video_id);
    let all = questions(&world.samples(&tasks)?, world.seed, frames)?;
    let bar = bar(world.clips.len(), "videos");
    for clip in &world.clips {
        unpack(&world.video(&clip.id), &folder.join("frames").join(&clip.id))?;
        bar.inc(1);
    }
    bar.finish_and_clear();
    jsonl::write_all(folder.join("VideoRefer-Bench-Q.others.jsonl"), &all.others)?;
    write_json(&folder.join("VideoRefer-Bench-Q.json"), &all.questions)?;
    Ok(json!({ "questions": all.questions.len(), "with_another_object": all.others.len() }))
}

fn bench_d(world: &World<'_>, folder: &Path) -> Result<Value> {
    let samples = world.samples(&[(TaskKind::RegionCaptionDetailed, 2)])?;
    let name = |sample: &Sample| file_name(&world.video(&sample.video_id));
    let records = descriptions(&samples, name)?;
    for clip in &world.clips {
        let video = world.video(&clip.id);
        place(&video, &folder.join("Panda-70M").join(file_name(&video)))?;
    }
    write_json(&folder.join("VideoRefer-Bench-D.json"), &records)?;
    Ok(json!({ "descriptions": records.len() }))
}

fn moments(world: &World<'_>, folder: &Path, split: &str) -> Result<Value> {
    let Highlights { queries, objects } = highlights(&world.truths().collect::<Vec<_>>())?;
    for clip in &world.clips {
        let video = world.video(&clip.id);
        let even_s = 2.0 * (clip.duration_s / 2.0).floor();
        let mut name = format!("{}_0.0_{even_s:.1}", clip.id);
        if video.is_dir() {
            bail!("QVHighlights has video files, {} is a folder of frames", video.display());
        }
        name.push_str(".mp4");
        place(&video, &folder.join("videos").join(name))?;
    }
    let file = |ending: &str| folder.join(format!("highlight_{split}_release.{ending}"));
    jsonl::write_all(file("objects.jsonl"), &objects)?;
    jsonl::write_all(file("jsonl"), &queries)?;
    Ok(json!({ "queries": queries.len() }))
}

fn motion(world: &World<'_>, folder: &Path) -> Result<Value> {
    let frame = |clip: &ClipTruth, number: usize| format!("{}#{number}", clip.id);
    let clips = world.clips.iter().map(|clip| to_stkit(clip, |number| frame(clip, number)));
    let config = StkitConfig { seed: world.seed, ..StkitConfig::default() };
    let generated = stkit::generate(clips.collect(), &config)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let bar = bar(generated.overlays.len(), "videos");
    for overlay in &generated.overlays {
        let numbers = overlay.frames.iter().map(|name| name.rsplit_once('#')?.1.parse().ok());
        let numbers: Option<Vec<usize>> = numbers.collect();
        let numbers =
            numbers.with_context(|| format!("clip {}: its frames have no numbers", overlay.clip_id))?;
        let clip_id = overlay.frames[0].rsplit_once('#').map_or("", |(clip, _)| clip);
        let source = VideoSource::open(world.video(clip_id), &Limits::default())?;
        let target = folder.join(&overlay.folder);
        fs::create_dir_all(&target).with_context(|| format!("cannot make {}", target.display()))?;
        for (at, mut frame) in source.frames_at_indices(&numbers)?.into_iter().enumerate() {
            overlay.draw(at, &mut frame.image, config.smallest_box);
            frame.image.save(target.join(format!("{at:05}.png")))?;
        }
        bar.inc(1);
    }
    bar.finish_and_clear();
    let clips = generated.overlays.len();
    let records: Vec<Record> =
        generated.samples.into_iter().map(|sample| Record::Sample(Box::new(sample))).collect();
    jsonl::write_all(folder.join("STKit-Bench.jsonl"), &records)?;
    Ok(json!({ "questions": records.len(), "clips": clips }))
}

fn file_name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Writes a file of JSON whole.
fn write_json(path: &Path, value: &impl Serialize) -> Result<()> {
    let part = path.with_extension("part");
    let written = fs::write(&part, format!("{}\n", serde_json::to_string_pretty(value)?));
    written.and_then(|()| fs::rename(&part, path)).with_context(|| format!("cannot write {}", path.display()))
}

/// Puts a video where a benchmark looks for it, without a second copy where the disk allows that.
fn place(video: &Path, target: &Path) -> Result<()> {
    if video.is_dir() {
        return unpack(video, target);
    }
    let folder = target.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    if !target.exists() && fs::hard_link(video, target).is_err() {
        let part = target.with_extension("part");
        fs::copy(video, &part)
            .and_then(|_| fs::rename(&part, target))
            .with_context(|| format!("cannot write {}", target.display()))?;
    }
    Ok(())
}

/// A video as a folder of its frames.
fn unpack(video: &Path, target: &Path) -> Result<()> {
    if target.exists() {
        return Ok(());
    }
    let part = target.with_extension("part");
    if part.exists() {
        fs::remove_dir_all(&part).with_context(|| format!("cannot remove {}", part.display()))?;
    }
    fs::create_dir_all(&part).with_context(|| format!("cannot make {}", part.display()))?;
    let source = VideoSource::open(video, &Limits::default())?;
    for frame in source.iter() {
        let frame = frame?;
        frame.image.save(part.join(format!("{:05}.png", frame.index)))?;
    }
    fs::rename(&part, target).with_context(|| format!("cannot write {}", target.display()))
}
