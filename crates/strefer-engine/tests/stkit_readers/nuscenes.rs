//! nuScenes.

use strefer_engine::Result;
use strefer_engine::stkit::readers::nuscenes::{Nuscenes, NuscenesConfig};
use strefer_engine::stkit::readers::{Made, Reader};
use strefer_engine::stkit::{Clip, Up};

use super::nuscenes_desk::{Desk, SAMPLES, token};
use super::{near, object, travel};

fn desk(change: &dyn Fn(&mut Desk)) -> (tempfile::TempDir, NuscenesConfig) {
    let dir = tempfile::tempdir().unwrap();
    let mut desk = Desk::new(dir.path());
    for scene in ["scene-0001", "scene-0002"] {
        desk.scene(scene);
    }
    change(&mut desk);
    desk.write();
    let cfg = NuscenesConfig {
        root: dir.path().to_owned(),
        version: "v1.0-mini".to_owned(),
        channel: "CAM_FRONT".to_owned(),
        least_visibility: 2,
    };
    (dir, cfg)
}

fn read(change: &dyn Fn(&mut Desk), recording: usize) -> Result<Made> {
    let (_dir, cfg) = desk(change);
    Nuscenes::open(&cfg)?.read(recording)
}

fn clip() -> Clip {
    read(&|_| (), 1).unwrap().clip.unwrap()
}

#[test]
fn ways_are_those_of_the_world_and_frames_those_of_the_camera() {
    let clip = clip();
    assert_eq!((clip.clip_id.as_str(), clip.up, clip.size), ("scene-0002", Up::Z, Some((90, 160))));
    assert_eq!(clip.frames[3], "samples/CAM_FRONT/scene-0002-03.jpg");
    assert_eq!(clip.times_s, (0..SAMPLES).map(|at| at as f64 * 0.5).collect::<Vec<_>>());
    // 10 m/s for 5.5 s. Past the car that films, which goes at 4 m/s, it would be 33 m.
    let (distance_m, speed_kmh) = travel(&clip, "vehicle.car");
    near(&[distance_m, speed_kmh], &[55.0, 36.0], 1e-9);
    clip.validate().unwrap();
}

#[test]
fn boxes_are_seen_from_where_the_car_is_when_the_picture_is_taken() {
    let clip = clip();
    // The camera is 1.5 m before and above the car's origin, which is at 0.08 m when the first picture is taken. The car ahead is 2 m
    // wide, 4 long and 2 high, with its middle at 20 m, 2 m to the left: from 16.42 to 20.42 m ahead of the camera, 1 to 3 m
    // left of it, from 1.5 m below to 0.5 m above it. 100 pixels are a metre at one metre, the middle is (80, 45).
    let expected = [80.0 - 300.0 / 16.42, 45.0 - 50.0 / 16.42, 80.0 - 100.0 / 20.42, 45.0 + 150.0 / 16.42];
    near(&object(&clip, "vehicle.car").boxes[0].unwrap(), &expected, 1e-9);
    // Five seconds later the car is at 70 m and the other at 20.08 m: 46.42 m away.
    let later = object(&clip, "vehicle.car").boxes[10].unwrap();
    near(&[later[0], later[3]], &[80.0 - 300.0 / 46.42, 45.0 + 150.0 / 46.42], 1e-9);
}

#[test]
fn what_can_hardly_be_seen_has_no_box_and_what_cannot_move_is_no_object() {
    let clip = clip();
    let categories: Vec<&str> = clip.objects.iter().map(|object| object.category.as_str()).collect();
    assert!(!categories.contains(&"movable_object.trafficcone"));
    // Nobody sees 60 % of the pedestrian.
    assert!(!categories.contains(&"human.pedestrian.adult"), "{categories:?}");
    let (_dir, cfg) = desk(&|_| ());
    let all = Nuscenes::open(&NuscenesConfig { least_visibility: 1, ..cfg }).unwrap().read(0).unwrap();
    assert!(object(&all.clip.unwrap(), "human.pedestrian.adult").boxes[0].is_some());
}

#[test]
fn a_bad_row_spoils_its_scene_and_no_other() {
    type Change = fn(&mut Desk);
    let wrong: [(Change, &str, &str); 7] = [
        (
            |desk| desk.row("sample_annotation", "scene-0001 4 0")["size"] = "large".into(),
            "sample_annotation.json",
            "sample_annotation scene-0001 4 0",
        ),
        (
            |desk| {
                desk.row("sample_annotation", "scene-0001 4 0")["rotation"] = serde_json::json!([0, 0, 0, 0])
            },
            "sample_annotation.json",
            "sample_annotation scene-0001 4 0",
        ),
        (|desk| desk.drop("ego_pose", "scene-0001 7"), "ego_pose.json", "ego_pose scene-0001 7"),
        (|desk| desk.drop("sample", "scene-0001 7"), "sample.json", "sample scene-0001 7"),
        (|desk| desk.drop("sample_data", "scene-0001 7 cam"), "sample_data.json", "sample scene-0001 7"),
        (|desk| desk.drop("instance", "scene-0001 1"), "instance.json", "instance scene-0001 1"),
        (
            |desk| {
                *desk.row("sample", "scene-0001 2") =
                    serde_json::json!({"token": token("sample scene-0001 2")})
            },
            "sample.json",
            "sample scene-0001 2",
        ),
    ];
    for (change, file, row) in wrong {
        let error = read(&change, 0).expect_err(row).to_string();
        assert!(error.contains(file) && error.contains(&token(row)), "{row}: {error}");
        assert!(read(&change, 1).is_ok(), "{row}");
    }
}

#[test]
fn a_chain_that_does_not_hold_what_its_scene_says_is_refused() {
    let error = read(&|desk| desk.row("scene", "scene-0001")["nbr_samples"] = 30.into(), 0).unwrap_err();
    assert!(error.to_string().contains("scene-0001") && error.to_string().contains("30"), "{error}");
    // A chain that turns back on itself ends.
    let turned = |desk: &mut Desk| {
        desk.row("sample", "scene-0001 5")["next"] = token("sample scene-0001 2").into();
    };
    assert!(read(&turned, 0).is_err());
}

#[test]
fn tables_that_are_missing_or_cut_off_and_channels_that_are_none_are_named() {
    let (dir, cfg) = desk(&|_| ());
    let other = NuscenesConfig { channel: "CAM_TOP".to_owned(), ..cfg.clone() };
    let error = Nuscenes::open(&other).unwrap().read(0).unwrap_err().to_string();
    assert!(error.contains("CAM_TOP"), "{error}");
    let tables = dir.path().join("v1.0-mini");
    std::fs::write(tables.join("ego_pose.json"), "[{\"token\": ").unwrap();
    let reader = Nuscenes::open(&cfg).unwrap();
    for scene in 0..2 {
        assert!(reader.read(scene).unwrap_err().to_string().contains("ego_pose.json"));
    }
    std::fs::remove_file(tables.join("instance.json")).unwrap();
    assert!(Nuscenes::open(&cfg).err().unwrap().to_string().contains("instance.json"));
}
