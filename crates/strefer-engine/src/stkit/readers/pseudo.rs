//! Videos of any kind, lifted from masks and depth that were found in them.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::{DType, Device};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::Rle;
use strefer_video::{Limits, VideoSource};
use strefer_vision::depth_anything::{DepthAnything, DepthAnythingConfig};

use super::masks::Objects;
use super::{Made, Reader, existing};
use crate::error::{Error, Result};
use crate::pipeline::digest::{self, Digests};
use crate::pipeline::store::Note;
use crate::pipeline::{GivenFolder, Input, input};
use crate::stkit::clip::{Clip, ClipObject, Source};
use crate::stkit::config::{FilterConfig, LiftingConfig, SmoothingConfig};
use crate::stkit::processed::Processed;
use crate::stkit::pseudo::{Aligned, Lifting, Masked, REFUSED};
use crate::stkit::reconstruction::{MetricDepth, Reconstruction, SeenDepth};
use crate::stkit::vector::Up;

/// Where videos and what was found in them lie, and what of it is believed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PseudoConfig {
    /// Videos: a file, a folder, a pattern with `*`, or a list (`.txt`).
    pub videos: PathBuf,
    /// Folder of records: `masklets.jsonl`, and `entities.jsonl` for what objects are.
    pub masklets: PathBuf,
    /// Folder with one folder a video, called like it ([`crate::stkit::reconstruction`]).
    pub geometry: PathBuf,
    /// Folder of a metric Depth Anything V2, which tells depth in metres in this process; the files `metric_*.npy` of each video where it is
    /// absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metric: Option<PathBuf>,
    /// Neutral records with the true positions of the same objects (their ids are those of masklets), where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truth: Option<PathBuf>,
    /// Seconds between frames where `times.txt` does not say when they are.
    #[serde(default = "half")]
    pub step_s: f64,
    /// A mask stands for a frame of the reconstruction up to so many seconds away.
    #[serde(default = "a_frame")]
    pub slack_s: f64,
    /// Frames a second of videos that are folders of pictures.
    #[serde(default = "film")]
    pub folder_fps: f64,
    /// Tracks are judged over so many frames at a time; those of a clip.
    #[serde(default = "clip_long")]
    pub stretch: usize,
    /// How masks become positions.
    #[serde(default)]
    pub lifting: LiftingConfig,
    /// How tracks are smoothed.
    #[serde(default)]
    pub smoothing: SmoothingConfig,
    /// Which tracks are believed.
    #[serde(default)]
    pub filter: FilterConfig,
}

fn half() -> f64 {
    0.5
}

fn a_frame() -> f64 {
    0.04
}

fn film() -> f64 {
    30.0
}

fn clip_long() -> usize {
    40
}

/// Videos with masklets and depth.
pub struct Pseudo {
    cfg: PseudoConfig,
    inputs: Vec<Input>,
    names: Vec<String>,
    given: Arc<GivenFolder>,
    device: Device,
    /// Loaded when the first video wants it; or why it cannot be.
    model: Mutex<Option<std::result::Result<Arc<DepthAnything>, String>>>,
}

impl Pseudo {
    /// Looks for videos and records. A model of depth, if there is one, runs on the device.
    ///
    /// # Errors
    /// No video, no record, no folder of depth, a model that does not give metres.
    pub fn open(cfg: &PseudoConfig, device: &Device) -> Result<Self> {
        let inputs = input::videos(&cfg.videos)?;
        existing(cfg.geometry.clone())?;
        if let Some(dir) = &cfg.metric {
            let config = DepthAnythingConfig::open(&dir.join("config.json"));
            config.map_err(|error| Error::BadFile { path: dir.clone(), reason: error.to_string() })?;
        }
        let names = inputs.iter().map(|input| input.video_id.clone()).collect();
        let given = GivenFolder::open(&cfg.masklets)?;
        Ok(Self { cfg: cfg.clone(), inputs, names, given, device: device.clone(), model: Mutex::new(None) })
    }

    /// The model of depth, where there is one.
    fn model(&self) -> Result<Option<Arc<DepthAnything>>> {
        let Some(dir) = &self.cfg.metric else { return Ok(None) };
        let mut model = self.model.lock().unwrap_or_else(PoisonError::into_inner);
        let load = || {
            let model = DepthAnything::open(dir, &self.device, DType::F32);
            model.map(Arc::new).map_err(|error| error.to_string())
        };
        let model = model.get_or_insert_with(load).clone();
        model.map(Some).map_err(|reason| Error::BadFile { path: dir.clone(), reason })
    }

    fn geometry(&self, input: &Input) -> PathBuf {
        self.cfg.geometry.join(&input.video_id)
    }
}

