//! Masklets go into the files of other tools and come back.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::{Value, json};
use strefer_core::masklet::FrameMap;
use strefer_core::records::{Masklet, MaskletFrame, Masklets};
use strefer_core::sample::Schema;
use strefer_core::tracks::{Format, ReadOptions, read, smaller_in_front, write};
use strefer_core::{FrameKey, IndexSpace, Mask, PixelBox, Rle, UniformRule};

const FPS: f64 = 8.0;

fn entry(mask: &Mask) -> MaskletFrame {
    let PixelBox { x0, y0, x1, y1 } = mask.bbox().unwrap();
    let bbox_xywh = [x0, y0, x1 - x0, y1 - y0].map(|side| side as u32);
    MaskletFrame { rle: Rle::from_mask(mask).into(), area: mask.area() as u64, bbox_xywh }
}

fn object(eid: &str, label: Option<&str>, frames: &[(u32, Mask)]) -> Masklet {
    let frames: FrameMap<MaskletFrame> =
        frames.iter().map(|(key, mask)| (FrameKey(*key), entry(mask))).collect();
    let detector_label = label.map(str::to_owned);
    Masklet {
        eid: eid.into(),
        detector_label,
        detector_score: None,
        box_start_xyxy: None,
        assign: None,
        confidence: None,
        gaps: Vec::new(),
        frames,
    }
}

fn masklets(video_id: &str, frames: usize, objects: Vec<Masklet>) -> Masklets {
    Masklets {
        schema: Schema::V1,
        video_id: video_id.into(),
        provenance: None,
        index_space: IndexSpace::Source,
        frame_times_s: (0..frames).map(|frame| frame as f64 / FPS).collect(),
        start_index: None,
        n_read: None,
        failure: None,
        objects,
    }
}

fn ring(x: usize, y: usize) -> Mask {
    let inside = |from: usize, at: usize, side: usize| (from..from + side).contains(&at);
    Mask::from_fn(12, 20, |row, column| {
        inside(y, row, 5) && inside(x, column, 6) && !(inside(y + 2, row, 1) && inside(x + 2, column, 2))
    })
}

/// Two objects with holes and gaps, apart from each other, at every fourth of 14 frames.
fn scene(labels: [Option<&str>; 2], names: [&str; 2]) -> Masklets {
    let first = [(0, ring(0, 0)), (4, ring(1, 1)), (12, ring(2, 2))];
    let second = [(4, ring(12, 3)), (8, ring(13, 6))];
    masklets("clip", 14, vec![object(names[0], labels[0], &first), object(names[1], labels[1], &second)])
}

fn options() -> ReadOptions {
    ReadOptions { fps: Some(FPS), size: None, video_id: None }
}

fn back(format: Format, file: &str, given: &[Masklets], options: &ReadOptions) -> Vec<Masklets> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(file);
    write(format, &path, given).unwrap();
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1, "nothing else is left behind");
    let mut found = read(format, &path, options).unwrap();
    if format == Format::LabelStudio {
        // Images tell objects in the order in which they appear.
        found.iter_mut().for_each(|one| one.objects.sort_by(|a, b| a.eid.cmp(&b.eid)));
    }
    found
}

fn survives(format: Format, file: &str, given: &Masklets, options: &ReadOptions) {
    let given = std::slice::from_ref(given);
    assert_eq!(back(format, file, given, options), given, "{format:?}");
}

#[test]
fn every_format_gives_back_what_it_can_say() {
    let plain = scene([None, None], ["e0", "e1"]);
    survives(Format::Sav, "a.json", &plain, &ReadOptions::default());
    survives(Format::Davis, "clip", &plain, &options());
    let named = scene([Some("dog"), None], ["e0", "the <second> & \"last\""]);
    survives(Format::Coco, "a.json", &named, &ReadOptions::default());
    survives(Format::Cvat, "clip.xml", &named, &options());
    let mut classes = scene([Some("car"), Some("class 7")], ["e1001", "e7003"]);
    survives(Format::MotsPng, "clip", &classes, &options());
    // Lines end with the last mask.
    classes.frame_times_s.truncate(13);
    survives(Format::MotsTxt, "clip.txt", &classes, &options());
    let mut labelled = scene([Some("a <dog>"), Some("ball")], ["e0", "e1 & so on"]);
    survives(Format::Cvat, "clip.xml", &labelled, &options());
    survives(Format::LabelStudio, "a.json", &labelled, &options());
    // Boxes come back as boxes, times from the length of the video.
    for object in &mut labelled.objects {
        for frame in object.frames.values_mut() {
            let [x, y, width, height] = frame.bbox_xywh.map(|side| side as usize);
            *frame = entry(&Mask::from_box(12, 20, PixelBox { x0: x, y0: y, x1: x + width, y1: y + height }));
        }
    }
    survives(Format::CvatBoxes, "clip.xml", &labelled, &options());
    survives(Format::LabelStudioBoxes, "a.json", &labelled, &ReadOptions::default());
}

