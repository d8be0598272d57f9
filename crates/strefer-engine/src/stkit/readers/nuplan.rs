//! [nuPlan](https://www.nuscenes.org/nuplan): a database a log, boxes in space twenty times a second, in a world whose z points up.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ColumnIndex, Connection, Decode, Row, Sqlite, SqliteConnection, Type};
use tokio::runtime::Runtime;

use super::configs::NuplanConfig;
use super::pickle::numbers;
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
const SWEEP_SLACK_US: i64 = 25_000;

/// A picture stands for a sweep up to half the time between two pictures away, and some.
const PICTURE_SLACK_US: u64 = 60_000;

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
        let pictures = database.pictures(&camera.token, first_us, last_us)?;
        let pictures_us: Vec<i64> = pictures.iter().map(|picture| picture.at_us).collect();
        let moments = on_grid(&sweeps_us, SWEEP_SLACK_US).into_iter().map(|sweep| {
            let sweep = sweep?;
            let picture = nearest(&pictures_us, sweeps_us[sweep])?;
            let is_near = pictures_us[picture].abs_diff(sweeps_us[sweep]) <= PICTURE_SLACK_US;
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

fn hex(token: &[u8]) -> String {
    token.iter().map(|byte| format!("{byte:02x}")).collect()
}

struct Picture {
    at_us: i64,
    file: String,
    /// Where the car stood.
    ego: Pose,
}

struct Camera {
    token: Vec<u8>,
    in_ego: Pose,
    lens: Lens,
    size: (u32, u32),
}

/// A box in space in one sweep.
struct Found {
    sweep: Vec<u8>,
    track: Vec<u8>,
    category: String,
    centre: Point,
    cuboid: Cuboid,
}

/// One log, read and never written.
struct Database {
    path: PathBuf,
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Database {
    fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        let options = SqliteConnectOptions::new().filename(path).read_only(true).create_if_missing(false);
        let connected = runtime.block_on(SqliteConnection::connect_with(&options));
        let connection =
            connected.map_err(|error| Error::BadFile { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self { path: path.to_owned(), runtime, connection })
    }

    fn bad(&self, reason: String) -> Error {
        Error::BadFile { path: self.path.clone(), reason }
    }

    fn bad_row(&self, token: &[u8], reason: impl Into<String>) -> Error {
        Error::BadRow { path: self.path.clone(), row: hex(token), reason: reason.into() }
    }

    /// All rows of a query about one thing, and what is between two moments where the query asks so.
    fn rows(&mut self, text: &'static str, about: About<'_>) -> Result<Vec<SqliteRow>> {
        let query = match about {
            About::All => sqlx::query(text),
            About::Token(token) => sqlx::query(text).bind(token),
            About::Name(name) => sqlx::query(text).bind(name),
            About::Between(token, first_us, last_us) => {
                sqlx::query(text).bind(token).bind(first_us).bind(last_us)
            }
        };
        let rows = self.runtime.block_on(query.fetch_all(&mut self.connection));
        rows.map_err(|error| Error::BadFile { path: self.path.clone(), reason: error.to_string() })
    }

    /// A cell; what is missing or of another type is named.
    fn cell<'r, T, I>(&self, row: &'r SqliteRow, column: I) -> Result<T>
    where
        T: Decode<'r, Sqlite> + Type<Sqlite>,
        I: ColumnIndex<SqliteRow> + std::fmt::Display + Copy,
    {
        let token: String = row.try_get::<Vec<u8>, _>(0).map_or_else(|_| "?".to_owned(), |token| hex(&token));
        row.try_get(column).map_err(|error| Error::BadRow {
            path: self.path.clone(),
            row: token,
            reason: format!("column {column}: {error}"),
        })
    }

    fn scenes(&mut self) -> Result<Vec<Vec<u8>>> {
        let rows = self.rows("SELECT token FROM scene ORDER BY rowid", About::All)?;
        rows.iter().map(|row| self.cell(row, 0)).collect()
    }

    fn sweeps(&mut self, scene: &[u8]) -> Result<Vec<(Vec<u8>, i64)>> {
        let text = "SELECT token, timestamp FROM lidar_pc WHERE scene_token = $1 ORDER BY timestamp";
        let rows = self.rows(text, About::Token(scene))?;
        rows.iter().map(|row| Ok((self.cell(row, 0)?, self.cell(row, 1)?))).collect()
    }

    fn camera(&mut self, channel: &str) -> Result<Camera> {
        let text = "SELECT token, translation, rotation, intrinsic, distortion, width, height FROM camera
            WHERE channel = $1 LIMIT 1";
        let rows = self.rows(text, About::Name(channel))?;
        let row =
            rows.first().ok_or_else(|| self.bad(format!("has no camera with the channel {channel}")))?;
        let token: Vec<u8> = self.cell(row, 0)?;
        let wrong = |what: &str| self.bad_row(&token, format!("the camera's {what} is none"));
        let (translation, rotation) = (self.measures::<3>(row, 1)?, self.measures::<4>(row, 2)?);
        let [a, b, c, d, e, f, g, h, i] = self.measures::<9>(row, 3)?;
        let [k1, k2, p1, p2, k3] = self.measures::<5>(row, 4)?;
        let pinhole =
            Pinhole::from_matrix(&[[a, b, c], [d, e, f], [g, h, i]]).map_err(|_| wrong("intrinsic"))?;
        let (width, height): (i64, i64) = (self.cell(row, 5)?, self.cell(row, 6)?);
        let side = |length: i64| {
            u32::try_from(length).ok().filter(|length| *length > 0).ok_or_else(|| wrong("size"))
        };
        let in_ego = Pose::from_quaternion(rotation, translation).map_err(|_| wrong("rotation"))?;
        let lens = Lens::Brown { pinhole, radial: [k1, k2, k3], tangential: [p1, p2] };
        let size = (side(height)?, side(width)?);
        Ok(Camera { token, in_ego, lens, size })
    }

    /// Numbers that are kept as a text or a pickled list.
    fn measures<const N: usize>(&self, row: &SqliteRow, column: usize) -> Result<[f64; N]> {
        let bytes: Vec<u8> = match row.try_get::<String, _>(column) {
            Ok(text) => text.into_bytes(),
            Err(_) => self.cell(row, column)?,
        };
        let token: Vec<u8> = self.cell(row, 0)?;
        let found = numbers(&bytes).and_then(|numbers| <[f64; N]>::try_from(numbers).ok());
        found.ok_or_else(|| self.bad_row(&token, format!("column {column} is no list of {N} numbers")))
    }

    fn pictures(&mut self, camera: &[u8], first_us: i64, last_us: i64) -> Result<Vec<Picture>> {
        let text = "SELECT i.token, i.timestamp, i.filename_jpg, CAST(e.qw AS REAL), CAST(e.qx AS REAL),
                CAST(e.qy AS REAL), CAST(e.qz AS REAL), CAST(e.x AS REAL), CAST(e.y AS REAL), CAST(e.z AS REAL)
            FROM image i LEFT JOIN ego_pose e ON i.ego_pose_token = e.token
            WHERE i.camera_token = $1 AND i.timestamp BETWEEN $2 AND $3 ORDER BY i.timestamp";
        let slack_us = PICTURE_SLACK_US as i64;
        let rows = self.rows(text, About::Between(camera, first_us - slack_us, last_us + slack_us))?;
        let picture = |row: &SqliteRow| {
            let number = |column: usize| self.cell::<f64, _>(row, column);
            let turned = [number(3)?, number(4)?, number(5)?, number(6)?];
            let pose = Pose::from_quaternion(turned, [number(7)?, number(8)?, number(9)?]);
            let token: Vec<u8> = self.cell(row, 0)?;
            let ego = pose.map_err(|fault| self.bad_row(&token, format!("its ego_pose: {fault}")))?;
            Ok(Picture { at_us: self.cell(row, 1)?, file: self.cell(row, 2)?, ego })
        };
        rows.iter().map(picture).collect()
    }

    fn boxes(&mut self, scene: &[u8]) -> Result<Vec<Found>> {
        let text =
            "SELECT b.token, b.lidar_pc_token, b.track_token, c.name, CAST(b.x AS REAL), CAST(b.y AS REAL),
                CAST(b.z AS REAL), CAST(b.length AS REAL), CAST(b.width AS REAL), CAST(b.height AS REAL),
                CAST(b.yaw AS REAL)
            FROM lidar_pc p JOIN lidar_box b ON b.lidar_pc_token = p.token
            LEFT JOIN track t ON b.track_token = t.token LEFT JOIN category c ON t.category_token = c.token
            WHERE p.scene_token = $1";
        let rows = self.rows(text, About::Token(scene))?;
        let found = |row: &SqliteRow| {
            let number = |column: usize| self.cell::<f64, _>(row, column);
            let (centre, half) = ([number(4)?, number(5)?, number(6)?], number(10)? / 2.0);
            let token: Vec<u8> = self.cell(row, 0)?;
            let pose = Pose::from_quaternion([half.cos(), 0.0, 0.0, half.sin()], centre);
            let pose = pose.map_err(|fault| self.bad_row(&token, fault.to_string()))?;
            let cuboid = Cuboid { pose, size_m: [number(7)?, number(8)?, number(9)?] };
            Ok(Found {
                sweep: self.cell(row, 1)?,
                track: self.cell(row, 2)?,
                category: self.cell(row, 3)?,
                centre,
                cuboid,
            })
        };
        rows.iter().map(found).collect()
    }
}

/// What a query is about.
enum About<'a> {
    All,
    Token(&'a [u8]),
    Name(&'a str),
    Between(&'a [u8], i64, i64),
}
