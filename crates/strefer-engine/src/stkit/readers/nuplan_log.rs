//! One log of nuPlan: an SQLite database, read and never written.

use std::path::{Path, PathBuf};

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ColumnIndex, Connection, Decode, Row, Sqlite, SqliteConnection, Type, ValueRef};
use tokio::runtime::Runtime;

use super::pickle::numbers;
use crate::error::{Error, Result};
use crate::stkit::camera::{Pinhole, Pose};
use crate::stkit::cuboid::Cuboid;
use crate::stkit::lens::Lens;
use crate::stkit::vector::Point;

/// A token as it is written for people.
pub(super) fn hex(token: &[u8]) -> String {
    token.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A picture of a camera.
pub(super) struct Picture {
    pub at_us: i64,
    pub file: String,
    /// Where the car stood.
    pub ego: Pose,
}

/// A camera on the car.
pub(super) struct Camera {
    pub token: Vec<u8>,
    pub in_ego: Pose,
    pub lens: Lens,
    pub size: (u32, u32),
}

/// A box in space in one sweep.
pub(super) struct Found {
    pub sweep: Vec<u8>,
    pub track: Vec<u8>,
    pub category: String,
    pub centre: Point,
    pub cuboid: Cuboid,
}

/// One log, read and never written.
pub(super) struct Database {
    path: PathBuf,
    runtime: Runtime,
    connection: SqliteConnection,
}

impl Database {
    pub fn open(path: &Path) -> Result<Self> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(io)?;
        let options = SqliteConnectOptions::new().filename(path).read_only(true).create_if_missing(false);
        let connected = runtime.block_on(SqliteConnection::connect_with(&options));
        let connection =
            connected.map_err(|error| Error::BadFile { path: path.to_owned(), reason: error.to_string() })?;
        Ok(Self { path: path.to_owned(), runtime, connection })
    }

    pub fn bad(&self, reason: String) -> Error {
        Error::BadFile { path: self.path.clone(), reason }
    }

    pub fn bad_row(&self, token: &[u8], reason: impl Into<String>) -> Error {
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
        let bad = |reason: String| Error::BadRow { path: self.path.clone(), row: token.clone(), reason };
        let raw = row.try_get_raw(column).map_err(|error| bad(format!("column {column}: {error}")))?;
        // SQLite would read nothing as 0.
        if raw.is_null() {
            return Err(bad(format!("column {column} is empty")));
        }
        row.try_get(column).map_err(|error| bad(format!("column {column}: {error}")))
    }

    pub fn scenes(&mut self) -> Result<Vec<Vec<u8>>> {
        let rows = self.rows("SELECT token FROM scene ORDER BY rowid", About::All)?;
        rows.iter().map(|row| self.cell(row, 0)).collect()
    }

    pub fn sweeps(&mut self, scene: &[u8]) -> Result<Vec<(Vec<u8>, i64)>> {
        let text = "SELECT token, timestamp FROM lidar_pc WHERE scene_token = $1 ORDER BY timestamp";
        let rows = self.rows(text, About::Token(scene))?;
        rows.iter().map(|row| Ok((self.cell(row, 0)?, self.cell(row, 1)?))).collect()
    }

    pub fn camera(&mut self, channel: &str) -> Result<Camera> {
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

    /// The pictures of a camera between two moments.
    pub fn pictures(&mut self, camera: &[u8], first_us: i64, last_us: i64) -> Result<Vec<Picture>> {
        let text = "SELECT i.token, i.timestamp, i.filename_jpg, CAST(e.qw AS REAL), CAST(e.qx AS REAL),
                CAST(e.qy AS REAL), CAST(e.qz AS REAL), CAST(e.x AS REAL), CAST(e.y AS REAL), CAST(e.z AS REAL)
            FROM image i LEFT JOIN ego_pose e ON i.ego_pose_token = e.token
            WHERE i.camera_token = $1 AND i.timestamp BETWEEN $2 AND $3 ORDER BY i.timestamp";
        let rows = self.rows(text, About::Between(camera, first_us, last_us))?;
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

    pub fn boxes(&mut self, scene: &[u8]) -> Result<Vec<Found>> {
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
