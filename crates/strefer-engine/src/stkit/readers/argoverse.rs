//! [Argoverse 2](https://www.argoverse.org/av2.html), the Sensor dataset: boxes in space ten times a second, in the frame of the car at that
//! moment. Without the car's own way they would say how things move past it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::configs::ArgoverseConfig;
use super::feather::Table;
use super::timeline::{longest_stretch, nearest, on_grid};
use super::{Made, Reader, can_move, entries};
use crate::error::{Error, Result};
use crate::pipeline::digest::{self, Digests};
use crate::pipeline::store::Note;
use crate::stkit::camera::{Pinhole, Pose};
use crate::stkit::clip::{Clip, ClipObject, Source};
use crate::stkit::cuboid::{Cuboid, seen_box};
use crate::stkit::lens::Lens;
use crate::stkit::vector::{Point, Up};

/// A sweep stands for a moment of the grid up to half the time between two sweeps away, in microseconds.
const SWEEP_SLACK_US: i64 = 50_000;

/// A picture stands for a sweep up to the time between two pictures away, and a pose of the car for a picture.
const PICTURE_SLACK_US: u64 = 50_000;

/// Logs.
pub struct Argoverse {
    cfg: ArgoverseConfig,
    names: Vec<String>,
}

impl Argoverse {
    /// Looks for logs.
    ///
    /// # Errors
    /// A folder that cannot be read or holds none.
    pub fn open(cfg: &ArgoverseConfig) -> Result<Self> {
        let logs = entries(&cfg.root)?.into_iter().filter(|path| path.is_dir());
        let name = |path: PathBuf| path.file_name().map(|name| name.to_string_lossy().into_owned());
        let names: Vec<String> = logs.filter_map(name).collect();
        if names.is_empty() {
            return Err(Error::BadFile { path: cfg.root.clone(), reason: "holds no log".to_owned() });
        }
        Ok(Self { cfg: cfg.clone(), names })
    }

    fn log(&self, recording: usize) -> PathBuf {
        self.cfg.root.join(&self.names[recording])
    }

    /// Moments of the camera's pictures in nanoseconds, ascending: their names.
    fn pictures(&self, recording: usize) -> Result<Vec<i64>> {
        let dir = self.log(recording).join("sensors/cameras").join(&self.cfg.camera);
        let moment = |path: PathBuf| path.file_stem()?.to_str()?.parse::<i64>().ok();
        let mut found: Vec<i64> = entries(&dir)?.into_iter().filter_map(moment).collect();
        found.sort_unstable();
        match found.is_empty() {
            true => {
                Err(Error::BadFile { path: dir, reason: "holds no picture called like its time".to_owned() })
            }
            false => Ok(found),
        }
    }
}

/// The files of a log that are read.
const FILES: [&str; 4] = [
    "annotations.feather",
    "city_SE3_egovehicle.feather",
    "calibration/intrinsics.feather",
    "calibration/egovehicle_SE3_sensor.feather",
];

impl Reader for Argoverse {
    fn recordings(&self) -> &[String] {
        &self.names
    }

    fn root(&self, _: usize) -> PathBuf {
        self.cfg.root.clone()
    }

    fn content(&self, recording: usize, digests: &Digests) -> Result<String> {
        let log = self.log(recording);
        let files = FILES.iter().map(|file| digests.of_path(&log.join(file)));
        digest::of_value(&(files.collect::<Result<Vec<String>>>()?, self.pictures(recording)?))
    }

