//! `strefer engine masklets`: expressions become masks in all frames of a video.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use clap::{Args, ValueEnum};
use strefer_core::jsonl::write_all;
use strefer_core::records::{Entities, Entity, Masklets, MaskletsFailure, Record, Video, VideoKind};
use strefer_core::sample::Schema;
use strefer_core::time::parse_clock;
use strefer_core::{IndexSpace, UniformRule};
use strefer_engine::language::nouns::bare;
use strefer_engine::masklets::eyes::{
    BoxEyes, ColourLooks, DrawnBox, FrameStore, GivenBoxes, Meant, TrackEyes,
};
use strefer_engine::masklets::{
    Area, CorrectedConfig, Detector, Nobody, Perception, PublishedConfig, Referee, Sought, Timeline,
    corrected, published,
};
use strefer_engine::pipeline::masklets::Referees;
use strefer_model::question::media;
use strefer_video::jpeg::USUAL_QUALITY;
use strefer_video::{Limits, VideoSource};
use strefer_vision::grounding_dino;
use strefer_vision::sam2::{Sam2Video, SessionOptions};

use super::masklets_overlay;
use super::referee::OpenedReferee;
use crate::args::{DeviceArgs, Precision};
use crate::teachers;

/// Frames whose features are kept.
const KEPT_FEATURES: usize = 16;

/// Find what expressions mean in all frames of a video
#[derive(Debug, Args)]
pub struct MaskletsArgs {
    /// Video file, or folder of frames
    video: PathBuf,
    /// What to look for, with its broad noun for the detector; the last word of the expression when absent
    #[arg(long = "expr", value_name = "EXPRESSION[=NOUN]", required = true)]
    expressions: Vec<String>,
    /// A box round what an expression means, in pixels, and its second; the first box is of the first expression
    #[arg(long = "box", value_name = "X0,Y0,X1,Y1@TIME", allow_hyphen_values = true)]
    boxes: Vec<String>,
    /// A box round something that expressions could mean, with its noun where they have several: the referee chooses among
    /// these
    #[arg(long = "candidate", value_name = "X0,Y0,X1,Y1@TIME[=NOUN]", allow_hyphen_values = true)]
    candidates: Vec<String>,
    /// Folder of Grounding DINO; without it expressions need boxes, or candidates and a referee
    #[arg(long, value_name = "DIR")]
    detector: Option<PathBuf>,
    /// Folder or file of SAM 2.1
    #[arg(long, value_name = "PATH")]
    tracker: PathBuf,
    /// Who chooses where several boxes could be meant: a folder of RexSeek, of SigLIP or of a Video LLM, or a file that names a
    /// server (configs/engine/referees/marks.toml); without it such expressions have no masklet
    #[arg(long, value_name = "PATH")]
    referee: Option<PathBuf>,
    /// Where a server's answers are kept, so that none is asked for twice [default: OUT.answers]
    #[arg(long, value_name = "DIR", requires = "referee")]
    answers: Option<PathBuf>,
    /// Which rules
    #[arg(long, value_enum, default_value_t = RuleName::Corrected)]
    rules: RuleName,
    /// Frames, spread over the video
    #[arg(long, default_value_t = 32)]
    frames: usize,
    /// A frame every so many seconds instead: 0.5 where masks are to be lifted (engine stkit)
    #[arg(long, value_name = "SECONDS", conflicts_with = "frames")]
    step: Option<f64>,
    /// The detector looks at every so many of them; the default is one with boxes alone, otherwise 2
    #[arg(long)]
    every: Option<usize>,
    #[command(flatten)]
    device: DeviceArgs,
    /// Type of the weights in memory
    #[arg(long, value_enum, default_value_t = Precision::F32)]
    dtype: Precision,
    /// The new folder to write: videos.jsonl, entities.jsonl, masklets.jsonl and an overlay
    #[arg(long)]
    out: PathBuf,
}

/// Sets of rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum RuleName {
    /// Late objects, objects that return, votes.
    Corrected,
    /// As released.
    Published,
}

impl MaskletsArgs {
    fn sought(&self) -> Result<Vec<Sought>> {
        let one = |(at, text): (usize, &String)| {
            let (expression, noun) = match text.rsplit_once('=') {
                Some((expression, noun)) => (expression.trim(), noun.trim()),
                None => (text.trim(), bare(text).split_whitespace().next_back().unwrap_or_default()),
            };
            ensure!(!expression.is_empty() && !noun.is_empty(), "--expr {text:?} names nothing");
            let (expression, noun) = (expression.to_owned(), noun.to_lowercase());
            Ok(Sought { eid: format!("e{at}"), expression, noun })
        };
        self.expressions.iter().enumerate().map(one).collect()
    }

