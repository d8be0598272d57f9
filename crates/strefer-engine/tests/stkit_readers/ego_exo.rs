//! Ego-Exo4D.

use std::fmt::Write;
use std::path::Path;

use image::RgbImage;
use strefer_core::PixelBox;
use strefer_engine::Result;
use strefer_engine::stkit::readers::ego_exo::{EgoExo, EgoExoConfig};
use strefer_engine::stkit::readers::{Made, Reader};
use strefer_engine::stkit::{Clip, Up};

use super::npy::{frame, masklet, records};
use super::{near, travel};

const TAKE: &str = "park_01_2";
const FRAMES: usize = 180;
/// Height and width of the video; a tenth of what the camera was calibrated for.
const SIZE: (usize, usize) = (36, 64);
/// The take begins with the row after this one.
const FIRST_ROW: usize = 100;

const CALIBS: &str = "cam_uid,graph_uid,tx_world_cam,ty_world_cam,tz_world_cam,qx_world_cam,qy_world_cam,qz_world_cam,\
    qw_world_cam,image_width,image_height,intrinsics_type,intrinsics_0,intrinsics_1,intrinsics_2,intrinsics_3,intrinsics_4,\
    intrinsics_5,intrinsics_6,intrinsics_7,start_frame_idx,end_frame_idx\n";

/// The column in which a runner is seen: 3 m/s to the right, 10 m left of a camera 12 m away at first.
fn column(frame: usize) -> f64 {
    let right_m = 0.1 * frame as f64 - 10.0;
    32.0 + 20.0 * (right_m / 12.0).atan()
}

fn dataset(root: &Path) {
    let take = root.join("takes").join(TAKE);
    std::fs::create_dir_all(take.join("trajectory")).unwrap();
    let video = take.join("frame_aligned_videos/cam01");
    std::fs::create_dir_all(&video).unwrap();
    for number in 0..FRAMES {
        RgbImage::new(SIZE.1 as u32, SIZE.0 as u32).save(video.join(format!("{number}.png"))).unwrap();
    }
    let takes = format!(
        r#"[{{"take_name": "{TAKE}", "root_dir": "takes/{TAKE}", "timesync_start_idx": {FIRST_ROW}, "timesync_end_idx": 900,
            "capture": {{"capture_name": "park_01"}}}}, {{"take_name": "not_there_1", "timesync_start_idx": 0}}]"#
    );
    std::fs::write(root.join("takes.json"), takes).unwrap();
    let capture = root.join("captures/park_01");
    std::fs::create_dir_all(&capture).unwrap();
    let mut clock = "cam01_frame,aria01_214-1_capture_timestamp_ns\n".to_owned();
    for row in 0..400_u64 {
        writeln!(clock, "{row},{}", 5_000_000_000 + row * 100_000_000 / 3).unwrap();
    }
    std::fs::write(capture.join("timesync.csv"), clock).unwrap();
    // The glasses' own clock: 3 m/s from the video's first frame on, a position every ten milliseconds, some of them bad.
    let start_us = 5_000_000 + (FIRST_ROW as i64 + 1) * 100_000 / 3;
    let mut way =
        "graph_uid,tracking_timestamp_us,tx_world_device,ty_world_device,tz_world_device,gravity_x_world,\
        gravity_y_world,gravity_z_world,quality_score\n"
            .to_owned();
    for step in -50..700 {
        let (at_us, x) = (start_us + step * 10_000, 0.03 * step as f64);
        let (x, quality) = if step % 7 == 3 { (x + 40.0, 0.2) } else { (x, 1.0) };
        writeln!(way, "w,{at_us},{x},0,1.6,0,0,-9.81,{quality}").unwrap();
    }
    std::fs::write(take.join("trajectory/closed_loop_trajectory.csv"), way).unwrap();
    // It looks along y from 12 m away, 10 m to the right of where the runner starts.
    let row = "cam01,w,10,-12,1.6,-0.7071067811865476,0,0,0.7071067811865476,640,360,KANNALABRANDTK3,200,200,320,180,0,0,0,0,-1,-1\n";
    std::fs::write(take.join("trajectory/gopro_calibs.csv"), format!("{CALIBS}{row}")).unwrap();
    let seen = |x0: usize, x1: usize| frame(SIZE.0, SIZE.1, PixelBox { x0, y0: 10, x1, y1: 26 });
    let keys = || (0..FRAMES as u32).step_by(15);
    let runner = keys().map(|key| {
        let middle = column(key as usize).round() as usize;
        (key, seen(middle - 3, middle + 3))
    });
    let objects = vec![
        (masklet("e0", keys().map(|key| (key, seen(0, 64)))), "crowd"),
        (masklet("e1", runner), "person"),
        (masklet("e2", keys().map(|key| (key, seen(56, 62)))), "person"),
    ];
    records(&root.join("records"), &[("park_01_2/cam01", objects)]);
}

