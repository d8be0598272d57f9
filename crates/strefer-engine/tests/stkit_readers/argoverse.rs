//! Argoverse 2.

use std::path::Path;
use std::sync::Arc;

use arrow_array::types::Int32Type;
use arrow_array::{
    Array, ArrayRef, DictionaryArray, Float64Array, Int64Array, RecordBatch, StringArray, UInt16Array,
};
use arrow_ipc::CompressionType;
use arrow_ipc::writer::{FileWriter, IpcWriteOptions};
use arrow_schema::{Field, Schema};
use strefer_engine::Result;
use strefer_engine::stkit::Up;
use strefer_engine::stkit::readers::argoverse::Argoverse;
use strefer_engine::stkit::readers::configs::ArgoverseConfig;
use strefer_engine::stkit::readers::{Made, Reader};

use super::{near, object, travel};

const START_NS: i64 = 315_966_070_559_696_000;
/// Sweeps: six seconds.
const SWEEPS: i64 = 61;
/// Pictures are taken twice as often, the first so much after the first sweep.
const LATE_NS: i64 = 10_000_000;

fn sweep_ns(sweep: i64) -> i64 {
    START_NS + 100_000_000 * sweep
}

fn picture_ns(picture: i64) -> i64 {
    START_NS + LATE_NS + 50_000_000 * picture
}

fn table(path: &Path, columns: Vec<(&str, ArrayRef)>, compression: Option<CompressionType>) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    let field = |(name, column): &(&str, ArrayRef)| Field::new(*name, column.data_type().clone(), true);
    let schema = Arc::new(Schema::new(columns.iter().map(field).collect::<Vec<_>>()));
    let columns = columns.into_iter().map(|(_, column)| column).collect();
    let batch = RecordBatch::try_new(schema.clone(), columns).unwrap();
    let options = IpcWriteOptions::default().try_with_compression(compression).unwrap();
    let file = std::fs::File::create(path).unwrap();
    let mut writer = FileWriter::try_new_with_options(file, &schema, options).unwrap();
    writer.write(&batch).unwrap();
    writer.finish().unwrap();
}

fn numbers(values: impl Iterator<Item = f64>) -> ArrayRef {
    Arc::new(Float64Array::from_iter_values(values))
}

fn whole(values: impl Iterator<Item = i64>) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values(values))
}

/// A car that drives ahead at 10 m/s, seen from one that follows at 4 m/s along the city's y axis, and a bollard beside the street.
fn log(dir: &Path) {
    // Track, category, where it is ahead of the car, left of it and above the road, and how large.
    type Body = (&'static str, &'static str, fn(f64) -> [f64; 3], [f64; 3]);
    let bodies: [Body; 2] = [
        ("car", "REGULAR_VEHICLE", |at_s| [20.0 + 6.0 * at_s, 2.0, 1.0], [4.0, 2.0, 2.0]),
        ("post", "BOLLARD", |at_s| [30.0 - 4.0 * at_s, 5.0, 0.5], [0.3, 0.3, 1.0]),
    ];
    let rows: Vec<(i64, &Body)> =
        (0..SWEEPS).flat_map(|sweep| bodies.iter().map(move |body| (sweep, body))).collect();
    let place =
        |axis: usize| numbers(rows.iter().map(move |(sweep, body)| body.2(*sweep as f64 / 10.0)[axis]));
    let size = |axis: usize| numbers(rows.iter().map(move |(_, body)| body.3[axis]));
    let one = |value: f64| numbers(rows.iter().map(move |_| value));
    let categories: DictionaryArray<Int32Type> = rows.iter().map(|(_, body)| body.1).collect();
    table(
        &dir.join("annotations.feather"),
        vec![
            ("timestamp_ns", whole(rows.iter().map(|(sweep, _)| sweep_ns(*sweep)))),
            ("track_uuid", Arc::new(StringArray::from_iter_values(rows.iter().map(|(_, body)| body.0)))),
            ("category", Arc::new(categories)),
            ("length_m", size(0)),
            ("width_m", size(1)),
            ("height_m", size(2)),
            ("qw", one(1.0)),
            ("qx", one(0.0)),
            ("qy", one(0.0)),
            ("qz", one(0.0)),
            ("tx_m", place(0)),
            ("ty_m", place(1)),
            ("tz_m", place(2)),
            ("num_interior_pts", whole(rows.iter().map(|_| 9))),
        ],
        Some(CompressionType::LZ4_FRAME),
    );
    let mut times_ns: Vec<i64> = (0..SWEEPS).map(sweep_ns).chain((0..2 * SWEEPS).map(picture_ns)).collect();
    times_ns.sort_unstable();
    poses(dir, &times_ns);
    let names = || Arc::new(StringArray::from_iter_values(["ring_rear_left", "ring_front_center"]));
    let two = |first: f64, second: f64| numbers([first, second].into_iter());
    table(
        &dir.join("calibration/intrinsics.feather"),
        vec![
            ("sensor_name", names()),
            ("fx_px", two(7.0, 100.0)),
            ("fy_px", two(7.0, 100.0)),
            ("cx_px", two(7.0, 80.0)),
            ("cy_px", two(7.0, 45.0)),
            ("k1", two(0.3, 0.2)),
            ("k2", two(0.3, 0.2)),
            ("k3", two(0.3, 0.2)),
            ("height_px", Arc::new(UInt16Array::from(vec![9, 90]))),
            ("width_px", Arc::new(UInt16Array::from(vec![9, 160]))),
        ],
        None,
    );
    table(
        &dir.join("calibration/egovehicle_SE3_sensor.feather"),
        vec![
            ("sensor_name", names()),
            ("qw", two(1.0, 0.5)),
            ("qx", two(0.0, -0.5)),
            ("qy", two(0.0, 0.5)),
            ("qz", two(0.0, -0.5)),
            ("tx_m", two(0.0, 1.5)),
            ("ty_m", two(0.0, 0.0)),
            ("tz_m", two(0.0, 1.5)),
        ],
        Some(CompressionType::ZSTD),
    );
    let pictures = dir.join("sensors/cameras/ring_front_center");
    std::fs::create_dir_all(&pictures).unwrap();
    for picture in 0..2 * SWEEPS {
        std::fs::write(pictures.join(format!("{}.jpg", picture_ns(picture))), "").unwrap();
    }
}