    /// All boxes, of expressions and candidates.
    fn drawn(&self, sought: &[Sought], timeline: &Timeline, size: (usize, usize)) -> Result<Vec<DrawnBox>> {
        ensure!(
            self.boxes.len() <= self.expressions.len(),
            "{} boxes, {} expressions",
            self.boxes.len(),
            self.expressions.len()
        );
        let mut drawn = Vec::with_capacity(self.boxes.len() + self.candidates.len());
        for (at, text) in self.boxes.iter().enumerate() {
            let whole = format!("--box {text}");
            drawn.push(draw(text, Meant::Expression(at), timeline, size).context(whole)?);
        }
        for text in &self.candidates {
            let whole = || format!("--candidate {text}");
            let (area, noun) = match text.split_once('=') {
                Some((area, noun)) => (area, noun.trim().to_lowercase()),
                None => (text.as_str(), sought[0].noun.clone()),
            };
            let is_told = text.contains('=') || sought.iter().all(|other| other.noun == noun);
            ensure!(is_told, "{}: expressions have several nouns, say which behind a =", whole());
            ensure!(
                sought.iter().any(|other| other.noun == noun),
                "{}: no expression has the noun {noun:?}",
                whole()
            );
            drawn.push(draw(area, Meant::Noun(noun), timeline, size).with_context(whole)?);
        }
        Ok(drawn)
    }
}

/// A box on the frame that is nearest to its second.
fn draw(text: &str, meant: Meant, timeline: &Timeline, size: (usize, usize)) -> Result<DrawnBox> {
    let (area, at_s) = read_box(text)?;
    let last_s = timeline.times_s.last().copied().unwrap_or(0.0);
    ensure!(
        area[0] < area[2] && area[1] < area[3] && area[2] <= size.1 as f64 && area[3] <= size.0 as f64,
        "no box within {} by {} pixels",
        size.1,
        size.0
    );
    let position = timeline.nearest(at_s).filter(|_| at_s <= last_s + 1.0);
    let position = position.with_context(|| format!("the last frame is at {last_s:.2} s"))?;
    Ok(DrawnBox { position, area, meant })
}

/// A box of four numbers, and seconds.
fn read_box(text: &str) -> Result<(Area, f64)> {
    let (numbers, at) = text.rsplit_once('@').context("expected X0,Y0,X1,Y1@TIME")?;
    let numbers: Vec<f64> = numbers
        .split(',')
        .map(|number| number.trim().parse().context("expected four numbers"))
        .collect::<Result<_>>()?;
    let area: Area = numbers.try_into().ok().context("expected four numbers")?;
    ensure!(area.iter().all(|side| side.is_finite() && *side >= 0.0), "expected four numbers from 0 on");
    Ok((area, parse_clock(at)?))
}

