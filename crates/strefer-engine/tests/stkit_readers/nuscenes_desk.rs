//! A small nuScenes: a street that leads along the world's y axis, a car that films it, others that use it.

use std::path::{Path, PathBuf};

use image::RgbImage;
use serde_json::{Value, json};

/// Keyframes of a scene.
pub const SAMPLES: usize = 12;

/// Height and width of pictures.
pub const SIZE: (u32, u32) = (90, 160);

/// Between a keyframe and the picture that belongs to it.
pub const LATE_S: f64 = 0.02;

/// What is on the street: forward, left and up in metres, at a second.
pub struct Body {
    pub category: &'static str,
    pub way: fn(f64) -> [f64; 3],
    /// Width, length, height.
    pub size: [f64; 3],
    pub visibility: &'static str,
}

/// A car that drives ahead at 10 m/s, one that turns right after two seconds, somebody who walks, a cone.
pub const STREET: [Body; 4] = [
    Body {
        category: "vehicle.car",
        way: |at_s| [20.0 + 10.0 * at_s, 2.0, 1.0],
        size: [2.0, 4.0, 2.0],
        visibility: "4",
    },
    Body {
        category: "vehicle.truck",
        way: |at_s| {
            let turned_s = (at_s - 2.0).max(0.0);
            [25.0 + 6.0 * (at_s - turned_s), -2.0 - 6.0 * turned_s, 1.5]
        },
        size: [2.5, 6.0, 3.0],
        visibility: "3",
    },
    Body {
        category: "human.pedestrian.adult",
        way: |at_s| [30.0 + 4.0 * at_s, 3.0 - at_s, 1.0],
        size: [1.0, 1.0, 2.0],
        visibility: "1",
    },
    Body {
        category: "movable_object.trafficcone",
        way: |_| [30.0, 4.0, 0.5],
        size: [0.5, 0.5, 1.0],
        visibility: "4",
    },
];

/// The car that films goes at 4 m/s.
pub fn ego_m(at_s: f64) -> f64 {
    4.0 * at_s
}

/// Where the street's forward and left are in the world.
pub fn in_world([forward, left, up]: [f64; 3]) -> [f64; 3] {
    [100.0 - left, 200.0 + forward, up]
}

/// A quarter turn to the left: from forward and left to the world.
pub fn street_turn() -> [f64; 4] {
    let half = std::f64::consts::FRAC_1_SQRT_2;
    [half, 0.0, 0.0, half]
}

/// Tables being written.
pub struct Desk {
    pub root: PathBuf,
    tables: std::collections::BTreeMap<&'static str, Vec<Value>>,
}

impl Desk {
    /// Nothing but sensors and categories.
    pub fn new(root: &Path) -> Self {
        let mut desk = Self { root: root.to_owned(), tables: Default::default() };
        for table in [
            "scene",
            "sample",
            "sample_annotation",
            "instance",
            "category",
            "sample_data",
            "calibrated_sensor",
            "sensor",
            "ego_pose",
        ] {
            desk.tables.insert(table, Vec::new());
        }
        desk.add("sensor", "cam", json!({"channel": "CAM_FRONT", "modality": "camera"}));
        desk.add("sensor", "lidar", json!({"channel": "LIDAR_TOP", "modality": "lidar"}));
        let camera = json!({
            "sensor_token": token("sensor cam"),
            "translation": [1.5, 0.0, 1.5],
            "rotation": [0.5, -0.5, 0.5, -0.5],
            "camera_intrinsic": [[100.0, 0.0, 80.0], [0.0, 100.0, 45.0], [0.0, 0.0, 1.0]],
        });
        desk.add("calibrated_sensor", "cam", camera);
        let lidar = json!({
            "sensor_token": token("sensor lidar"), "translation": [0.0, 0.0, 2.0], "rotation": [1.0, 0.0, 0.0, 0.0],
            "camera_intrinsic": [],
        });
        desk.add("calibrated_sensor", "lidar", lidar);
        for body in &STREET {
            desk.add("category", body.category, json!({"name": body.category, "description": "…"}));
        }
        desk
    }

    fn add(&mut self, table: &'static str, name: &str, mut row: Value) -> String {
        let own = token(&format!("{table} {name}"));
        row["token"] = own.clone().into();
        self.tables.get_mut(table).expect("it is a table").push(row);
        own
    }

