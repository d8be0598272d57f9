//! nuPlan.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{Connection, SqliteConnection};
use strefer_engine::Result;
use strefer_engine::stkit::Up;
use strefer_engine::stkit::readers::configs::NuplanConfig;
use strefer_engine::stkit::readers::nuplan::Nuplan;
use strefer_engine::stkit::readers::{Made, Reader};

use super::{near, object, travel};

const START_US: i64 = 1_620_857_889_000_000;
/// Sweeps of a scene: six seconds.
const SWEEPS: i64 = 121;
/// Pictures are taken half as often, each a little after a sweep.
const LATE_US: i64 = 10_000;

const TABLES: [&str; 8] = [
    "CREATE TABLE scene (token BLOB, log_token BLOB, name TEXT)",
    "CREATE TABLE lidar_pc (token BLOB, scene_token BLOB, ego_pose_token BLOB, timestamp INTEGER)",
    "CREATE TABLE lidar_box (token BLOB, lidar_pc_token BLOB, track_token BLOB, x FLOAT, y FLOAT, z FLOAT, width FLOAT,
        length FLOAT, height FLOAT, vx FLOAT, vy FLOAT, vz FLOAT, yaw FLOAT, confidence FLOAT)",
    "CREATE TABLE track (token BLOB, category_token BLOB, width FLOAT, length FLOAT, height FLOAT)",
    "CREATE TABLE category (token BLOB, name TEXT, description TEXT)",
    "CREATE TABLE ego_pose (token BLOB, timestamp INTEGER, x FLOAT, y FLOAT, z FLOAT, qw FLOAT, qx FLOAT, qy FLOAT, qz FLOAT)",
    "CREATE TABLE camera (token BLOB, channel TEXT, translation BLOB, rotation BLOB, intrinsic BLOB, distortion BLOB,
        width INTEGER, height INTEGER)",
    "CREATE TABLE image (token BLOB, ego_pose_token BLOB, camera_token BLOB, filename_jpg TEXT, timestamp INTEGER)",
];

/// As Python pickles a list of numbers.
fn pickled(numbers: &[f64]) -> Vec<u8> {
    let mut bytes = b"\x80\x04]\x94(".to_vec();
    for number in numbers {
        bytes.push(b'G');
        bytes.extend(number.to_be_bytes());
    }
    bytes.extend(b"e.");
    bytes
}

fn token(kind: u8, number: i64) -> Vec<u8> {
    (number + (i64::from(kind) << 48)).to_be_bytes().to_vec()
}

/// A log of two scenes, in each a car that drives ahead at 10 m/s along y and one that follows at 4 m/s and films it; `more` is done to
/// the database at the end.
fn log(path: &Path, more: &'static [&'static str]) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true);
        let mut db = SqliteConnection::connect_with(&options).await.unwrap();
        for text in TABLES {
            sqlx::query(text).execute(&mut db).await.unwrap();
        }
        sqlx::query("BEGIN").execute(&mut db).await.unwrap();
        let camera = "INSERT INTO camera VALUES ($1, $2, $3, $4, $5, $6, 160, 90)";
        for (number, channel) in [(0, "CAM_B0"), (1, "CAM_F0")] {
            sqlx::query(camera)
                .bind(token(1, number))
                .bind(channel)
                .bind(pickled(&[1.5, 0.0, 1.5]))
                .bind(pickled(&[0.5, -0.5, 0.5, -0.5]))
                .bind(pickled(&[100.0, 0.0, 80.0, 0.0, 100.0, 45.0, 0.0, 0.0, 1.0]))
                .bind(pickled(&[0.0; 5]))
                .execute(&mut db)
                .await
                .unwrap();
        }
        for (number, name) in [(0, "vehicle"), (1, "traffic_cone")] {
            let category = "INSERT INTO category VALUES ($1, $2, '')";
            sqlx::query(category).bind(token(2, number)).bind(name).execute(&mut db).await.unwrap();
            let track = "INSERT INTO track VALUES ($1, $2, 2, 4, 2)";
            sqlx::query(track).bind(token(3, number)).bind(token(2, number)).execute(&mut db).await.unwrap();
        }
        for scene in 0..2 {
            let text = "INSERT INTO scene VALUES ($1, x'00', '')";
            sqlx::query(text).bind(token(4, scene)).execute(&mut db).await.unwrap();
            for sweep in 0..SWEEPS {
                let (own, at_s) = (scene * SWEEPS + sweep, sweep as f64 / 20.0);
                let at_us = START_US + scene * 20_000_000 + sweep * 50_000;
                let text = "INSERT INTO lidar_pc VALUES ($1, $2, $3, $4)";
                let row = sqlx::query(text).bind(token(5, own)).bind(token(4, scene)).bind(token(6, own));
                row.bind(at_us).execute(&mut db).await.unwrap();
                let text =
                    "INSERT INTO lidar_box VALUES ($1, $2, $3, $4, $5, $6, 2, 4, 2, 99, 99, 99, $7, 1)";
                for (body, place) in [(0, [98.0, 220.0 + 10.0 * at_s, 1.0]), (1, [95.0, 230.0, 0.5])] {
                    let row = sqlx::query(text).bind(token(7, 2 * own + body)).bind(token(5, own));
                    let row = row.bind(token(3, body)).bind(place[0]).bind(place[1]).bind(place[2]);
                    row.bind(std::f64::consts::FRAC_PI_2).execute(&mut db).await.unwrap();
                }
                if sweep % 2 == 1 {
                    continue;
                }
                let half = std::f64::consts::FRAC_1_SQRT_2;
                let text = "INSERT INTO ego_pose VALUES ($1, $2, 100, $3, 0, $4, 0, 0, $4)";
                let row = sqlx::query(text).bind(token(6, own)).bind(at_us + LATE_US);
                row.bind(200.0 + 4.0 * (at_s + 0.01)).bind(half).execute(&mut db).await.unwrap();
                for camera in 0..2 {
                    let text = "INSERT INTO image VALUES ($1, $2, $3, $4, $5)";
                    let row = sqlx::query(text).bind(token(8, 2 * own + camera)).bind(token(6, own));
                    let row = row.bind(token(1, camera)).bind(format!("log/CAM_F0/{scene}-{sweep:03}.jpg"));
                    row.bind(at_us + LATE_US).execute(&mut db).await.unwrap();
                }
            }
        }
        for text in more {
            sqlx::query(*text).execute(&mut db).await.unwrap();
        }
        sqlx::query("COMMIT").execute(&mut db).await.unwrap();
        db.close().await.unwrap();
    });
}

