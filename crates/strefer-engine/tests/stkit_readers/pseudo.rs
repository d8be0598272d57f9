//! Videos lifted from masks and depth: a plate moves before a wall, filmed by a camera that moves, too.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use image::RgbImage;
use strefer_core::PixelBox;
use strefer_core::records::{Masklet, MaskletFrame};
use strefer_engine::Result;
use strefer_engine::stkit::Clip;
use strefer_engine::stkit::clip::{ClipObject, Source};
use strefer_engine::stkit::readers::pseudo::{Pseudo, PseudoConfig};
use strefer_engine::stkit::readers::{Made, Reader};
use strefer_engine::stkit::vector::Up;
use strefer_nn::testing::device;

use super::npy::{frame, masklet, records, write};
use super::travel;

/// Height and width of the video, twice those of its depth.
const SIZE: (usize, usize) = (192, 1024);
const DEPTH_SIZE: (usize, usize) = (96, 512);
pub const FRAMES: usize = 12;
/// Metres for one unit of depth.
const SCALE: f64 = 2.5;
/// Focal length and middle of the video's camera.
const FOCAL: f64 = 512.0;
const MIDDLE: (f64, f64) = (95.5, 511.5);
const WALL_M: f64 = 70.0;

/// The camera goes ahead at 1 m/s.
fn camera_m(at: usize) -> f64 {
    0.5 * at as f64
}

/// A plate of 3 m goes right at 3 m/s and ahead at 4 m/s.
fn plate(at: usize) -> [f64; 3] {
    let at_s = 0.5 * at as f64;
    [3.0 * at_s - 6.0, 0.0, 15.0 + 4.0 * at_s]
}

/// The pixels that show the plate.
fn seen(at: usize) -> PixelBox {
    let [x, y, z] = plate(at);
    let ahead = z - camera_m(at);
    let pixel = |middle: f64, off: f64| middle + FOCAL * off / ahead;
    let first = |edge: f64| edge.ceil() as usize;
    PixelBox {
        x0: first(pixel(MIDDLE.1, x - 1.5)),
        x1: first(pixel(MIDDLE.1, x + 1.5)),
        y0: first(pixel(MIDDLE.0, y - 1.5)),
        y1: first(pixel(MIDDLE.0, y + 1.5)),
    }
}

fn holds(area: PixelBox, y: usize, x: usize) -> bool {
    (area.x0..area.x1).contains(&x) && (area.y0..area.y1).contains(&y)
}

/// Depth in metres at a pixel of the video.
fn depth_m(at: usize, y: usize, x: usize) -> f64 {
    if holds(seen(at), y, x) { plate(at)[2] - camera_m(at) } else { WALL_M - camera_m(at) }
}

/// Noise that every run has alike, in -1 to 1.
fn noise(at: usize, y: usize, x: usize) -> f64 {
    let mixed = (at * 7919 + y * 104_729 + x * 1_299_709) % 2003;
    mixed as f64 / 1001.0 - 1.0
}

/// A video with its depth; metric depth is `factor` too large in each frame.
pub fn video(root: &Path, name: &str, factor: &dyn Fn(usize) -> f64) -> Vec<(Masklet, &'static str)> {
    let (film, depth) = (root.join("videos").join(name), root.join("geometry").join(name));
    std::fs::create_dir_all(&film).unwrap();
    std::fs::create_dir_all(&depth).unwrap();
    let (mut traj, mut intrinsics) = (String::new(), String::new());
    for at in 0..FRAMES {
        RgbImage::new(SIZE.1 as u32, SIZE.0 as u32).save(film.join(format!("{at}.png"))).unwrap();
        writeln!(traj, "{at}.0 0.0 0.0 {} 1.0 0.0 0.0 0.0", camera_m(at) / SCALE).unwrap();
        writeln!(intrinsics, "256 0 255.5 0 256 47.5 0 0 1").unwrap();
        // A pixel of the depth stands for four of the video.
        let (height, width) = DEPTH_SIZE;
        let relative = |y: usize, x: usize| (depth_m(at, 2 * y, 2 * x) / SCALE) as f32;
        write(&depth.join(format!("frame_{at:04}.npy")), height, width, relative);
        write(&depth.join(format!("conf_{at}.npy")), height, width, |y, _| if y < 2 { 1.0 } else { 3.0 });
        let metric =
            |y: usize, x: usize| (factor(at) * depth_m(at, y, x) * (1.0 + 0.05 * noise(at, y, x))) as f32;
        write(&depth.join(format!("metric_{at:04}.npy")), SIZE.0, SIZE.1, metric);
    }
    std::fs::write(depth.join("pred_traj.txt"), traj).unwrap();
    std::fs::write(depth.join("pred_intrinsics.txt"), intrinsics).unwrap();
    let mask = |area: PixelBox| frame(SIZE.0, SIZE.1, area);
    let ghost = |at: usize| {
        let x0 = if at.is_multiple_of(2) { 40 } else { 900 };
        mask(PixelBox { x0, y0: 20, x1: x0 + 60, y1: 80 })
    };
    let all = |make: &dyn Fn(usize) -> MaskletFrame| {
        (0..FRAMES).map(|at| (at as u32, make(at))).collect::<Vec<_>>().into_iter()
    };
    vec![(masklet("e0", all(&|at| mask(seen(at)))), "car"), (masklet("e1", all(&ghost)), "person")]
}