/// The way of the car that films, known at these times.
fn poses(dir: &Path, times_ns: &[i64]) {
    let half = std::f64::consts::FRAC_1_SQRT_2;
    let one = |value: f64| numbers(times_ns.iter().map(move |_| value));
    let ahead = times_ns.iter().map(|at_ns| 200.0 + 4.0 * (at_ns - START_NS) as f64 / 1e9);
    table(
        &dir.join("city_SE3_egovehicle.feather"),
        vec![
            ("timestamp_ns", whole(times_ns.iter().copied())),
            ("qw", one(half)),
            ("qx", one(0.0)),
            ("qy", one(0.0)),
            ("qz", one(half)),
            ("tx_m", one(100.0)),
            ("ty_m", numbers(ahead)),
            ("tz_m", one(0.0)),
        ],
        None,
    );
}

fn read(change: &dyn Fn(&Path)) -> Result<Made> {
    let dir = tempfile::tempdir().unwrap();
    log(&dir.path().join("log-a"));
    change(&dir.path().join("log-a"));
    let cfg = ArgoverseConfig { root: dir.path().to_owned(), camera: "ring_front_center".to_owned() };
    Argoverse::open(&cfg)?.read(0)
}

#[test]
fn ways_are_those_of_the_city_and_not_of_the_car() {
    let clip = read(&|_| ()).unwrap().clip.unwrap();
    assert_eq!((clip.clip_id.as_str(), clip.up, clip.times_s.len()), ("log-a", Up::Z, 13));
    assert_eq!(clip.frames[1], format!("log-a/sensors/cameras/ring_front_center/{}.jpg", picture_ns(10)));
    assert_eq!(clip.objects.len(), 1, "a bollard goes nowhere");
    // 10 m/s for 6 s; past the car that films it would be 36 m.
    let (distance_m, speed_kmh) = travel(&clip, "REGULAR_VEHICLE");
    near(&[distance_m, speed_kmh], &[60.0, 36.0], 1e-6);
    near(&object(&clip, "REGULAR_VEHICLE").xyz[2].unwrap(), &[98.0, 230.0, 1.0], 1e-9);
}

#[test]
fn boxes_are_seen_from_where_the_car_is_when_the_picture_is_taken() {
    let clip = read(&|_| ()).unwrap().clip.unwrap();
    // Ten milliseconds after the sweep the camera is at 1.54 m; the car's rear is at 18 m, its front at 22 m.
    let expected = [80.0 - 300.0 / 16.46, 45.0 - 50.0 / 16.46, 80.0 - 100.0 / 20.46, 45.0 + 150.0 / 16.46];
    near(&object(&clip, "REGULAR_VEHICLE").boxes[0].unwrap(), &expected, 1e-6);
}

#[test]
fn of_a_log_with_a_hole_the_longest_stretch_is_kept() {
    let made = read(&|log| {
        for picture in 38..50 {
            let name = format!("sensors/cameras/ring_front_center/{}.jpg", picture_ns(picture));
            std::fs::remove_file(log.join(name)).unwrap();
        }
    })
    .unwrap();
    // Pictures from 1.91 s to 2.46 s are gone: the fifth moment has none.
    let clip = made.clip.unwrap();
    assert_eq!((clip.times_s.len(), clip.times_s[0], made.notes[0].kind.as_str()), (8, 0.0, "hole"));
    near(&[travel(&clip, "REGULAR_VEHICLE").0], &[35.0], 1e-6);
}

#[test]
fn what_is_missing_or_does_not_fit_is_named() {
    let said = |change: &dyn Fn(&Path)| read(change).unwrap_err().to_string();
    let error =
        said(&|log| poses(log, &(0..SWEEPS).filter(|sweep| *sweep != 20).map(sweep_ns).collect::<Vec<_>>()));
    assert!(
        error.contains("city_SE3_egovehicle.feather") && error.contains(&sweep_ns(20).to_string()),
        "{error}"
    );
    let error = said(&|log| std::fs::write(log.join("annotations.feather"), "FEA1").unwrap());
    assert!(error.contains("annotations.feather"), "{error}");
    let error = said(&|log| std::fs::remove_file(log.join("calibration/intrinsics.feather")).unwrap());
    assert!(error.contains("intrinsics.feather"), "{error}");
    let error = said(&|log| {
        let other = vec![("timestamp_ns", whole(0..3)), ("qw", numbers([1.0, f64::NAN, 1.0].into_iter()))];
        table(&log.join("city_SE3_egovehicle.feather"), other, None);
    });
    assert!(error.contains("row 1") && error.contains("qw"), "{error}");
    let error = said(&|log| {
        table(&log.join("city_SE3_egovehicle.feather"), vec![("timestamp_ns", whole(0..3))], None);
    });
    assert!(error.contains("no column qw"), "{error}");
}
