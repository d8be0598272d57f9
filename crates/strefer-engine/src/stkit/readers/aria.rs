//! What [Project Aria](https://www.projectaria.com)'s machine perception services write about glasses and the cameras around
//! them, as tables with named columns.

use std::fs::File;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::stkit::camera::{Pinhole, Pose};
use crate::stkit::fault::Fault;
use crate::stkit::lens::Lens;
use crate::stkit::vector::{Point, Up, length};

/// Between two known positions further apart than this nothing is known, in microseconds.
const LONGEST_GAP_US: i64 = 100_000;

/// Rows of a table, with the places of some columns.
struct Table<const N: usize> {
    path: PathBuf,
    rows: csv::Reader<File>,
    places: [usize; N],
}

impl<const N: usize> Table<N> {
    fn open(path: &Path, columns: [&str; N]) -> Result<Self> {
        let file = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let mut rows = csv::ReaderBuilder::new().trim(csv::Trim::All).from_reader(file);
        let bad = |reason: String| Error::BadFile { path: path.to_owned(), reason };
        let head = rows.headers().map_err(|error| bad(error.to_string()))?;
        let mut places = [0; N];
        for (place, column) in places.iter_mut().zip(columns) {
            let found = head.iter().position(|name| name == column);
            *place = found.ok_or_else(|| bad(format!("has no column {column}")))?;
        }
        Ok(Self { path: path.to_owned(), rows, places })
    }

    /// Hands the cells of every row on.
    fn each(mut self, mut row: impl FnMut([&str; N]) -> std::result::Result<(), String>) -> Result<()> {
        let mut record = csv::StringRecord::new();
        loop {
            let read = self.rows.read_record(&mut record);
            let line = record.position().map_or(0, csv::Position::line);
            let bad = |reason: String| Error::BadRow {
                path: self.path.clone(),
                row: format!("in line {line}"),
                reason,
            };
            match read.map_err(|error| bad(error.to_string()))? {
                false => return Ok(()),
                true => row(self.places.map(|place| record.get(place).unwrap_or_default())).map_err(bad)?,
            }
        }
    }
}

fn number(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|value: &f64| value.is_finite()).ok_or_else(|| format!("{text:?} is no number"))
}

fn numbers<const N: usize>(texts: [&str; N]) -> std::result::Result<[f64; N], String> {
    let mut values = [0.0; N];
    for (value, text) in values.iter_mut().zip(texts) {
        *value = number(text)?;
    }
    Ok(values)
}

/// Where glasses were, as they know it themselves.
#[derive(Debug, Clone, PartialEq)]
pub struct Trajectory {
    times_us: Vec<i64>,
    points: Vec<Point>,
    up: Up,
}

impl Trajectory {
    /// The rows of `closed_loop_trajectory.csv` of one world, of at least some quality.
    ///
    /// # Errors
    /// A file or row that cannot be used, times that do not increase, no row of that world.
    pub fn read(path: &Path, graph_uid: &str, least_quality: f64) -> Result<Self> {
        let columns = [
            "graph_uid",
            "tracking_timestamp_us",
            "tx_world_device",
            "ty_world_device",
            "tz_world_device",
            "gravity_x_world",
            "gravity_y_world",
            "gravity_z_world",
            "quality_score",
        ];
        let (mut times_us, mut points, mut up) = (Vec::new(), Vec::new(), None);
        Table::open(path, columns)?.each(|[graph, at_us, x, y, z, gx, gy, gz, quality]| {
            if graph != graph_uid || number(quality)? < least_quality {
                return Ok(());
            }
            let at_us: i64 = at_us.parse().map_err(|_| format!("{at_us:?} is no time in microseconds"))?;
            if times_us.last().is_some_and(|last| *last >= at_us) {
                return Err("does not come after the row before it".to_owned());
            }
            times_us.push(at_us);
            points.push(numbers([x, y, z])?);
            if up.is_none() {
                let gravity = numbers([gx, gy, gz])?;
                let strength = length(gravity);
                up = Some(Up::new(gravity.map(|axis| -axis / strength)).map_err(|fault| fault.to_string())?);
            }
            Ok(())
        })?;
        let nothing = || Error::BadFile {
            path: path.to_owned(),
            reason: format!("has no row of the world {graph_uid} with a quality of at least {least_quality}"),
        };
        Ok(Self { up: up.ok_or_else(nothing)?, times_us, points })
    }

    /// Which way is up in its world.
    pub fn up(&self) -> Up {
        self.up
    }

