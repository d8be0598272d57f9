//! [nuScenes](https://www.nuscenes.org): keyframes of one camera, two a second, and boxes in space in a world whose z points up.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::table::Token;
use super::tables::{Annotation, Scene, TABLES, Tables, scenes};
use super::{Made, Reader, can_move, existing};
use crate::error::{Error, Result};
use crate::pipeline::digest::{self, Digests};
use crate::stkit::camera::Pose;
use crate::stkit::clip::{Clip, ClipObject, Source};
use crate::stkit::cuboid::{Cuboid, seen_box};
use crate::stkit::lens::Lens;
use crate::stkit::vector::Up;

/// Keyframes a second.
const FPS: f64 = 2.0;

/// Where it lies, and what is taken of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NuscenesConfig {
    /// The folder of `samples/` and of the tables' folder.
    pub root: PathBuf,
    /// The folder of the tables: `v1.0-trainval`, `v1.0-mini`.
    pub version: String,
    /// The camera.
    #[serde(default = "front")]
    pub channel: String,
    /// Boxes of objects that can be seen less than this are not drawn: 1 is up to 40 %, 2 up to 60 %, 3 up to 80 %, 4 more.
    #[serde(default = "half_seen")]
    pub least_visibility: u8,
}

fn front() -> String {
    "CAM_FRONT".to_owned()
}

fn half_seen() -> u8 {
    2
}

/// Scenes; the large tables are read when the first is wanted.
pub struct Nuscenes {
    cfg: NuscenesConfig,
    dir: PathBuf,
    names: Vec<String>,
    scenes: Vec<Scene>,
    /// Or why they cannot be read: that is not tried again for every scene.
    tables: Mutex<Option<std::result::Result<Arc<Tables>, String>>>,
}

impl Nuscenes {
    /// Reads the list of scenes.
    ///
    /// # Errors
    /// A folder without the tables.
    pub fn open(cfg: &NuscenesConfig) -> Result<Self> {
        let dir = cfg.root.join(&cfg.version);
        for table in TABLES {
            existing(dir.join(format!("{table}.json")))?;
        }
        let scenes = scenes(&dir)?;
        let names = scenes.iter().map(|scene| scene.name.clone()).collect();
        Ok(Self { cfg: cfg.clone(), dir, names, scenes, tables: Mutex::new(None) })
    }

    fn tables(&self) -> Result<Arc<Tables>> {
        let mut tables = self.tables.lock().unwrap_or_else(PoisonError::into_inner);
        let read =
            || Tables::open(&self.dir, &self.cfg.channel).map(Arc::new).map_err(|error| error.to_string());
        let tables = tables.get_or_insert_with(read).clone();
        tables.map_err(|reason| Error::BadFile { path: self.dir.clone(), reason })
    }
}

impl Reader for Nuscenes {
    fn recordings(&self) -> &[String] {
        &self.names
    }

    fn root(&self, _: usize) -> PathBuf {
        self.cfg.root.clone()
    }

    fn content(&self, _: usize, digests: &Digests) -> Result<String> {
        let files = TABLES.iter().map(|table| digests.of_path(&self.dir.join(format!("{table}.json"))));
        digest::of_value(&files.collect::<Result<Vec<String>>>()?)
    }

    fn read(&self, recording: usize) -> Result<Made> {
        let (scene, tables) = (&self.scenes[recording], self.tables()?);
        let samples = tables.samples(scene)?;
        let first_us = samples.first().map_or(0, |(_, at_us)| *at_us);
        let (mut frames, mut size) = (Vec::with_capacity(samples.len()), None);
        let mut objects: BTreeMap<Token, ClipObject> = BTreeMap::new();
        for (at, &(sample, _)) in samples.iter().enumerate() {
            let (picture, camera, ego) = tables.picture(sample)?;
            frames.push(picture.filename.clone());
            let here = (picture.height, picture.width);
            if *size.get_or_insert(here) != here {
                return Err(Error::BadRow {
                    path: self.dir.join("sample_data.json"),
                    row: picture.token.to_string(),
                    reason: format!(
                        "is {}x{}, the scene's first picture is not",
                        picture.width, picture.height
                    ),
                });
            }
            for annotation in tables.annotations(sample)? {
                let category = tables.category(annotation)?;
                if !can_move(category) {
                    continue;
                }
                let object = objects
                    .entry(annotation.instance_token)
                    .or_insert_with(|| unseen(annotation, category, samples.len()));
                let cuboid =
                    cuboid(annotation).map_err(|reason| tables.bad_annotation(annotation.token, reason))?;
                object.xyz[at] = Some(annotation.translation);
                if annotation.visibility_token.0 >= self.cfg.least_visibility {
                    let in_camera = cuboid.corners().map(|corner| camera.in_ego.to_own(ego.to_own(corner)));
                    object.boxes[at] = seen_box(&in_camera, &Lens::Pinhole(camera.pinhole), here);
                }
            }
        }
        let clip = Clip {
            clip_id: scene.name.clone(),
            fps: FPS,
            up: Up::Z,
            size,
            frames,
            times_s: samples.iter().map(|(_, at_us)| (at_us - first_us) as f64 / 1e6).collect(),
            objects: objects.into_values().collect(),
        };
        Ok(Made::of(clip, Vec::new()))
    }
}

fn unseen(annotation: &Annotation, category: &str, samples: usize) -> ClipObject {
    ClipObject {
        id: annotation.instance_token.to_string(),
        category: category.to_owned(),
        xyz: vec![None; samples],
        boxes: vec![None; samples],
        source: Source::Gt,
    }
}

fn cuboid(annotation: &Annotation) -> std::result::Result<Cuboid, &'static str> {
    let [width, length, height] = annotation.size;
    let pose = Pose::from_quaternion(annotation.rotation, annotation.translation);
    let pose = pose.map_err(|_| "its translation or rotation is none")?;
    let is_size = [width, length, height].iter().all(|side| side.is_finite() && *side > 0.0);
    is_size.then_some(Cuboid { pose, size_m: [length, width, height] }).ok_or("its size is none")
}
