//! The tables of nuScenes that trajectories and boxes need, without what they do not need.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::table::{Broken, Token, good_rows, maybe_token, rows};
use crate::error::{Error, Result};
use crate::stkit::camera::{Pinhole, Pose, Rotation};
use crate::stkit::vector::Point;

/// The files that are read, without their ending.
pub(super) const TABLES: [&str; 9] = [
    "scene",
    "sample",
    "sample_annotation",
    "instance",
    "category",
    "sample_data",
    "calibrated_sensor",
    "sensor",
    "ego_pose",
];

#[derive(Debug, Deserialize)]
pub(super) struct Scene {
    pub name: String,
    pub nbr_samples: usize,
    pub first_sample_token: Token,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Sample {
    token: Token,
    pub timestamp: i64,
    #[serde(deserialize_with = "maybe_token")]
    pub next: Option<Token>,
}

/// A box in space at one sample.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Annotation {
    pub token: Token,
    pub sample_token: Token,
    pub instance_token: Token,
    pub translation: Point,
    /// Width, length, height.
    pub size: [f64; 3],
    pub rotation: [f64; 4],
    #[serde(default)]
    pub visibility_token: Visibility,
}

/// A quarter or so of an object that can be seen, 1 to 4; all of it where that is not said.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Visibility(pub u8);

impl Default for Visibility {
    fn default() -> Self {
        Self(4)
    }
}

impl TryFrom<String> for Visibility {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        match text.parse() {
            Ok(level @ 1..=4) => Ok(Self(level)),
            _ if text.is_empty() => Ok(Self::default()),
            _ => Err(format!("visibility {text:?}")),
        }
    }
}

/// A picture of the channel.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Picture {
    pub token: Token,
    sample_token: Token,
    pub ego_pose_token: Token,
    pub calibrated_sensor_token: Token,
    pub filename: String,
    pub width: u32,
    pub height: u32,
    is_key_frame: bool,
}

/// A camera on the car.
#[derive(Debug, Clone, Copy)]
pub(super) struct Camera {
    pub in_ego: Pose,
    pub pinhole: Pinhole,
}

#[derive(Deserialize)]
struct Instance {
    token: Token,
    category_token: Token,
}

#[derive(Deserialize)]
struct Named {
    token: Token,
    name: String,
}

#[derive(Deserialize)]
struct Sensor {
    token: Token,
    channel: String,
}

#[derive(Deserialize)]
struct Calibrated {
    token: Token,
    sensor_token: Token,
    translation: Point,
    rotation: [f64; 4],
    camera_intrinsic: Vec<Vec<f64>>,
}

#[derive(Deserialize)]
struct EgoPose {
    token: Token,
    translation: Point,
    rotation: [f64; 4],
}

/// What is known about all scenes.
pub(super) struct Tables {
    dir: PathBuf,
    samples: HashMap<Token, Sample>,
    /// By sample, then as they are written.
    annotations: Vec<Annotation>,
    /// Annotations that cannot be used, by their sample.
    broken: HashMap<String, String>,
    categories: HashMap<Token, String>,
    instances: HashMap<Token, Token>,
    /// By sample.
    pictures: HashMap<Token, Picture>,
    cameras: HashMap<Token, Camera>,
    poses: HashMap<Token, Pose>,
}

/// The scenes in their order; those that are not readable are left out.
pub(super) fn scenes(dir: &Path) -> Result<Vec<Scene>> {
    good_rows(&dir.join("scene.json"))
}

/// A row that is missed by whatever names it, or by nothing.
fn good<T>(row: std::result::Result<T, Broken>) -> Option<T> {
    row.ok()
}

/// The rows that `keep` makes something of, by token.
fn by_token<T: serde::de::DeserializeOwned, U>(
    path: &Path,
    mut keep: impl FnMut(T) -> Option<(Token, U)>,
) -> Result<HashMap<Token, U>> {
    let mut found = HashMap::new();
    rows(path, |row| found.extend(good(row).and_then(&mut keep)))?;
    Ok(found)
}