/// Runs it.
pub fn run(args: &MaskletsArgs) -> Result<()> {
    let sought = args.sought()?;
    ensure!(
        args.detector.is_some() || args.boxes.len() == sought.len() || !args.candidates.is_empty(),
        "without --detector every expression needs a --box, or there must be a --candidate"
    );
    ensure!(
        args.rules == RuleName::Corrected || (args.boxes.is_empty() && args.candidates.is_empty()),
        "the published rules take no boxes"
    );
    ensure!(args.frames > 0 && args.every != Some(0), "--frames and --every cannot be 0");
    ensure!(args.step.is_none_or(|step_s| step_s > 0.0), "--step is a number of seconds above 0");
    ensure!(!args.out.exists(), "{} is there already; name a new folder", args.out.display());
    let id = args.video.file_stem().context("the video has no name")?.to_string_lossy().into_owned();
    let (device, dtype) = (args.device.placement()?.first().clone(), args.dtype.into());
    let tracker = Sam2Video::open(&args.tracker, &device, dtype).context("opening the tracker")?;
    let opened = args.detector.as_deref().map(|dir| grounding_dino::Detector::open(dir, &device, dtype));
    let detector = opened.transpose().context("opening the detector")?;
    let kept = args.answers.clone().unwrap_or_else(|| teachers::beside(&args.out, "answers"));
    let opened = args.referee.as_deref().map(|path| OpenedReferee::open(path, &device, dtype, &kept));
    let referee = opened.transpose().context("opening the referee")?;

    let unreadable = |reason: String| MaskletsFailure::Unreadable { reason };
    let source = VideoSource::open(&args.video, &Limits::default());
    let opened = source.map_err(|error| unreadable(error.to_string())).and_then(|source| {
        let info = source.info().clone();
        let (frames, timeline) = match args.step {
            Some(step_s) => {
                let timeline = Timeline::every(&source.info().times_s, step_s);
                FrameStore::over(source, timeline)?
            }
            None => FrameStore::open(source, args.frames)?,
        };
        // The released generator's tracker and RexSeek read frames that were written as JPEG.
        let frames = match args.rules {
            RuleName::Published => frames.through_jpeg(USUAL_QUALITY),
            RuleName::Corrected => frames,
        };
        Ok((info, frames, timeline))
    });
    let (info, frames, timeline) = match opened {
        Ok(opened) => opened,
        Err(failure) => {
            std::fs::create_dir_all(&args.out)
                .with_context(|| format!("cannot make {}", args.out.display()))?;
            let record = Record::Masklets(nothing(&id, args.frames, failure.clone()));
            write_all(args.out.join("masklets.jsonl"), [&record])?;
            bail!("{id}: {failure}");
        }
    };
    let drawn = args.drawn(&sought, &timeline, frames.size())?;
    let drawn_any = !drawn.is_empty();
    let mut eyes = detector.as_ref().map(|model| BoxEyes::new(&frames, model, BoxEyes::PUBLISHED));
    let beside = eyes.as_mut().map(|eyes| eyes as &mut dyn Detector);
    let media = media(&args.video, &info);
    let mut asked = referee.as_ref().map(|referee| referee.over(&frames, media, &timeline));
    let mut nobody = Nobody;
    let mut perception = Perception {
        detector: &mut GivenBoxes::new(drawn, &sought, beside),
        tracker: &TrackEyes::new(&frames, &tracker, SessionOptions::default(), KEPT_FEATURES),
        referee: asked.as_mut().map_or(&mut nobody as &mut dyn Referee, |asked| asked.as_mut()),
        looks: &mut ColourLooks::new(&frames),
    };
    let every = args.every.unwrap_or(if drawn_any { 1 } else { 2 });
    let record = match args.rules {
        RuleName::Published => {
            published::run(&id, &sought, &timeline, &mut perception, &PublishedConfig::default())
        }
        RuleName::Corrected => {
            let cfg = CorrectedConfig { every, ..CorrectedConfig::default() };
            corrected::run(&id, &sought, &timeline, &mut perception, &cfg)
        }
    };
    let video = Video {
        schema: Schema::V1,
        video_id: id.clone(),
        uri: args.video.display().to_string(),
        kind: if args.video.is_dir() { VideoKind::FramesDir } else { VideoKind::File },
        fps: info.fps,
        n_frames: info.n_frames(),
        duration_s: info.duration_s,
        width: info.width,
        height: info.height,
        sha256: None,
        license: None,
    };
    write(&args.out, video, &sought, &record)?;
    masklets_overlay::write(&record, &sought, &timeline, &frames, info.duration_s, &args.out)?;
    println!("{}", serde_json::to_string(&summary(&record))?);
    match &record.failure {
        Some(failure) => bail!("{id}: {failure}"),
        None => Ok(()),
    }
}

/// The record of a video that cannot be read.
fn nothing(video_id: &str, n: usize, failure: MaskletsFailure) -> Masklets {
    Masklets {
        schema: Schema::V1,
        video_id: video_id.to_owned(),
        provenance: None,
        index_space: IndexSpace::Uniform { n: n as u32, rule: UniformRule::LinspaceTrunc },
        frame_times_s: Vec::new(),
        start_index: None,
        n_read: Some(0),
        failure: Some(failure),
        objects: Vec::new(),
    }
}

fn write(dir: &Path, video: Video, sought: &[Sought], record: &Masklets) -> Result<()> {
    std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let entity = |sought: &Sought| Entity {
        eid: sought.eid.clone(),
        expression: sought.expression.clone(),
        noun: sought.noun.clone(),
        general_noun: sought.noun.clone(),
        active: true,
        source_span: None,
        attributes: Default::default(),
    };
    let entities = Entities {
        schema: Schema::V1,
        video_id: video.video_id.clone(),
        provenance: None,
        paragraph: None,
        items: sought.iter().map(entity).collect(),
    };
    write_all(dir.join("videos.jsonl"), [&Record::Video(video)])?;
    write_all(dir.join("entities.jsonl"), [&Record::Entities(entities)])?;
    write_all(dir.join("masklets.jsonl"), [&Record::Masklets(record.clone())])?;
    Ok(())
}

/// What was found, in short.
fn summary(record: &Masklets) -> serde_json::Value {
    let objects = record.objects.iter().map(|object| {
        let status = object.assign.as_ref().map(|assign| assign.status);
        serde_json::json!({
            "eid": object.eid, "frames": object.frames.len(), "confidence": object.confidence, "status": status,
        })
    });
    serde_json::json!({
        "video_id": record.video_id, "objects": objects.collect::<Vec<_>>(), "failure": record.failure,
    })
}
