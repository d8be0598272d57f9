//! [Ego-Exo4D](https://ego-exo4d-data.org): somebody who wears glasses, seen by cameras that look on. The glasses know where they
//! are; which box is theirs, masklets of the video say.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::records::MaskletFrame;
use strefer_video::{Limits, VideoInfo, VideoSource};

use super::aria::{Onlooker, Trajectory, timesync};
use super::masks::Objects;
use super::table::good_rows;
use super::{Made, Reader};
use crate::error::{Error, Result};
use crate::pipeline::GivenFolder;
use crate::pipeline::digest::{self, Digests};
use crate::pipeline::store::Note;
use crate::stkit::clip::{Clip, ClipObject, Source};
use crate::stkit::vector::Point;

/// Frames a second of videos that are aligned frame by frame.
const VIDEO_FPS: f64 = 30.0;

/// Between two frames of a clip, in seconds.
const STEP_S: f64 = 0.5;

/// Where it lies, and what is taken of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EgoExoConfig {
    /// The folder of `takes.json`, `takes/` and `captures/`.
    pub root: PathBuf,
    /// Folder of records: masklets of people in the videos.
    pub masklets: PathBuf,
    /// Cameras that look on; all where it is empty.
    #[serde(default)]
    pub cameras: Vec<String>,
    /// The glasses.
    #[serde(default = "first_glasses")]
    pub aria: String,
    /// The stream of the glasses whose clock stands in `timesync.csv`.
    #[serde(default = "rgb")]
    pub stream: String,
    /// The first frame of a video is so many rows after the take's first in `timesync.csv`.
    #[serde(default = "one")]
    pub first_row: usize,
    /// Worse rows of the trajectory are left out.
    #[serde(default = "half")]
    pub least_quality: f64,
    /// A mask stands for a frame up to so many seconds away.
    #[serde(default = "quarter")]
    pub slack_s: f64,
}

fn first_glasses() -> String {
    "aria01".to_owned()
}

fn rgb() -> String {
    "214-1".to_owned()
}

fn one() -> usize {
    1
}

fn half() -> f64 {
    0.5
}

fn quarter() -> f64 {
    0.25
}

/// One row of `takes.json`.
#[derive(Debug, Clone, Deserialize)]
struct Take {
    take_name: String,
    #[serde(default)]
    root_dir: Option<PathBuf>,
    timesync_start_idx: usize,
    #[serde(default)]
    capture: Option<Capture>,
}

#[derive(Debug, Clone, Deserialize)]
struct Capture {
    capture_name: String,
}

impl Take {
    /// As it is written, or the take's name without its number.
    fn capture(&self) -> &str {
        match &self.capture {
            Some(capture) => &capture.capture_name,
            None => self.take_name.rsplit_once('_').map_or(&self.take_name, |(capture, _)| capture),
        }
    }

    /// Its folder below the dataset's.
    fn dir(&self, root: &Path) -> PathBuf {
        let written = self.root_dir.clone().filter(|dir| root.join(dir).is_dir());
        written.unwrap_or_else(|| Path::new("takes").join(&self.take_name))
    }
}

/// Takes, each as seen by one camera.
pub struct EgoExo {
    cfg: EgoExoConfig,
    takes: Vec<Take>,
    /// Which take and camera each recording is.
    views: Vec<(usize, String)>,
    names: Vec<String>,
    given: Arc<GivenFolder>,
}

impl EgoExo {
    /// Looks for takes with a trajectory and cameras.
    ///
    /// # Errors
    /// No list of takes, no records, none of the takes is there.
    pub fn open(cfg: &EgoExoConfig) -> Result<Self> {
        let list = cfg.root.join("takes.json");
        let mut takes: Vec<Take> = good_rows(&list)?;
        takes.retain(|take| cfg.root.join(take.dir(&cfg.root)).join("trajectory").is_dir());
        if takes.is_empty() {
            return Err(Error::BadFile { path: list, reason: "none of its takes is there".to_owned() });
        }
        let mut views = Vec::new();
        for (at, take) in takes.iter().enumerate() {
            let calibs = calibs(cfg, take);
            let mut cameras = cfg.cameras.clone();
            if cameras.is_empty() {
                // What is wrong with the file is said when the take is read.
                let known = Onlooker::read_all(&calibs).unwrap_or_default();
                cameras = known.into_iter().map(|camera| camera.cam_uid).collect();
                cameras.sort();
                cameras.dedup();
            }
            if cameras.is_empty() {
                cameras.push("cam01".to_owned());
            }
            views.extend(cameras.into_iter().map(|camera| (at, camera)));
        }
        let names =
            views.iter().map(|(take, camera)| format!("{}/{camera}", takes[*take].take_name)).collect();
        Ok(Self { cfg: cfg.clone(), takes, views, names, given: GivenFolder::open(&cfg.masklets)? })
    }

    /// What is known about who is seen in a video, which records may call like its take and camera or like its path.
    fn objects(&self, recording: usize) -> Result<Objects> {
        let (take, camera) = &self.views[recording];
        let take = &self.takes[*take].take_name;
        let long = [
            format!("{take}/frame_aligned_videos/{camera}"),
            format!("takes/{take}/frame_aligned_videos/{camera}"),
        ];
        let found = Objects::of(&self.given, &self.names[recording]);
        let others = || long.iter().find_map(|name| Objects::of(&self.given, name).ok());
        found.or_else(|error| others().ok_or(error))
    }