/// What is true of the plate.
pub fn truth(name: &str) -> Clip {
    Clip {
        clip_id: name.to_owned(),
        fps: 2.0,
        up: Up::MINUS_Y,
        size: None,
        frames: vec![String::new(); FRAMES],
        times_s: (0..FRAMES).map(|at| 0.5 * at as f64).collect(),
        objects: vec![ClipObject {
            id: "e0".to_owned(),
            category: "car".to_owned(),
            xyz: (0..FRAMES).map(|at| Some(plate(at))).collect(),
            boxes: vec![None; FRAMES],
            source: Source::Gt,
        }],
    }
}

/// As it is written in a run's file. The videos are folders of two frames a second.
pub fn config(root: &Path) -> PseudoConfig {
    let path = |name: &str| root.join(name).display().to_string();
    let text = serde_json::json!({
        "videos": path("videos"), "masklets": path("records"), "geometry": path("geometry"), "folder_fps": 2.0,
    });
    serde_json::from_value(text).unwrap()
}

fn read(change: &dyn Fn(&Path), more: &dyn Fn(&mut PseudoConfig)) -> Result<Made> {
    let dir = tempfile::tempdir().unwrap();
    let objects = video(dir.path(), "plate", &|_| 1.0);
    records(&dir.path().join("records"), &[("plate", objects)]);
    change(dir.path());
    let mut cfg = config(dir.path());
    more(&mut cfg);
    Pseudo::open(&cfg, device())?.read(0)
}

#[test]
fn a_plate_goes_as_far_as_it_does() {
    let made = read(&|_| (), &|_| ()).unwrap();
    let clip = made.clip.unwrap();
    assert_eq!((clip.clip_id.as_str(), clip.frames[3].as_str(), clip.up), ("plate", "plate#3", Up::MINUS_Y));
    // 5 m/s for 5.5 s. Without the camera's own way it would be 3 and 3 m/s: 23.3 m; without the scale 11 m.
    let (distance_m, speed_kmh) = travel(&clip, "car");
    assert!(
        (distance_m / 27.5 - 1.0).abs() < 0.01 && (speed_kmh / 18.0 - 1.0).abs() < 0.01,
        "{distance_m} m"
    );
    let object = &clip.objects[0];
    assert_eq!(object.source, Source::Pseudo);
    for (at, point) in object.xyz.iter().enumerate() {
        let found = point.expect("it is seen in every frame");
        let off = found.iter().zip(plate(at)).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt();
        assert!(off < 0.3, "frame {at}: {found:?}, not {:?}", plate(at));
    }
    let area = seen(3);
    assert_eq!(object.boxes[3], Some([area.x0, area.y0, area.x1, area.y1].map(|edge| edge as f64)));
}

#[test]
fn a_track_that_jumps_is_not_believed() {
    let made = read(&|_| (), &|_| ()).unwrap();
    let kinds: Vec<(&str, &str)> =
        made.notes.iter().map(|note| (note.about.as_str(), note.kind.as_str())).collect();
    assert_eq!(kinds[0], ("e0", "kept_track"));
    assert!(
        ["outliers", "speed", "acceleration", "jitter"].contains(&kinds[1].1) && kinds[1].0 == "e1",
        "{kinds:?}"
    );
    assert_eq!(made.clip.unwrap().objects.len(), 1);
}