    fn read(&self, recording: usize) -> Result<Made> {
        let log = self.log(recording);
        let boxes = Boxes::read(&log.join(FILES[0]))?;
        let way = Way::read(&log.join(FILES[1]))?;
        let camera = Camera::read(&log, &self.cfg.camera)?;
        let pictures_ns = self.pictures(recording)?;
        let pictures_us: Vec<i64> = pictures_ns.iter().map(|at_ns| at_ns / 1000).collect();
        let sweeps_ns: Vec<i64> = boxes.by_sweep.keys().copied().collect();
        let sweeps_us: Vec<i64> = sweeps_ns.iter().map(|at_ns| at_ns / 1000).collect();
        let grid = on_grid(&sweeps_us, SWEEP_SLACK_US);
        let moments = grid.into_iter().map(|sweep| {
            let sweep = sweep?;
            let picture = nearest(&pictures_us, sweeps_us[sweep])?;
            let is_near = pictures_us[picture].abs_diff(sweeps_us[sweep]) <= PICTURE_SLACK_US;
            is_near.then_some((sweeps_ns[sweep], pictures_ns[picture]))
        });
        let moments: Vec<Option<(i64, i64)>> = moments.collect();
        let wanted = moments.len();
        let (_, moments) = longest_stretch(moments);
        let mut notes = Vec::new();
        if moments.len() < wanted {
            let text = format!("{} of {wanted} moments: others lack a sweep or a picture", moments.len());
            notes.push(Note::new("hole", "", text));
        }
        let first_ns = moments.first().map_or(0, |(sweep_ns, _)| *sweep_ns);
        let mut objects: BTreeMap<&str, ClipObject> = BTreeMap::new();
        for (at, &(sweep_ns, picture_ns)) in moments.iter().enumerate() {
            let (ego, then) = (way.at(sweep_ns)?, way.near(picture_ns)?);
            for &row in &boxes.by_sweep[&sweep_ns] {
                let object = objects.entry(&boxes.tracks[row]).or_insert_with(|| ClipObject {
                    id: boxes.tracks[row].clone(),
                    category: boxes.categories[row].clone(),
                    xyz: vec![None; moments.len()],
                    boxes: vec![None; moments.len()],
                    source: Source::Gt,
                });
                object.xyz[at] = Some(ego.to_world(boxes.centres[row], 1.0));
                let in_camera = boxes.cuboids[row].corners().map(|corner| {
                    let in_city = ego.to_world(corner, 1.0);
                    camera.in_ego.to_own(then.to_own(in_city))
                });
                object.boxes[at] = seen_box(&in_camera, &camera.lens, camera.size);
            }
        }
        let name = &self.names[recording];
        let frame = |(_, picture_ns): &(i64, i64)| {
            format!("{name}/sensors/cameras/{}/{picture_ns}.jpg", self.cfg.camera)
        };
        let clip = Clip {
            clip_id: name.clone(),
            fps: 2.0,
            up: Up::Z,
            size: Some(camera.size),
            frames: moments.iter().map(frame).collect(),
            times_s: moments.iter().map(|(sweep_ns, _)| (sweep_ns - first_ns) as f64 / 1e9).collect(),
            objects: objects.into_values().filter(|object| can_move(&object.category)).collect(),
        };
        Ok(Made::of(clip, notes))
    }
}

/// The annotations of a log, in the frame of the car.
struct Boxes {
    tracks: Vec<String>,
    categories: Vec<String>,
    centres: Vec<Point>,
    cuboids: Vec<Cuboid>,
    by_sweep: BTreeMap<i64, Vec<usize>>,
}

impl Boxes {
    fn read(path: &Path) -> Result<Self> {
        let table = Table::open(path)?;
        let times_ns = table.integers("timestamp_ns")?;
        let (centres, poses) = poses(&table)?;
        let sizes = ["length_m", "width_m", "height_m"].map(|name| table.numbers(name));
        let [lengths, widths, heights] = sizes;
        let (lengths, widths, heights) = (lengths?, widths?, heights?);
        let mut by_sweep: BTreeMap<i64, Vec<usize>> = BTreeMap::new();
        let mut cuboids = Vec::with_capacity(poses.len());
        for (row, pose) in poses.into_iter().enumerate() {
            let size_m = [lengths[row], widths[row], heights[row]];
            if size_m.iter().any(|side| *side <= 0.0) {
                return Err(table.bad_row(row, "its size is none"));
            }
            cuboids.push(Cuboid { pose, size_m });
            by_sweep.entry(times_ns[row]).or_default().push(row);
        }
        let (tracks, categories) = (table.texts("track_uuid")?, table.texts("category")?);
        Ok(Self { tracks, categories, centres, cuboids, by_sweep })
    }
}