#[test]
fn files_of_several_videos_give_them_in_order() {
    let two = [scene([Some("dog"), Some("cat")], ["e0", "e1"]), {
        let mut other = scene([Some("cat"), Some("dog")], ["e0", "e1"]);
        other.video_id = "folder/other".into();
        other
    }];
    assert_eq!(back(Format::Coco, "a.json", &two, &ReadOptions::default()), two);
    assert_eq!(back(Format::LabelStudio, "a.json", &two, &options()), two);
    for format in [Format::Sav, Format::Davis, Format::MotsPng, Format::MotsTxt, Format::Cvat] {
        let dir = tempfile::tempdir().unwrap();
        let error = write(format, &dir.path().join("a"), &two).unwrap_err().to_string();
        assert!(error.contains("2 videos"), "{error}");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
    #[test]
    fn any_masks_that_lie_apart_come_back(bits in proptest::collection::vec(0u8..3, 3 * 54)) {
        let mask = |frame: usize, whose: u8| Mask::from_fn(6, 9, |y, x| bits[frame * 54 + y * 9 + x] == whose);
        let frames = |whose: u8| -> Vec<(u32, Mask)> {
            let all = (0..3).map(|frame| (4 * frame as u32, mask(frame, whose)));
            all.filter(|(_, mask)| !mask.is_empty()).collect()
        };
        let objects = vec![object("e1001", Some("car"), &frames(1)), object("e2001", Some("pedestrian"), &frames(2))];
        prop_assume!(objects.iter().all(|object| !object.frames.is_empty()));
        let given = [masklets("clip", 9, objects)];
        for (format, file) in [
            (Format::Coco, "a.json"), (Format::MotsPng, "clip"), (Format::Cvat, "clip.xml"), (Format::LabelStudio, "a.json"),
        ] {
            prop_assert_eq!(&back(format, file, &given, &options())[..], &given[..]);
        }
    }
}

#[test]
fn measures_of_sa_v_are_those_of_its_masks() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    write(Format::Sav, &path, &[scene([None, None], ["e0", "e1"])]).unwrap();
    let file: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    assert_eq!(file["masklet"].as_array().unwrap().len(), 4, "frames 0, 4, 8 and 12");
    assert_eq!(file["masklet_size_abs"], json!([28.0, 28.0]));
    assert_eq!(file["masklet_visibility_changes"], json!([2, 1]));
    assert_eq!(file["masklet_first_appeared_frame"], json!([0.0, 1.0]));
    assert_eq!((&file["masklet_num"], &file["video_frame_count"]), (&json!(2), &json!(14.0)));
    assert_eq!(file["masklet_size_bucket"], json!(["small", "small"]));
}

fn said(format: Format, name: &str, content: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(name);
    fs::write(&path, content).unwrap();
    let error = read(format, &path, &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains(name), "the file is named: {error}");
    error
}