    /// A scene with its pictures; keyframes are a little late now and then.
    pub fn scene(&mut self, name: &str) {
        let sample = |at: usize| format!("{name} {at}");
        let start_us: i64 = 1_500_000_000_000_000;
        let at_us = |at: usize| start_us + 500_000 * at as i64;
        let row = json!({
            "name": name, "nbr_samples": SAMPLES, "log_token": "", "description": "",
            "first_sample_token": token(&format!("sample {}", sample(0))),
            "last_sample_token": token(&format!("sample {}", sample(SAMPLES - 1))),
        });
        let scene = self.add("scene", name, row);
        let pictures = self.root.join("samples/CAM_FRONT");
        std::fs::create_dir_all(&pictures).unwrap();
        for (id, body) in STREET.iter().enumerate() {
            let row = json!({"category_token": token(&format!("category {}", body.category)), "nbr_annotations": SAMPLES});
            self.add("instance", &format!("{name} {id}"), row);
        }
        for at in 0..SAMPLES {
            let at_s = at as f64 * 0.5;
            let link = |at: Option<usize>| match at.filter(|at| *at < SAMPLES) {
                Some(at) => token(&format!("sample {}", sample(at))),
                None => String::new(),
            };
            let row = json!({
                "timestamp": at_us(at), "scene_token": scene, "next": link(Some(at + 1)), "prev": link(at.checked_sub(1)),
            });
            let own = self.add("sample", &sample(at), row);
            // The picture is taken later, from where the car is then.
            let pose = json!({
                "translation": in_world([ego_m(at_s + LATE_S), 0.0, 0.0]), "rotation": street_turn(),
                "timestamp": at_us(at) + 20_000,
            });
            let pose = self.add("ego_pose", &sample(at), pose);
            let file = format!("samples/CAM_FRONT/{name}-{at:02}.jpg");
            let shade = image::Rgb([90, 90, 10 * at as u8]);
            RgbImage::from_pixel(SIZE.1, SIZE.0, shade).save(self.root.join(&file)).unwrap();
            let row = json!({
                "sample_token": own, "ego_pose_token": pose, "calibrated_sensor_token": token("calibrated_sensor cam"),
                "filename": file, "width": SIZE.1, "height": SIZE.0, "timestamp": at_us(at) + 20_000,
                "is_key_frame": true, "fileformat": "jpg", "prev": "", "next": "",
            });
            self.add("sample_data", &format!("{} cam", sample(at)), row.clone());
            // Between keyframes, and of another sensor: neither counts.
            let mut sweep = row.clone();
            sweep["is_key_frame"] = false.into();
            sweep["filename"] = "sweeps/CAM_FRONT/x.jpg".into();
            self.add("sample_data", &format!("{} sweep", sample(at)), sweep);
            let mut lidar = row;
            lidar["calibrated_sensor_token"] = token("calibrated_sensor lidar").into();
            lidar["filename"] = "samples/LIDAR_TOP/x.bin".into();
            (lidar["width"], lidar["height"]) = (0.into(), 0.into());
            self.add("sample_data", &format!("{} lidar", sample(at)), lidar);
            for (id, body) in STREET.iter().enumerate() {
                let row = json!({
                    "sample_token": own, "instance_token": token(&format!("instance {name} {id}")),
                    "translation": in_world((body.way)(at_s)), "size": body.size, "rotation": street_turn(),
                    "visibility_token": body.visibility, "attribute_tokens": [], "num_lidar_pts": 9, "num_radar_pts": 0,
                    "prev": "", "next": "",
                });
                self.add("sample_annotation", &format!("{} {id}", sample(at)), row);
            }
        }
    }

    /// A row, to be changed.
    pub fn row(&mut self, table: &'static str, name: &str) -> &mut Value {
        let own = token(&format!("{table} {name}"));
        let rows = self.tables.get_mut(table).expect("it is a table");
        rows.iter_mut().find(|row| row["token"] == own.as_str()).expect("it is a row")
    }

    /// Takes a row out.
    pub fn drop(&mut self, table: &'static str, name: &str) {
        let own = token(&format!("{table} {name}"));
        self.tables.get_mut(table).expect("it is a table").retain(|row| row["token"] != own.as_str());
    }

    /// Writes all tables.
    pub fn write(&self) {
        let dir = self.root.join("v1.0-mini");
        std::fs::create_dir_all(&dir).unwrap();
        for (table, rows) in &self.tables {
            std::fs::write(dir.join(format!("{table}.json")), serde_json::to_vec(rows).unwrap()).unwrap();
        }
    }
}

/// 32 hexadecimal digits that follow from a name.
pub fn token(name: &str) -> String {
    let (mut low, mut high) = (0xcbf2_9ce4_8422_2325_u64, 0x9e37_79b9_7f4a_7c15_u64);
    for byte in name.bytes() {
        low = (low ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3);
        high = (high ^ low).rotate_left(23).wrapping_mul(0x0dad_f00d_1234_5671);
    }
    format!("{low:016x}{high:016x}")
}