fn config(root: &Path) -> EgoExoConfig {
    let text = format!(r#"{{"root": {root:?}, "masklets": {:?}}}"#, root.join("records"));
    serde_json::from_str(&text).unwrap()
}

fn read(change: &dyn Fn(&Path)) -> Result<Made> {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    change(dir.path());
    EgoExo::open(&config(dir.path()))?.read(0)
}

fn clip() -> Clip {
    read(&|_| ()).unwrap().clip.unwrap()
}

#[test]
fn the_wearer_goes_as_far_as_the_glasses_say_on_the_clock_of_the_video() {
    let clip = clip();
    assert_eq!((clip.clip_id.as_str(), clip.up, clip.size), ("park_01_2/cam01", Up::Z, Some((36, 64))));
    assert_eq!(clip.frames[2], "takes/park_01_2/frame_aligned_videos/cam01#30");
    assert_eq!(clip.times_s.len(), 12);
    // 3 m/s for 5.5 s; rows of bad quality lie 40 m off.
    let (distance_m, speed_kmh) = travel(&clip, "person");
    near(&[distance_m, speed_kmh], &[16.5, 10.8], 1e-3);
    near(&clip.objects[0].xyz[2].unwrap(), &[3.0, 0.0, 1.6], 1e-3);
}

#[test]
fn the_box_is_the_smallest_that_holds_the_glasses() {
    let clip = clip();
    for (at, bbox) in clip.objects[0].boxes.iter().enumerate() {
        let middle = column(15 * at).round();
        assert_eq!(*bbox, Some([middle - 3.0, 10.0, middle + 3.0, 26.0]), "{at}");
    }
    // At first atan(10 / 12) = 0.694738 left of the middle, 20 pixels a radian.
    near(&[column(0)], &[32.0 - 13.894_76], 1e-4);
}

#[test]
fn what_does_not_belong_together_is_named() {
    let take = |root: &Path| root.join("takes").join(TAKE).join("trajectory");
    let said = |change: &dyn Fn(&Path)| read(change).unwrap_err().to_string();
    let error = said(&|root| {
        let path = take(root).join("gopro_calibs.csv");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("cam01,w,", "cam01,another,")).unwrap();
    });
    assert!(error.contains("closed_loop_trajectory.csv") && error.contains("another"), "{error}");
    let error = said(&|root| {
        let path = root.join("captures/park_01/timesync.csv");
        let text = std::fs::read_to_string(&path).unwrap();
        std::fs::write(path, text.replace("aria01_214-1", "aria02_214-1")).unwrap();
    });
    assert!(error.contains("timesync.csv") && error.contains("aria01_214-1"), "{error}");
    let error = said(&|root| std::fs::remove_file(root.join("records/masklets.jsonl")).unwrap());
    assert!(error.contains("park_01_2/cam01") && error.contains("masklets"), "{error}");
    let error = said(&|root| {
        let path = root.join("takes").join(TAKE).join("frame_aligned_videos/cam01");
        for number in 0..FRAMES {
            RgbImage::new(128, 72).save(path.join(format!("{number}.png"))).unwrap();
        }
    });
    assert!(error.contains("its masks are 64x36, its frames 128x72"), "{error}");
    let error = said(&|root| std::fs::write(root.join("takes.json"), "[]").unwrap());
    assert!(error.contains("takes.json"), "{error}");
    let error = said(&|root| {
        let text =
            format!("{CALIBS}cam02,w,0,0,0,0,0,0,1,640,360,KANNALABRANDTK3,200,200,320,180,0,0,0,0,-1,-1\n");
        std::fs::write(take(root).join("gopro_calibs.csv"), text).unwrap();
    });
    // The only camera is another, and no record is about its video.
    assert!(error.contains("cam02"), "{error}");
}