#[test]
fn a_video_whose_scale_is_not_steady_is_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let objects = video(dir.path(), "plate", &|at| [1.0, 2.0, 0.4, 3.0][at % 4]);
    records(&dir.path().join("records"), &[("plate", objects)]);
    let made = Pseudo::open(&config(dir.path()), device()).unwrap().read(0).unwrap();
    assert_eq!(made.clip, None);
    assert!(
        made.notes[0].kind == "refused_video" && made.notes[0].text.contains("spread"),
        "{:?}",
        made.notes
    );
}

#[test]
fn what_is_missing_or_does_not_fit_is_named() {
    let depth = |root: &Path, name: &str| -> PathBuf { root.join("geometry/plate").join(name) };
    let said = |change: &dyn Fn(&Path)| read(change, &|_| ()).unwrap_err().to_string();
    for name in ["metric_0003.npy", "frame_0005.npy", "conf_0.npy", "pred_traj.txt", "pred_intrinsics.txt"] {
        let error = said(&|root| std::fs::remove_file(depth(root, name)).unwrap());
        assert!(error.contains(name), "{name}: {error}");
    }
    let error = said(&|root| write(&depth(root, "frame_0002.npy"), 48, 512, |_, _| 1.0));
    assert!(error.contains("frame_0002.npy") && error.contains("512x96"), "{error}");
    let error = said(&|root| write(&depth(root, "metric_0002.npy"), 48, 512, |_, _| 1.0));
    assert!(error.contains("metric_0002.npy"), "{error}");
    let error = said(&|root| std::fs::write(depth(root, "times.txt"), "0.0\n0.5\n").unwrap());
    assert!(error.contains("times.txt") && error.contains('2'), "{error}");
    let late: String = (0..FRAMES).map(|at| format!("{}\n", at as f64 * 2.0)).collect();
    let error = said(&|root| std::fs::write(depth(root, "times.txt"), &late).unwrap());
    assert!(error.contains("plate") && error.contains("has no frame at 8 s"), "{error}");
    let error = read(&|_| (), &|cfg| cfg.folder_fps = 2.3).unwrap_err().to_string();
    assert!(error.contains("plate") && error.contains("no frame"), "{error}");
}

/// A folder of a small model of depth; `kind` is that of its numbers.
fn model(root: &Path, kind: &str) -> PathBuf {
    let golden = &strefer_core::golden::dirs("depth_anything")[0];
    let dir = root.join("model");
    std::fs::create_dir_all(&dir).unwrap();
    let text = std::fs::read_to_string(golden.join("config.json")).unwrap();
    std::fs::write(dir.join("config.json"), text.replace("metric", kind)).unwrap();
    std::fs::copy(golden.join("weights.safetensors"), dir.join("model.safetensors")).unwrap();
    dir
}

#[test]
fn a_model_in_this_process_tells_depth_instead_of_files() {
    let dir = tempfile::tempdir().unwrap();
    let objects = video(dir.path(), "plate", &|_| 1.0);
    records(&dir.path().join("records"), &[("plate", objects)]);
    for at in 0..FRAMES {
        std::fs::remove_file(dir.path().join(format!("geometry/plate/metric_{at:04}.npy"))).unwrap();
    }
    let cfg = PseudoConfig { metric: Some(model(dir.path(), "metric")), ..config(dir.path()) };
    let made = Pseudo::open(&cfg, device()).unwrap().read(0).unwrap();
    // All pictures are black: the model says the same of each, while the camera goes ahead, so that scales spread a little. Its weights
    // are random: how far things are is its own idea, and which tracks are believed follows from it.
    let refused = made.notes.iter().any(|note| note.kind == "refused_video");
    assert!(made.clip.is_some() != refused, "{:?}", made.notes);
    let other = PseudoConfig { metric: Some(model(dir.path(), "relative")), ..config(dir.path()) };
    let error = Pseudo::open(&other, device()).err().unwrap().to_string();
    assert!(error.contains("not metres"), "{error}");
    model(dir.path(), "metric");
    std::fs::remove_file(dir.path().join("model/model.safetensors")).unwrap();
    let error = Pseudo::open(&cfg, device()).unwrap().read(0).unwrap_err().to_string();
    assert!(error.contains("model"), "{error}");
}