impl Tables {
    /// Reads all of them for the pictures of one channel.
    pub fn open(dir: &Path, channel: &str) -> Result<Self> {
        let file = |name: &str| dir.join(format!("{name}.json"));
        let samples = by_token(&file("sample"), |row: Sample| Some((row.token, row)))?;
        let sensors: HashSet<Token> =
            by_token(&file("sensor"), |row: Sensor| (row.channel == channel).then_some((row.token, ())))?
                .into_keys()
                .collect();
        if sensors.is_empty() {
            let reason = format!("no sensor has the channel {channel}");
            return Err(Error::BadFile { path: file("sensor"), reason });
        }
        let cameras = by_token(&file("calibrated_sensor"), |row: Calibrated| {
            sensors.contains(&row.sensor_token).then_some(())?;
            Some((row.token, camera(&row)?))
        })?;
        let mut pictures = HashMap::new();
        rows(&file("sample_data"), |row| {
            let picture = good(row).filter(|picture: &Picture| {
                picture.is_key_frame && cameras.contains_key(&picture.calibrated_sensor_token)
            });
            pictures.extend(picture.map(|picture| (picture.sample_token, picture)));
        })?;
        let wanted: HashSet<Token> = pictures.values().map(|picture| picture.ego_pose_token).collect();
        let poses = by_token(&file("ego_pose"), |row: EgoPose| {
            wanted.contains(&row.token).then_some(())?;
            Some((row.token, Pose::from_quaternion(row.rotation, row.translation).ok()?))
        })?;
        let (mut annotations, mut broken) = (Vec::<Annotation>::new(), HashMap::new());
        rows(&file("sample_annotation"), |row| match row {
            Ok(row) => annotations.push(row),
            Err(Broken { token, sample_token }) => {
                broken.extend(sample_token.map(|sample| (sample, token.unwrap_or_default())));
            }
        })?;
        annotations.sort_by_key(|annotation| annotation.sample_token);
        Ok(Self {
            dir: dir.to_owned(),
            samples,
            annotations,
            broken,
            categories: by_token(&file("category"), |row: Named| Some((row.token, row.name)))?,
            instances: by_token(&file("instance"), |row: Instance| Some((row.token, row.category_token)))?,
            pictures,
            cameras,
            poses,
        })
    }

    /// A row that is named by another, or which one is missing.
    fn row<'a, T>(
        &self,
        rows: &'a HashMap<Token, T>,
        table: &str,
        token: Token,
        named_by: impl std::fmt::Display,
    ) -> Result<&'a T> {
        rows.get(&token).ok_or_else(|| Error::BadRow {
            path: self.dir.join(format!("{table}.json")),
            row: token.to_string(),
            reason: format!("is missing or cannot be used, and {named_by} names it"),
        })
    }

    /// The samples of a scene, in order.
    pub fn samples(&self, scene: &Scene) -> Result<Vec<(Token, i64)>> {
        let mut found: Vec<(Token, i64)> = Vec::with_capacity(scene.nbr_samples);
        let mut next = Some(scene.first_sample_token);
        while let Some(token) = next.filter(|_| found.len() <= scene.nbr_samples) {
            let sample = self.row(&self.samples, "sample", token, format!("scene {}", scene.name))?;
            found.push((token, sample.timestamp));
            next = sample.next;
        }
        if found.len() != scene.nbr_samples {
            let path = self.dir.join("scene.json");
            let reason = format!("has {} samples, its chain another number", scene.nbr_samples);
            return Err(Error::BadRow { path, row: scene.name.clone(), reason });
        }
        Ok(found)
    }

    /// The picture of a sample, the camera that took it, and where the car stood then.
    pub fn picture(&self, sample: Token) -> Result<(&Picture, Camera, Pose)> {
        let picture = self.pictures.get(&sample).ok_or_else(|| Error::BadRow {
            path: self.dir.join("sample_data.json"),
            row: sample.to_string(),
            reason: "no keyframe of the channel belongs to this sample".to_owned(),
        })?;
        let named_by = format!("sample_data {}", picture.token);
        let camera =
            self.row(&self.cameras, "calibrated_sensor", picture.calibrated_sensor_token, &named_by)?;
        let pose = self.row(&self.poses, "ego_pose", picture.ego_pose_token, &named_by)?;
        Ok((picture, *camera, *pose))
    }

    /// The annotations of a sample.
    pub fn annotations(&self, sample: Token) -> Result<&[Annotation]> {
        if let Some(token) = self.broken.get(&sample.to_string()) {
            return Err(self.bad_annotation(token, "lacks something, or holds something else"));
        }
        let first = self.annotations.partition_point(|annotation| annotation.sample_token < sample);
        let length = self.annotations[first..].partition_point(|found| found.sample_token == sample);
        Ok(&self.annotations[first..first + length])
    }

    /// Says which annotation cannot be used.
    pub fn bad_annotation(&self, token: impl std::fmt::Display, reason: &str) -> Error {
        Error::BadRow {
            path: self.dir.join("sample_annotation.json"),
            row: token.to_string(),
            reason: reason.to_owned(),
        }
    }

    /// The category of an annotated object.
    pub fn category(&self, annotation: &Annotation) -> Result<&str> {
        let named_by = format!("sample_annotation {}", annotation.token);
        let category = self.row(&self.instances, "instance", annotation.instance_token, named_by)?;
        let named_by = format!("instance {}", annotation.instance_token);
        Ok(self.row(&self.categories, "category", *category, named_by)?)
    }
}

fn camera(row: &Calibrated) -> Option<Camera> {
    let rows: Vec<[f64; 3]> =
        row.camera_intrinsic.iter().map(|row| row.clone().try_into().ok()).collect::<Option<_>>()?;
    let matrix: Rotation = rows.try_into().ok()?;
    Some(Camera {
        in_ego: Pose::from_quaternion(row.rotation, row.translation).ok()?,
        pinhole: Pinhole::from_matrix(&matrix).ok()?,
    })
}