#[test]
fn other_tools_own_spellings_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.json");
    // A polygon, a track id among attributes, frames by the names of images.
    let coco = json!({
        "images": [{"id": 5, "width": 8, "height": 6, "file_name": "frame_000003.jpg"}],
        "categories": [{"id": 1, "name": "dog"}],
        "annotations": [
            {"id": 1, "image_id": 5, "category_id": 1, "area": 12, "bbox": [1, 1, 4, 3], "iscrowd": 0,
             "segmentation": [[1, 1, 5, 1, 5, 4, 1, 4]], "attributes": {"track_id": 7, "occluded": false}},
            {"id": 2, "image_id": 5, "category_id": 1, "area": 6, "bbox": [0, 0, 1, 6], "iscrowd": 1,
             "segmentation": {"size": [6, 8], "counts": [0, 6, 42]}}],
    });
    fs::write(&path, coco.to_string()).unwrap();
    let found = read(Format::Coco, &path, &ReadOptions::default()).unwrap().remove(0);
    let names: Vec<_> =
        found.objects.iter().map(|one| (one.eid.as_str(), one.frames[&FrameKey(3)].area)).collect();
    assert_eq!(names, [("e7", 12), ("a2", 6)]);
    assert_eq!(found.video_id, "a");

    // Boxes at keyframes, the frames between left out; a polygon; hidden from frame 6 on.
    let xml = r#"<?xml version="1.0"?><annotations><version>1.1</version><meta><job><size>9</size><original_size>
        <width>20</width><height>10</height></original_size></job></meta>
        <track id="4" label="dog"><box frame="1" outside="0" keyframe="1" xtl="0" ytl="0" xbr="4" ybr="4"/>
        <box frame="3" outside="0" keyframe="1" xtl="4" ytl="0" xbr="8" ybr="4"/>
        <box frame="6" outside="1" keyframe="1" xtl="4" ytl="0" xbr="8" ybr="4"/></track>
        <track id="5" label="cat"><polygon frame="2" outside="0" points="1,1;9,1;9,5;1,5"/></track></annotations>"#;
    let path = dir.path().join("a.xml");
    fs::write(&path, xml).unwrap();
    let found = read(Format::Cvat, &path, &options()).unwrap().remove(0);
    let boxes: Vec<(u32, [u32; 4])> =
        found.objects[0].frames.iter().map(|(key, one)| (key.0, one.bbox_xywh)).collect();
    let wanted = [(1, 0), (2, 2), (3, 4), (4, 4), (5, 4)].map(|(frame, x)| (frame, [x, 0, 4, 4]));
    assert_eq!(boxes, wanted);
    assert_eq!((found.objects[1].eid.as_str(), found.objects[1].frames[&FrameKey(2)].area), ("e5", 32));
    assert_eq!(found.frame_times_s.len(), 9);

    // Rectangles of a video that stay to its end, without sizes.
    let tasks = json!([{"id": 3, "data": {"video": "/data/clips/b.mp4"}, "annotations": [{"result": [
        {"id": "x", "type": "videorectangle", "value": {"framesCount": 4, "duration": 2.0, "labels": ["dog"], "sequence": [
            {"frame": 1, "x": 0, "y": 0, "width": 50, "height": 50, "enabled": false, "time": 0.1},
            {"frame": 3, "x": 50, "y": 0, "width": 50, "height": 100, "enabled": true, "rotation": 0}]}}]}]}]);
    fs::write(&path, tasks.to_string()).unwrap();
    let sized = ReadOptions { size: Some((4, 6)), ..ReadOptions::default() };
    let found = read(Format::LabelStudio, &path, &sized).unwrap().remove(0);
    let areas: Vec<(u32, u64)> = found.objects[0].frames.iter().map(|(key, one)| (key.0, one.area)).collect();
    assert_eq!(areas, [(0, 6), (2, 12), (3, 12)]);
    assert_eq!((found.video_id.as_str(), found.frame_times_s), ("b", vec![0.0, 0.5, 1.0, 1.5]));
    let sizeless = read(Format::LabelStudio, &path, &ReadOptions::default()).unwrap_err().to_string();
    assert!(sizeless.contains("task 3, region \"x\"") && sizeless.contains("original_width"), "{sizeless}");
}