    /// Where the glasses were at a moment of their own clock, on the straight line between two rows.
    pub fn at(&self, at_us: i64) -> Option<Point> {
        let next = self.times_us.partition_point(|&time_us| time_us < at_us);
        let after_us = *self.times_us.get(next)?;
        if after_us == at_us {
            return Some(self.points[next]);
        }
        let before = next.checked_sub(1)?;
        let gap_us = after_us - self.times_us[before];
        let share = (at_us - self.times_us[before]) as f64 / gap_us as f64;
        let (from, to) = (self.points[before], self.points[next]);
        (gap_us <= LONGEST_GAP_US).then(|| [0, 1, 2].map(|axis| from[axis] + share * (to[axis] - from[axis])))
    }
}

/// A camera that looks on, for some frames of a capture.
#[derive(Debug, Clone, PartialEq)]
pub struct Onlooker {
    /// Its name.
    pub cam_uid: String,
    /// The world that its pose speaks of.
    pub graph_uid: String,
    /// Where it stands.
    pub pose: Pose,
    /// Its lens, in pixels of a picture of `size`.
    pub lens: Lens,
    /// Height and width.
    pub size: (f64, f64),
    /// First and last frame; all where they are -1.
    pub frames: (i64, i64),
}

impl Onlooker {
    /// The rows of `gopro_calibs.csv`.
    ///
    /// # Errors
    /// A file or row that cannot be used; another kind of lens.
    pub fn read_all(path: &Path) -> Result<Vec<Self>> {
        let columns = [
            "cam_uid",
            "graph_uid",
            "tx_world_cam",
            "ty_world_cam",
            "tz_world_cam",
            "qx_world_cam",
            "qy_world_cam",
            "qz_world_cam",
            "qw_world_cam",
            "image_width",
            "image_height",
            "intrinsics_type",
            "intrinsics_0",
            "intrinsics_1",
            "intrinsics_2",
            "intrinsics_3",
            "intrinsics_4",
            "intrinsics_5",
            "intrinsics_6",
            "intrinsics_7",
            "start_frame_idx",
            "end_frame_idx",
        ];
        let mut found = Vec::new();
        Table::open(path, columns)?.each(
            |[
                cam,
                graph,
                tx,
                ty,
                tz,
                qx,
                qy,
                qz,
                qw,
                width,
                height,
                kind,
                fu,
                fv,
                cu,
                cv,
                k0,
                k1,
                k2,
                k3,
                start,
                end,
            ]| {
                if kind != "KANNALABRANDTK3" {
                    return Err(format!("its lens is {kind}, not KANNALABRANDTK3"));
                }
                let said = |fault: Fault| fault.to_string();
                let [fu, fv, cu, cv] = numbers([fu, fv, cu, cv])?;
                let pinhole = Pinhole::from_matrix(&[[fu, 0.0, cu], [0.0, fv, cv], [0.0, 0.0, 1.0]]);
                let [width, height] = numbers([width, height])?;
                if width < 1.0 || height < 1.0 {
                    return Err("its pictures have no size".to_owned());
                }
                found.push(Self {
                    cam_uid: cam.to_owned(),
                    graph_uid: graph.to_owned(),
                    pose: Pose::from_quaternion(numbers([qw, qx, qy, qz])?, numbers([tx, ty, tz])?)
                        .map_err(said)?,
                    lens: Lens::Fisheye {
                        pinhole: pinhole.map_err(said)?,
                        angular: numbers([k0, k1, k2, k3])?,
                    },
                    size: (height, width),
                    frames: (number(start)? as i64, number(end)? as i64),
                });
                Ok(())
            },
        )?;
        Ok(found)
    }

    /// Whether it speaks about a frame.
    pub fn covers(&self, frame: usize) -> bool {
        let (first, last) = self.frames;
        let frame = frame as i64;
        (first < 0 || frame >= first) && (last < 0 || frame <= last)
    }

    /// Where a picture of `size` (height, width) shows a point of the world.
    pub fn pixel(&self, point: Point, size: (u32, u32)) -> Option<[f64; 2]> {
        let [x, y] = self.lens.project(self.pose.to_own(point))?;
        Some([x * f64::from(size.1) / self.size.1, y * f64::from(size.0) / self.size.0])
    }
}