impl Reader for Pseudo {
    fn recordings(&self) -> &[String] {
        &self.names
    }

    fn root(&self, recording: usize) -> PathBuf {
        let Input { path, uri, .. } = &self.inputs[recording];
        let above = Path::new(uri).components().count();
        path.ancestors().nth(above).unwrap_or(Path::new("")).to_owned()
    }

    fn content(&self, recording: usize, digests: &Digests) -> Result<String> {
        let input = &self.inputs[recording];
        let objects = Objects::of(&self.given, &input.video_id)?.digest()?;
        let depth = digests.of_path(&existing(self.geometry(input))?)?;
        let model = self.cfg.metric.as_ref().map(|dir| digests.of_path(dir)).transpose()?;
        digest::of_value(&(objects, depth, digests.of_path(&input.path)?, model))
    }

    fn read(&self, recording: usize) -> Result<Made> {
        let (cfg, input) = (&self.cfg, &self.inputs[recording]);
        let limits = Limits { folder_fps: cfg.folder_fps, threads: 1, ..Limits::default() };
        let source = VideoSource::open(&input.path, &limits)?;
        let info = source.info();
        let frames = Reconstruction::open(&self.geometry(input), cfg.step_s)?;
        let indices = frames.times_s().iter().map(|&at_s| {
            let late = || Error::BadVideo {
                video_id: input.video_id.clone(),
                reason: format!(
                    "has no frame at {at_s} s, for which there is depth; it ends at {:.2} s",
                    info.duration_s
                ),
            };
            info.index_at(at_s).ok_or_else(late)
        });
        let indices = indices.collect::<Result<Vec<usize>>>()?;
        let moments_s: Vec<f64> = indices.iter().map(|&index| info.times_s[index]).collect();
        let known = Objects::of(&self.given, &input.video_id)?;
        known.check_size(info)?;
        let mut objects = Vec::with_capacity(known.all().len());
        for object in known.all() {
            let shown = known.shown(object, info, &moments_s, cfg.slack_s);
            let rle = |frame: &strefer_core::records::MaskletFrame| Rle::try_from(frame.rle.clone());
            let masks = shown.into_iter().map(|frame| frame.map(rle).transpose());
            objects.push(Masked {
                id: object.eid.clone(),
                category: known.category(object),
                score: object.detector_score.or(object.confidence).unwrap_or(1.0),
                masks: masks.collect::<strefer_core::Result<_>>()?,
            });
        }
        let has_masks = |object: &Masked| object.masks.iter().any(Option::is_some);
        if !objects.is_empty() && !objects.iter().any(has_masks) {
            return Err(Error::BadVideo {
                video_id: input.video_id.clone(),
                reason: format!("no mask is within {} s of a frame with depth", cfg.slack_s),
            });
        }
        let model = self.model()?;
        let seen = model.as_deref().map(|model| SeenDepth { model, video: &source, indices: &indices });
        let lifting = Lifting {
            frames: &frames,
            metric: seen.as_ref().map_or(&frames as &dyn MetricDepth, |seen| seen),
            way: Processed::new(info.height as usize, info.width as usize),
            size: (info.height, info.width),
            lifting: &cfg.lifting,
            smoothing: &cfg.smoothing,
            filter: &cfg.filter,
            stretch: cfg.stretch,
        };
        let scale = match lifting.align(&objects)? {
            Aligned::Steady(scale) => scale,
            Aligned::Refused(fault) => {
                return Ok(Made { clip: None, notes: vec![Note::new(REFUSED, "", fault.to_string())] });
            }
        };
        let (tracks, notes) = lifting.tracks(&objects, scale)?;
        let first_s = frames.times_s().first().copied().unwrap_or(0.0);
        let clip = Clip {
            clip_id: input.video_id.clone(),
            fps: 1.0 / cfg.step_s,
            // The first camera is the world, and looks more or less ahead.
            up: Up::MINUS_Y,
            size: Some((info.height, info.width)),
            frames: indices.iter().map(|index| format!("{}#{index}", input.uri)).collect(),
            times_s: frames.times_s().iter().map(|at_s| at_s - first_s).collect(),
            objects: objects.iter().zip(tracks).map(|(object, xyz)| to_clip(object, xyz)).collect(),
        };
        Ok(Made::of(clip, notes))
    }
}

fn to_clip(object: &Masked, xyz: Vec<Option<crate::stkit::Point>>) -> ClipObject {
    ClipObject {
        id: object.id.clone(),
        category: object.category.clone(),
        xyz,
        boxes: (0..object.masks.len()).map(|position| object.bbox(position)).collect(),
        source: Source::Pseudo,
    }
}