#[test]
fn what_cannot_be_read_is_named_with_its_record() {
    let coco = |annotation: Value| {
        let image = json!({"id": 1, "width": 4, "height": 3, "file_name": "v/00002.jpg"});
        said(Format::Coco, "a.json", &json!({"images": [image], "annotations": [annotation]}).to_string())
    };
    let annotation = |image: u64, counts: Value| json!({"id": 9, "image_id": image, "category_id": 1, "area": 1, "bbox": [0, 0, 1, 1], "segmentation": counts});
    assert!(
        coco(annotation(2, json!({"size": [3, 4], "counts": [12]})))
            .contains("annotation 9: there is no image 2")
    );
    assert!(coco(annotation(1, json!({"size": [3, 4], "counts": [5]}))).contains("annotation 9"));
    assert!(coco(annotation(1, json!({"size": [4, 4], "counts": [16]}))).contains("4x4 on an image of 3x4"));
    assert!(said(Format::Coco, "a.json", "{").contains("line 1"));
    let unnumbered =
        json!({"images": [{"id": 1, "width": 4, "height": 3, "file_name": "first.jpg"}], "annotations": []});
    assert!(said(Format::Coco, "a.json", &unnumbered.to_string()).contains("image 1: neither frame_index"));

    let sav = |masks: Value, frames: f64| {
        let file = json!({"video_id": "v", "video_frame_count": frames, "video_height": 2, "video_width": 2, "masklet": masks});
        said(Format::Sav, "v.json", &file.to_string())
    };
    let full = json!({"size": [2, 2], "counts": [0, 4]});
    assert!(sav(json!([[full, full], [full]]), 8.0).contains("masklet[1]: 1 masks, 2 objects"));
    assert!(sav(json!([[{"size": [2, 3], "counts": [6]}]]), 8.0).contains("masklet[0][0]: a mask of 2x3"));
    assert!(sav(json!([[full], [full]]), 3.0).contains("a mask in frame 4, the video has 3 frames"));
    assert!(sav(json!([]), -3.0).contains("video_frame_count"));

    for (line, reason) in [
        ("0 2001 2 3 4", "line 2: 5 fields"),
        ("x 2001 2 3 4 c", "line 2: the frame \"x\" is no number"),
        ("0 1001 2 3 4 <1", "line 2: id 1001 is not one of class 2"),
        ("0 2001 2 3 4 zz", "line 2"),
    ] {
        let text = said(Format::MotsTxt, "v.txt", &format!("0 10000 10 3 4 c\n{line}\n"));
        assert!(text.contains(reason), "{text}");
    }

    let cvat = |track: &str| {
        let size = "<meta><original_size><width>4</width><height>3</height></original_size></meta>";
        said(
            Format::Cvat,
            "v.xml",
            &format!("<annotations>{size}<track id=\"3\">{track}</track></annotations>"),
        )
    };
    for (track, reason) in [
        (
            r#"<box frame="1" xtl="a" ytl="0" xbr="1" ybr="1"/>"#,
            "track id 3, box frame 1: xtl \"a\" is no number",
        ),
        (r#"<box frame="1" ytl="0" xbr="1" ybr="1"/>"#, "it has no xtl"),
        (r#"<polygon frame="0" points="1,2;3,4"/>"#, "polygon frame 0: points"),
        (
            r#"<mask frame="0" rle="2, 3" left="0" top="0" width="2" height="2"/>"#,
            "mask frame 0: its runs fill more than 4 pixels",
        ),
        (r#"<mask frame="0" rle="2" left="0" top="0" width="2" height="2"/>"#, "its runs fill 2 of 4 pixels"),
        (r#"<mask frame="0" rle="4" left="3" top="0" width="2" height="2"/>"#, "reach past the 4x3 frame"),
        (r#"<polyline frame="0" points="1,2;3,4"/>"#, "only boxes, polygons and masks"),
        (
            r#"<box frame="1" outside="1"/><box frame="1" outside="1"/>"#,
            "its frame is not behind the one before it",
        ),
        (r#"<box frame="1" rotation="30" xtl="0" ytl="0" xbr="1" ybr="1"/>"#, "turned boxes"),
    ] {
        let text = cvat(track);
        assert!(text.contains(reason), "{text}");
    }
    assert!(said(Format::Cvat, "v.xml", "<annotations><track id=\"1\">").contains("cut off"));
    assert!(
        said(Format::Cvat, "v.xml", "<annotations><image id=\"1\"/></annotations>").contains("for video")
    );

    let region = |region: Value| {
        let task = json!([{"id": 4, "data": {"image": "v/0.jpg"}, "annotations": [{"result": [region]}]}]);
        said(Format::LabelStudio, "a.json", &task.to_string())
    };
    let sized = |value: Value| json!({"id": "r", "original_width": 2, "original_height": 2, "value": value});
    assert!(
        region(sized(json!({"rle": [0, 0], "brushlabels": ["x"]})))
            .contains("task 4, region \"r\": it ends too early")
    );
    assert!(region(sized(json!({"rle": [0, 0]}))).contains("neither a label nor a text"));
    assert!(
        region(json!({"id": "r", "type": "polygonlabels", "value": {}}))
            .contains("\"polygonlabels\" regions are not supported")
    );
    assert!(
        said(Format::LabelStudio, "a.json", r#"[{"data": {"text": "x"}}]"#)
            .contains("task #0: its data names no image")
    );

    let dir = tempfile::tempdir().unwrap();
    let error = |format| read(format, dir.path(), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error(Format::Davis).contains("00012.png") && error(Format::MotsPng).contains("00012.png"));
    fs::write(dir.path().join("00001.png"), b"no picture").unwrap();
    assert!(error(Format::Davis).contains("00001.png"));
}

#[test]
fn shared_pixels_are_the_smaller_objects() {
    let block = |x: usize, y: usize, side: usize| {
        let inside = |at: usize, from: usize| (from..from + side).contains(&at);
        Mask::from_fn(12, 20, |row, column| inside(row, y) && inside(column, x))
    };
    let (large, small) = (block(2, 2, 8), block(8, 4, 4));
    let first = object("e0", None, &[(0, large.clone()), (1, block(3, 3, 2)), (2, small.clone())]);
    let second = object("e1", None, &[(0, small.clone()), (1, block(2, 2, 6)), (2, small.clone())]);
    let given = masklets("clip", 3, vec![first, second]);
    let parted = smaller_in_front(Path::new("masklets.jsonl"), &given).unwrap();
    let mask = |at: usize, frame: u32| {
        let entry = parted.objects[at].frames.get(&FrameKey(frame))?;
        assert_eq!(entry.area, Rle::try_from(entry.rle.clone()).unwrap().area());
        Some(Rle::try_from(entry.rle.clone()).unwrap().to_mask())
    };
    assert_eq!(mask(1, 0).unwrap(), small);
    assert_eq!(mask(0, 0).unwrap().area(), 64 - 2 * 4);
    assert!(mask(0, 0).unwrap().intersection(&small).unwrap().is_empty());
    assert_eq!((mask(0, 1).unwrap().area(), mask(1, 1).unwrap().area()), (4, 32));
    // Equally large and in one place: the earlier one is seen.
    assert_eq!((mask(0, 2), mask(1, 2)), (Some(small), None));
    let dir = tempfile::tempdir().unwrap();
    assert!(write(Format::Davis, &dir.path().join("refused"), &[given]).is_err());
    write(Format::Davis, &dir.path().join("out"), std::slice::from_ref(&parted)).unwrap();
}

#[test]
fn what_a_format_cannot_say_is_refused_and_nothing_is_left_behind() {
    let dir = tempfile::tempdir().unwrap();
    let refused = |format: Format, given: &Masklets| {
        let error =
            write(format, &dir.path().join("out"), std::slice::from_ref(given)).unwrap_err().to_string();
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "{error}");
        error
    };
    let good = scene([Some("car"), Some("car")], ["e0", "e1"]);
    let mut positions = good.clone();
    positions.index_space = IndexSpace::Uniform { n: 14, rule: UniformRule::LinspaceTrunc };
    for format in
        [Format::Coco, Format::Sav, Format::Davis, Format::MotsTxt, Format::Cvat, Format::LabelStudio]
    {
        assert!(refused(format, &positions).contains("not source frames"));
    }
    let mut odd = good.clone();
    odd.objects[0].frames.insert(FrameKey(5), entry(&ring(1, 1)));
    assert!(
        refused(Format::Sav, &odd).contains("object e0, frame 5: SA-V has masks at every 4th frame only")
    );
    let mut over = good.clone();
    over.objects[1].frames.insert(FrameKey(0), entry(&ring(4, 0)));
    for format in [Format::Davis, Format::MotsPng] {
        assert!(refused(format, &over).contains("frame 0: objects e0 and e1 share pixels"));
    }
    let unknown = scene([Some("unicorn"), None], ["e0", "e1"]);
    assert!(refused(Format::MotsTxt, &unknown).contains("object e0: MOTS has no class for \"unicorn\""));
    let mut small = good.clone();
    small.objects[1].frames.insert(FrameKey(8), entry(&Mask::from_fn(3, 3, |_, _| true)));
    assert!(refused(Format::Coco, &small).contains("object e1, frame 8: a mask of (3, 3)"));
    let nobody = masklets("clip", 3, Vec::new());
    assert!(refused(Format::Davis, &nobody).contains("size is unknown"));
    fs::create_dir(dir.path().join("out")).unwrap();
    let error = write(Format::Davis, &dir.path().join("out"), &[good]).unwrap_err().to_string();
    assert!(error.contains("it exists") && Path::new(&dir.path().join("out")).is_dir());
}