    /// The video, below the dataset's folder: a file, or a folder of pictures.
    fn video(&self, recording: usize) -> PathBuf {
        let (take, camera) = &self.views[recording];
        let videos = self.takes[*take].dir(&self.cfg.root).join("frame_aligned_videos");
        let places = [format!("{camera}.mp4"), format!("downscaled/448/{camera}.mp4"), camera.clone()];
        let found =
            places.iter().map(|place| videos.join(place)).find(|path| self.cfg.root.join(path).exists());
        found.unwrap_or_else(|| videos.join(&places[0]))
    }

    fn trajectory(&self, take: &Take) -> PathBuf {
        self.cfg.root.join(take.dir(&self.cfg.root)).join("trajectory/closed_loop_trajectory.csv")
    }

    fn timesync(&self, take: &Take) -> PathBuf {
        self.cfg.root.join("captures").join(take.capture()).join("timesync.csv")
    }
}

fn calibs(cfg: &EgoExoConfig, take: &Take) -> PathBuf {
    cfg.root.join(take.dir(&cfg.root)).join("trajectory/gopro_calibs.csv")
}

impl Reader for EgoExo {
    fn recordings(&self) -> &[String] {
        &self.names
    }

    fn root(&self, _: usize) -> PathBuf {
        self.cfg.root.clone()
    }

    fn content(&self, recording: usize, digests: &Digests) -> Result<String> {
        let take = &self.takes[self.views[recording].0];
        let video = self.cfg.root.join(self.video(recording));
        let files = [self.trajectory(take), calibs(&self.cfg, take), self.timesync(take), video];
        let files = files.iter().map(|path| digests.of_path(path)).collect::<Result<Vec<String>>>()?;
        digest::of_value(&(files, self.objects(recording)?.digest()?, take.timesync_start_idx))
    }

    fn read(&self, recording: usize) -> Result<Made> {
        let (take, camera) = &self.views[recording];
        let take = &self.takes[*take];
        let path = calibs(&self.cfg, take);
        let mut cameras = Onlooker::read_all(&path)?;
        cameras.retain(|found| &found.cam_uid == camera);
        let nothing = || Error::BadRow { path, row: camera.clone(), reason: "no such camera".to_owned() };
        let world = cameras.first().ok_or_else(nothing)?.graph_uid.clone();
        let way = Trajectory::read(&self.trajectory(take), &world, self.cfg.least_quality)?;
        let column = format!("{}_{}_capture_timestamp_ns", self.cfg.aria, self.cfg.stream);
        let clock = timesync(&self.timesync(take), &column)?;
        let video = self.video(recording);
        let limits = Limits { folder_fps: VIDEO_FPS, threads: 1, ..Limits::default() };
        let source = VideoSource::open(self.cfg.root.join(&video), &limits)?;
        let info = source.info();
        let moments = (0..).map(|step| f64::from(step) * STEP_S).take_while(|at_s| *at_s < info.duration_s);
        let frames: Vec<usize> = moments.filter_map(|at_s| info.index_at(at_s)).collect();
        let xyz: Vec<Option<Point>> = frames
            .iter()
            .map(|frame| {
                let row = take.timesync_start_idx + self.cfg.first_row + frame;
                way.at((*clock.get(row)?)?)
            })
            .collect();
        let size = (info.height, info.width);
        let pixels = frames.iter().zip(&xyz).map(|(frame, point)| {
            let is_meant = |camera: &&Onlooker| camera.graph_uid == world && camera.covers(*frame);
            cameras.iter().find(is_meant)?.pixel((*point)?, size)
        });
        let objects = self.objects(recording)?;
        objects.check_size(info)?;
        let boxes = boxes(&objects, info, &frames, pixels.collect(), self.cfg.slack_s);
        let mut notes = Vec::new();
        if boxes.iter().all(Option::is_none) {
            notes.push(Note::new("no_box", "", "no box of a person is where the glasses are"));
        }
        let wearer = ClipObject {
            id: self.cfg.aria.clone(),
            category: "person".to_owned(),
            xyz,
            boxes,
            source: Source::Gt,
        };
        let clip = Clip {
            clip_id: self.names[recording].clone(),
            fps: 1.0 / STEP_S,
            up: way.up(),
            size: Some(size),
            times_s: frames.iter().map(|&frame| info.times_s[frame]).collect(),
            frames: frames.iter().map(|frame| format!("{}#{frame}", video.display())).collect(),
            objects: vec![wearer],
        };
        Ok(Made::of(clip, notes))
    }
}

/// In each frame the smallest box that holds the pixel.
fn boxes(
    objects: &Objects,
    info: &VideoInfo,
    frames: &[usize],
    pixels: Vec<Option<[f64; 2]>>,
    slack_s: f64,
) -> Vec<Option<[f64; 4]>> {
    let moments_s: Vec<f64> = frames.iter().map(|&frame| info.times_s[frame]).collect();
    let mut found: Vec<Option<[f64; 4]>> = vec![None; frames.len()];
    let area = |[x0, y0, x1, y1]: [f64; 4]| (x1 - x0) * (y1 - y0);
    for object in objects.all() {
        let shown = objects.shown(object, info, &moments_s, slack_s);
        for ((place, shown), pixel) in found.iter_mut().zip(shown).zip(&pixels) {
            let (Some(shown), Some([x, y])) = (shown, *pixel) else { continue };
            let [x0, y0, x1, y1] = edges(shown);
            let holds = (x0..=x1).contains(&x) && (y0..=y1).contains(&y);
            if holds && place.is_none_or(|known| area([x0, y0, x1, y1]) < area(known)) {
                *place = Some([x0, y0, x1, y1]);
            }
        }
    }
    found
}

fn edges(frame: &MaskletFrame) -> [f64; 4] {
    let [x, y, width, height] = frame.bbox_xywh;
    [x, y, x + width, y + height].map(f64::from)
}
