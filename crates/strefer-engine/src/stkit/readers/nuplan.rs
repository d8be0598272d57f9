//! [nuPlan](https://www.nuscenes.org/nuplan): a database a log, boxes in space twenty times a second, in a world whose z points up.

use std::collections::{BTreeMap, HashMap};
use std::path::PathBuf;

use super::configs::NuplanConfig;
use super::nuplan_log::{Database, hex};
use super::timeline::{longest_stretch, nearest, on_grid};
use super::{Made, Reader, can_move, entries};
use crate::error::{Error, Result};
use crate::pipeline::digest::{self, Digests};
use crate::pipeline::store::Note;
use crate::stkit::clip::{Clip, ClipObject, Source};
use crate::stkit::cuboid::seen_box;
use crate::stkit::vector::Up;

/// A sweep stands for a moment of the grid up to half the time between two sweeps away, in microseconds.
const SWEEP_SLACK_US: i64 = 25_000;

/// A picture stands for a sweep up to half the time between two pictures away, and some.
const PICTURE_SLACK_US: i64 = 60_000;

/// A scene of a log. Of a log that cannot be opened there is one without a token, so that what is wrong with it is said.
struct Scene {
    log: PathBuf,
    token: Option<Vec<u8>>,
}

/// Scenes of logs.
pub struct Nuplan {
    cfg: NuplanConfig,
    scenes: Vec<Scene>,
    names: Vec<String>,
}

impl Nuplan {
    /// Lists the scenes of all logs.
    ///
    /// # Errors
    /// No database.
    pub fn open(cfg: &NuplanConfig) -> Result<Self> {
        let mut logs = if cfg.logs.is_dir() { entries(&cfg.logs)? } else { vec![cfg.logs.clone()] };
        logs.retain(|path| path.extension().is_some_and(|ending| ending == "db"));
        if logs.is_empty() {
            return Err(Error::BadFile {
                path: cfg.logs.clone(),
                reason: "holds no database (.db)".to_owned(),
            });
        }
        let (mut scenes, mut names) = (Vec::new(), Vec::new());
        for log in logs {
            let name = log.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let tokens = Database::open(&log).and_then(|mut database| database.scenes());
            let tokens = tokens.map_or(vec![None], |tokens| tokens.into_iter().map(Some).collect());
            for token in tokens {
                names.push(token.as_ref().map_or(name.clone(), |token| format!("{name}/{}", hex(token))));
                scenes.push(Scene { log: log.clone(), token });
            }
        }
        Ok(Self { cfg: cfg.clone(), scenes, names })
    }
}

impl Reader for Nuplan {
    fn recordings(&self) -> &[String] {
        &self.names
    }

    fn root(&self, _: usize) -> PathBuf {
        self.cfg.pictures.clone()
    }

    fn content(&self, recording: usize, digests: &Digests) -> Result<String> {
        let scene = &self.scenes[recording];
        digest::of_value(&(digests.of_path(&scene.log)?, &scene.token))
    }

    fn read(&self, recording: usize) -> Result<Made> {
        let scene = &self.scenes[recording];
        let mut database = Database::open(&scene.log)?;
        let Some(token) = &scene.token else {
            return Err(match database.scenes() {
                Ok(_) => database.bad("its scenes changed while this program ran".to_owned()),
                Err(error) => error,
            });
        };
        let sweeps = database.sweeps(token)?;
        let sweeps_us: Vec<i64> = sweeps.iter().map(|(_, at_us)| *at_us).collect();
        let (Some(&first_us), Some(&last_us)) = (sweeps_us.first(), sweeps_us.last()) else {
            return Err(database.bad_row(token, "the scene has no lidar_pc"));
        };
        let camera = database.camera(&self.cfg.channel)?;
        let pictures =
            database.pictures(&camera.token, first_us - PICTURE_SLACK_US, last_us + PICTURE_SLACK_US)?;
        let pictures_us: Vec<i64> = pictures.iter().map(|picture| picture.at_us).collect();
        let moments = on_grid(&sweeps_us, SWEEP_SLACK_US).into_iter().map(|sweep| {
            let sweep = sweep?;
            let picture = nearest(&pictures_us, sweeps_us[sweep])?;
            let is_near = pictures_us[picture].abs_diff(sweeps_us[sweep]) <= PICTURE_SLACK_US.unsigned_abs();
            is_near.then_some((sweep, picture))
        });
        let moments: Vec<Option<(usize, usize)>> = moments.collect();
        let wanted = moments.len();
        let (_, moments) = longest_stretch(moments);
        let mut notes = Vec::new();
        if moments.len() < wanted {
            let text = format!("{} of {wanted} moments: others lack a sweep or a picture", moments.len());
            notes.push(Note::new("hole", "", text));
        }
        let places: HashMap<&[u8], usize> =
            moments.iter().enumerate().map(|(at, (sweep, _))| (sweeps[*sweep].0.as_slice(), at)).collect();
        let mut objects: BTreeMap<Vec<u8>, ClipObject> = BTreeMap::new();
        for found in database.boxes(token)? {
            let Some(&at) = places.get(found.sweep.as_slice()) else { continue };
            let object = objects.entry(found.track.clone()).or_insert_with(|| ClipObject {
                id: hex(&found.track),
                category: found.category.clone(),
                xyz: vec![None; moments.len()],
                boxes: vec![None; moments.len()],
                source: Source::Gt,
            });
            let ego = pictures[moments[at].1].ego;
            let in_camera = found.cuboid.corners().map(|corner| camera.in_ego.to_own(ego.to_own(corner)));
            object.xyz[at] = Some(found.centre);
            object.boxes[at] = seen_box(&in_camera, &camera.lens, camera.size);
        }
        let start_us = moments.first().map_or(0, |(sweep, _)| sweeps_us[*sweep]);
        let clip = Clip {
            clip_id: self.names[recording].clone(),
            fps: 2.0,
            up: Up::Z,
            size: Some(camera.size),
            frames: moments.iter().map(|(_, picture)| pictures[*picture].file.clone()).collect(),
            times_s: moments.iter().map(|(sweep, _)| (sweeps_us[*sweep] - start_us) as f64 / 1e6).collect(),
            objects: objects.into_values().filter(|object| can_move(&object.category)).collect(),
        };
        Ok(Made::of(clip, notes))
    }
}