/// Places and poses of a table's rows.
fn poses(table: &Table) -> Result<(Vec<Point>, Vec<Pose>)> {
    let columns = ["qw", "qx", "qy", "qz", "tx_m", "ty_m", "tz_m"].map(|name| table.numbers(name));
    let columns = columns.into_iter().collect::<Result<Vec<Vec<f64>>>>()?;
    let place = |row: usize| [columns[4][row], columns[5][row], columns[6][row]];
    let pose = |row: usize| {
        let turned = [columns[0][row], columns[1][row], columns[2][row], columns[3][row]];
        Pose::from_quaternion(turned, place(row)).map_err(|fault| table.bad_row(row, fault.to_string()))
    };
    let rows = 0..columns[0].len();
    Ok((rows.clone().map(place).collect(), rows.map(pose).collect::<Result<_>>()?))
}

/// The way of the car through the city.
struct Way {
    path: PathBuf,
    times_ns: Vec<i64>,
    poses: Vec<Pose>,
}

impl Way {
    fn read(path: &Path) -> Result<Self> {
        let table = Table::open(path)?;
        let rows: BTreeMap<i64, Pose> =
            table.integers("timestamp_ns")?.into_iter().zip(poses(&table)?.1).collect();
        let (times_ns, poses) = rows.into_iter().unzip();
        Ok(Self { path: path.to_owned(), times_ns, poses })
    }

    fn missing(&self, at_ns: i64) -> Error {
        let reason = "no pose of the car at this time".to_owned();
        Error::BadRow { path: self.path.clone(), row: at_ns.to_string(), reason }
    }

    /// Exactly then.
    fn at(&self, at_ns: i64) -> Result<Pose> {
        self.times_ns.binary_search(&at_ns).map(|at| self.poses[at]).map_err(|_| self.missing(at_ns))
    }

    /// At the nearest time.
    fn near(&self, at_ns: i64) -> Result<Pose> {
        let found = nearest(&self.times_ns, at_ns);
        let found = found.filter(|&at| self.times_ns[at].abs_diff(at_ns) / 1000 <= PICTURE_SLACK_US);
        found.map(|at| self.poses[at]).ok_or_else(|| self.missing(at_ns))
    }
}

/// One camera on the car. Its pictures are projected without bending, as the dataset's own tools do.
struct Camera {
    in_ego: Pose,
    lens: Lens,
    size: (u32, u32),
}

impl Camera {
    fn read(log: &Path, name: &str) -> Result<Self> {
        let find = |path: &Path| -> Result<(Table, usize)> {
            let table = Table::open(path)?;
            let row = table.texts("sensor_name")?.iter().position(|sensor| sensor == name);
            let missing = || Error::BadRow {
                path: path.to_owned(),
                row: name.to_owned(),
                reason: "no such sensor".to_owned(),
            };
            Ok((table, row.ok_or_else(missing)?))
        };
        let (inside, row) = find(&log.join(FILES[2]))?;
        let cell = |column: &str| -> Result<f64> { Ok(inside.numbers(column)?[row]) };
        let (focal_x, focal_y) = (cell("fx_px")?, cell("fy_px")?);
        let matrix = [[focal_x, 0.0, cell("cx_px")?], [0.0, focal_y, cell("cy_px")?], [0.0, 0.0, 1.0]];
        let pinhole =
            Pinhole::from_matrix(&matrix).map_err(|fault| inside.bad_row(row, fault.to_string()))?;
        let size = (cell("height_px")? as u32, cell("width_px")? as u32);
        let (outside, row) = find(&log.join(FILES[3]))?;
        Ok(Self { in_ego: poses(&outside)?.1[row], lens: Lens::Pinhole(pinhole), size })
    }
}