/// The moments of one column of `timesync.csv` in microseconds, one a row; those that are not written are `None`.
///
/// # Errors
/// A file without the column, a cell that is no number.
pub fn timesync(path: &Path, column: &str) -> Result<Vec<Option<i64>>> {
    let mut found = Vec::new();
    Table::open(path, [column])?.each(|[cell]| {
        let is_unknown = cell.is_empty() || cell.eq_ignore_ascii_case("nan");
        found.push(if is_unknown { None } else { Some((number(cell)? / 1e3).round() as i64) });
        Ok(())
    })?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "graph_uid,tracking_timestamp_us,utc_timestamp_ns,tx_world_device,ty_world_device,tz_world_device,\
        gravity_x_world,gravity_y_world,gravity_z_world,quality_score";

    fn file(text: &str) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("table.csv");
        std::fs::write(&path, text).unwrap();
        (dir, path)
    }

    #[test]
    fn positions_lie_between_good_rows_of_the_same_world() {
        let rows = "w,1000,0,0,0,0,0,0,-9.81,1\nw,2000,0,7,7,7,0,0,-9.81,0.4\nv,2500,0,9,9,9,0,0,-9.81,1\n\
            w,3000,0,2,4,0,0,0,-9.81,0.5\nw,500000,0,5,5,5,0,0,-9.81,1\n";
        let (_dir, path) = file(&format!("{HEAD}\n{rows}"));
        let way = Trajectory::read(&path, "w", 0.5).unwrap();
        assert_eq!((way.at(2000), way.at(3000)), (Some([1.0, 2.0, 0.0]), Some([2.0, 4.0, 0.0])));
        // Before the first, after the last, in a hole of half a second.
        assert_eq!([way.at(999), way.at(500_001), way.at(250_000)], [None; 3]);
        assert_eq!(way.up(), Up::Z);
        assert!(Trajectory::read(&path, "u", 0.5).unwrap_err().to_string().contains("world u"));
    }

    #[test]
    fn what_is_wrong_is_named_by_column_or_line() {
        let wrong = |text: &str| Trajectory::read(&file(text).1, "w", 0.5);
        let dir_kept = |text: &str| {
            let (_dir, path) = file(text);
            Trajectory::read(&path, "w", 0.5).unwrap_err().to_string()
        };
        assert!(wrong("").is_err());
        assert!(dir_kept("graph_uid,quality_score\n").contains("no column tracking_timestamp_us"));
        let error = dir_kept(&format!("{HEAD}\nw,1000,0,0,0,0,0,0,-9.81,1\nw,2000,0,left,0,0,0,0,-9.81,1\n"));
        assert!(error.contains("in line 3") && error.contains("left"), "{error}");
        let error = dir_kept(&format!("{HEAD}\nw,1000,0,0,0,0,0,0,-9.81,1\nw,1000,0,0,0,0,0,0,-9.81,1\n"));
        assert!(error.contains("in line 3") && error.contains("after"), "{error}");
    }

    #[test]
    fn onlookers_speak_about_some_frames_and_scale_to_smaller_pictures() {
        let head = "cam_uid,graph_uid,tx_world_cam,ty_world_cam,tz_world_cam,qx_world_cam,qy_world_cam,qz_world_cam,qw_world_cam,\
            image_width,image_height,intrinsics_type,intrinsics_0,intrinsics_1,intrinsics_2,intrinsics_3,intrinsics_4,intrinsics_5,\
            intrinsics_6,intrinsics_7,start_frame_idx,end_frame_idx";
        let row = "cam01,w,0,0,-5,0,0,0,1,400,200,KANNALABRANDTK3,100,100,200,100,0,0,0,0,3,9";
        let (_dir, path) = file(&format!("{head}\n{row}\n"));
        let camera = &Onlooker::read_all(&path).unwrap()[0];
        // 5 m ahead and 5 m to the right: a right angle halved, 100 · π/4 = 78.54 columns from the middle, half that at half the size.
        let [x, y] = camera.pixel([5.0, 0.0, 0.0], (100, 200)).unwrap();
        assert!(
            (x - (200.0 + 25.0 * std::f64::consts::PI) / 2.0).abs() < 1e-9 && (y - 50.0).abs() < 1e-9,
            "{x} {y}"
        );
        assert_eq!([2, 3, 9, 10].map(|frame| camera.covers(frame)), [false, true, true, false]);
        let (_dir, path) = file(&format!("{head}\n{}\n", row.replace("KANNALABRANDTK3", "PINHOLE")));
        assert!(Onlooker::read_all(&path).unwrap_err().to_string().contains("PINHOLE"));
    }

    #[test]
    fn the_clock_of_the_glasses_may_miss_a_frame() {
        let (_dir, path) = file("aria01_214-1_capture_timestamp_ns,cam01_frame\n5000,1\n,2\n9000.0,3\n");
        let found = timesync(&path, "aria01_214-1_capture_timestamp_ns").unwrap();
        assert_eq!(found, [Some(5), None, Some(9)]);
        assert!(timesync(&path, "aria02_214-1_capture_timestamp_ns").is_err());
    }
}