fn config(dir: &Path) -> NuplanConfig {
    NuplanConfig { logs: dir.to_owned(), pictures: dir.join("blobs"), channel: "CAM_F0".to_owned() }
}

fn read(more: &'static [&'static str], recording: usize) -> Result<Made> {
    let dir = tempfile::tempdir().unwrap();
    log(&dir.path().join("log-a.db"), more);
    Nuplan::open(&config(dir.path()))?.read(recording)
}

#[test]
fn a_scene_is_a_clip_of_every_tenth_sweep() {
    let clip = read(&[], 1).unwrap().clip.unwrap();
    assert_eq!((clip.clip_id.as_str(), clip.up), ("log-a/0004000000000001", Up::Z));
    assert_eq!((clip.times_s.len(), clip.times_s[12], clip.size), (13, 6.0, Some((90, 160))));
    assert_eq!(clip.frames[2], "log/CAM_F0/1-020.jpg");
    // 10 m/s for 6 s; the dataset's own estimate of the speed says 99 m/s along each axis.
    let (distance_m, speed_kmh) = travel(&clip, "vehicle");
    near(&[distance_m, speed_kmh], &[60.0, 36.0], 1e-6);
    assert_eq!(clip.objects.len(), 1, "a cone goes nowhere");
}

#[test]
fn boxes_are_seen_from_where_the_car_is_when_the_picture_is_taken() {
    let clip = read(&[], 0).unwrap().clip.unwrap();
    // The camera is at 1.54 m then, the car's rear at 18 m and its front at 22 m; it is 1 to 3 m to the left.
    let expected = [80.0 - 300.0 / 16.46, 45.0 - 50.0 / 16.46, 80.0 - 100.0 / 20.46, 45.0 + 150.0 / 16.46];
    near(&object(&clip, "vehicle").boxes[0].unwrap(), &expected, 1e-6);
}

#[test]
fn what_is_wrong_is_named_with_its_log_and_row() {
    for (more, said) in [
        (&["DELETE FROM camera WHERE channel = 'CAM_F0'"][..], "CAM_F0"),
        (&["UPDATE camera SET intrinsic = x'8003632e'"][..], "column 3 is no list of 9 numbers"),
        (&["DELETE FROM ego_pose WHERE rowid = 5"][..], "column 3"),
        (&["DELETE FROM track WHERE rowid = 1"][..], "column 3"),
        (&["UPDATE lidar_box SET x = NULL WHERE rowid = 9"][..], "column 4"),
        (&["DROP TABLE lidar_box"][..], "lidar_box"),
    ] {
        let error = read(more, 0).expect_err(said).to_string();
        assert!(error.contains("log-a.db") && error.contains(said), "{said}: {error}");
    }
}

#[test]
fn a_log_that_cannot_be_opened_stops_no_other() {
    let dir = tempfile::tempdir().unwrap();
    log(&dir.path().join("log-a.db"), &[]);
    std::fs::write(dir.path().join("log-0.db"), "no database, but long enough to be looked at").unwrap();
    let reader = Nuplan::open(&config(dir.path())).unwrap();
    assert_eq!(reader.recordings().len(), 3);
    let error = reader.read(0).unwrap_err().to_string();
    assert!(error.contains("log-0.db"), "{error}");
    assert!(reader.read(1).is_ok());
}

#[test]
fn of_a_scene_with_a_hole_the_longest_stretch_is_kept() {
    // Without pictures from 0.8 s to 1.2 s: the third moment has none.
    let made = read(&["DELETE FROM image WHERE timestamp BETWEEN 1620857889800000 AND 1620857890200000"], 0)
        .unwrap();
    let clip = made.clip.unwrap();
    assert_eq!((clip.times_s.len(), clip.times_s[0], made.notes[0].kind.as_str()), (10, 0.0, "hole"));
}
