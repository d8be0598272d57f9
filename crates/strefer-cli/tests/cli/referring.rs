//! Datasets with expressions as a user imports them: hand-made ones whose records are known, and wrong ones.

use std::path::PathBuf;
use std::process::{Command, Output};

use image::{GrayImage, Luma};
use serde_json::{Value, json};
use strefer_core::{Mask, PixelBox, Rle, RleRecord};

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        std::fs::create_dir_all(self.path(name).parent().unwrap()).unwrap();
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
        command.current_dir(self.0.path()).args(args).output().expect("the program starts")
    }

    fn import(&self, dataset: &str, dir: &str, more: &[&str]) -> Value {
        let output = self.run(&[&["import", dataset, dir, "--out", "given"], more].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn complains(&self, dataset: &str, dir: &str, words: &str) {
        let output = self.run(&["import", dataset, dir, "--out", "wrong"]);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !text.contains("panicked") && text.contains(words), "{text}");
        assert!(!self.path("wrong/entities.jsonl").exists(), "half a dataset was written");
    }

    /// The records of a file of `given`.
    fn given(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path("given").join(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A mask of 8 rows and 12 columns, with a box of columns `x0..x1` and rows 2 to 5 inside.
fn mask(x0: usize, x1: usize) -> Mask {
    Mask::from_box(8, 12, PixelBox { x0, y0: 2, x1, y1: 6 })
}

fn rle(mask: &Mask) -> RleRecord {
    Rle::from_mask(mask).into()
}

/// An entry of a masklet for a box as above.
fn frame(x0: usize, x1: usize) -> Value {
    json!({ "rle": rle(&mask(x0, x1)), "area": 4 * (x1 - x0), "bbox_xywh": [x0, 2, x1 - x0, 4] })
}

fn entity(eid: &str, expression: &str, noun: &str) -> Value {
    json!({ "eid": eid, "expression": expression, "noun": noun, "general_noun": noun, "active": true })
}

fn entities(dataset: &str, video_id: &str, items: Value) -> Value {
    json!({ "type": "entities", "schema": "strefer/1", "video_id": video_id,
        "provenance": { "dataset": dataset, "stage": "import" }, "items": items })
}

fn masklets(dataset: &str, video_id: &str, times_s: Value, objects: Value) -> Value {
    json!({ "type": "masklets", "schema": "strefer/1", "video_id": video_id,
        "provenance": { "dataset": dataset, "stage": "import" },
        "index_space": { "kind": "source" }, "frame_times_s": times_s, "objects": objects })
}

/// Two annotations; one expression means both.
fn mevis(desk: &Desk) {
    for frame in 0..3 {
        desk.write(&format!("mevis/JPEGImages/park/{frame:05}.jpg"), "");
    }
    let expression = |words: &str, ids: Value| json!({ "exp": words, "obj_id": [0], "anno_id": ids });
    let video = json!({ "vid_id": 7, "frames": ["00001", "00000", "00002"], "expressions": {
        "0": expression("the dog  running left", json!([3])),
        "1": expression("both dogs", json!([4, 3])),
        "2": expression("the one that runs", json!(["3"])),
    } });
    desk.write("mevis/meta_expressions.json", json!({ "videos": { "park": video } }).to_string());
    let masks = json!({
        "3": [rle(&mask(0, 4)), null, rle(&mask(1, 5))],
        "9": [null],
        "4": [rle(&mask(4, 6)), rle(&mask(7, 9)), null],
    });
    desk.write("mevis/mask_dict.json", masks.to_string());
}

#[test]
fn mevis_becomes_an_entity_for_each_set_that_an_expression_means() {
    let desk = Desk::new();
    mevis(&desk);
    let said = desk.import("mevis", "mevis", &["--fps", "2"]);
    assert_eq!(said, json!({ "videos": 1, "objects": 2, "expressions": 3, "masks": 5, "skipped": 0 }));
    let mut running = entity("e0", "the dog running left", "object");
    running["attributes"] = json!({ "expression_2": "the one that runs" });
    let both = entity("e1", "both dogs", "object");
    assert_eq!(desk.given("entities.jsonl"), [entities("mevis", "park", json!([running, both]))]);
    let objects = json!([
        { "eid": "e0", "frames": { "0": frame(0, 4), "2": frame(1, 5) } },
        // Columns 0 to 3 and 4 to 5 lie side by side: their union is a box again.
        { "eid": "e1", "frames": { "0": frame(0, 6), "1": frame(7, 9), "2": frame(1, 5) } },
    ]);
    assert_eq!(desk.given("masklets.jsonl"), [masklets("mevis", "park", json!([0.0, 0.5, 1.0]), objects)]);

    desk.complains("mevis", "nowhere", "meta_expressions.json");
    std::fs::remove_file(desk.path("mevis/JPEGImages/park/00002.jpg")).unwrap();
    desk.complains("mevis", "mevis", "park, frame 00002: the folder has no such picture");
    let change = |file: &str, from: &str, to: &str, words: &str| {
        mevis(&desk);
        let text = std::fs::read_to_string(desk.path(file)).unwrap();
        assert!(text.contains(from), "{from}");
        desk.write(file, text.replacen(from, to, 1));
        desk.complains("mevis", "mevis", words);
    };
    let (meta, masks) = ("mevis/meta_expressions.json", "mevis/mask_dict.json");
    change(meta, ",\"anno_id\":[3]", "", "video park, expression 0: no anno_id");
    change(meta, "\"the dog  running left\"", "\" \"", "video park, expression 0: no annotation or no words");
    change(meta, "[4,3]", "[5,3]", "annotation 5 of video park: it is missing");
    change(masks, "null,", "", "annotation 3 of video park: 2 masks, the video has 3 frames");
    change(masks, "\"9\"", "\"3\"", "annotation 3 of video park: 1 masks");
    change(masks, "[8,12]", "[8,11]", "annotation 3 of video park, frame 0");
    change(masks, "{\"3\"", "{3", "mask_dict.json, line 1");
}

/// Two objects with a category; frames of the video between annotated ones.
fn youtube(desk: &Desk) {
    for frame in [0, 5, 10] {
        desk.write(&format!("rvos/train/JPEGImages/zoo/{frame:05}.jpg"), "");
    }
    let expression = |words: &str, id: &str| json!({ "exp": words, "obj_id": id });
    let video = json!({ "frames": ["00000", "00010"], "expressions": {
        "0": expression("a panda on the right", "2"), "1": expression("a keeper", "1"),
    } });
    let meta = json!({ "videos": { "zoo": video } }).to_string();
    desk.write("rvos/meta_expressions/train/meta_expressions.json", meta);
    let objects = json!({ "2": { "category": "giant_panda", "frames": ["00000"] } });
    desk.write("rvos/train/meta.json", json!({ "videos": { "zoo": { "objects": objects } } }).to_string());
    std::fs::create_dir_all(desk.path("rvos/train/Annotations/zoo")).unwrap();
    for (name, left) in [("00000", 2), ("00010", 3)] {
        let picture = GrayImage::from_fn(12, 8, |x, y| match (x, y) {
            (x, 2..6) if (left..left + 3).contains(&x) => Luma([2]),
            (11, 2..6) if name == "00000" => Luma([1]),
            // An object that no expression means.
            (0, 0) => Luma([3]),
            _ => Luma([0]),
        });
        picture.save(desk.path(&format!("rvos/train/Annotations/zoo/{name}.png"))).unwrap();
    }
}

#[test]
fn youtube_vos_becomes_objects_by_their_colours_at_the_places_of_their_frames() {
    let desk = Desk::new();
    youtube(&desk);
    let said = desk.import("ref-youtube-vos", "rvos", &[]);
    assert_eq!(said, json!({ "videos": 1, "objects": 2, "expressions": 2, "masks": 3, "skipped": 0 }));
    let items =
        json!([entity("e0", "a keeper", "object"), entity("e1", "a panda on the right", "giant panda"),]);
    assert_eq!(desk.given("entities.jsonl"), [entities("ref-youtube-vos", "zoo", items)]);
    // 00010 is the third picture of the folder.
    let objects = json!([
        { "eid": "e0", "frames": { "0": frame(11, 12) } },
        { "eid": "e1", "frames": { "0": frame(2, 5), "2": frame(3, 6) } },
    ]);
    assert_eq!(desk.given("masklets.jsonl"), [masklets("ref-youtube-vos", "zoo", json!([]), objects)]);

    let meta = "rvos/meta_expressions/train/meta_expressions.json";
    let text = std::fs::read_to_string(desk.path(meta)).unwrap();
    for (from, to, words) in [
        (
            "\"obj_id\":\"2\"",
            "\"obj_id\":\"two\"",
            "video zoo, expression 0: obj_id Some(\"two\") is no colour",
        ),
        (",\"obj_id\":\"2\"", "", "video zoo, expression 0: no obj_id"),
        ("\"00010\"", "\"00011\"", "zoo, frame 00011: the folder has no such picture"),
        ("\"00010\"", "\"00005\"", "zoo/00005.png"),
    ] {
        desk.write(meta, text.replacen(from, to, 1));
        desk.complains("ref-youtube-vos", "rvos", words);
    }
    desk.complains("ref-youtube-vos", "rvos/train", "meta_expressions.json");
}

/// One video that counts, one without annotations, one for tests.
fn a2d(desk: &Desk) {
    let lines = "video_id,instance_id,query\n\
        pond,1,\"a man, in white, rolling\"\n\
        pond,0,duck  is swimming\n\
        pond,1,the man on the left\n\
        pond,1 (copy),a mistake\n\
        gone,1,nobody\n\
        exam,1,a cat\n";
    desk.write("a2d/text_annotations/a2d_annotation.txt", lines);
    desk.write("a2d/text_annotations/a2d_missed_videos.txt", "gone\n");
    desk.write("a2d/Release/videoset.csv", "pond,12,0,1,8,12,90,3,0\nexam,12,0,1,8,12,90,3,1\n");
    let folder = "a2d/text_annotations/a2d_annotation_with_instances/pond";
    std::fs::create_dir_all(desk.path(folder)).unwrap();
    for (name, left) in [("00030_1", 2), ("00060_1", 3), ("00030_0", 8), ("00060_4", 1)] {
        let inside = |x: u32, y: u32| (left..left + 3).contains(&x) && (2..6).contains(&y);
        let picture = GrayImage::from_fn(12, 8, |x, y| Luma([if inside(x, y) { 255 } else { 0 }]));
        picture.save(desk.path(&format!("{folder}/{name}.png"))).unwrap();
    }
    desk.write(&format!("{folder}/00030.h5"), "beside them");
}

#[test]
fn a2d_sentences_counts_frames_from_one_and_leaves_out_what_is_not_for_training() {
    let desk = Desk::new();
    a2d(&desk);
    let said = desk.import("a2d-sentences", "a2d", &[]);
    assert_eq!(said, json!({ "videos": 1, "objects": 2, "expressions": 3, "masks": 3, "skipped": 3 }));
    let mut man = entity("e1", "a man, in white, rolling", "object");
    man["attributes"] = json!({ "expression_2": "the man on the left" });
    let items = json!([entity("e0", "duck is swimming", "object"), man]);
    assert_eq!(desk.given("entities.jsonl"), [entities("a2d-sentences", "pond", items)]);
    let objects = json!([
        { "eid": "e0", "frames": { "29": frame(8, 11) } },
        { "eid": "e1", "frames": { "29": frame(2, 5), "59": frame(3, 6) } },
    ]);
    assert_eq!(desk.given("masklets.jsonl"), [masklets("a2d-sentences", "pond", json!([]), objects)]);

    // The folder of the texts alone says less about what to leave out.
    desk.complains("a2d-sentences", "a2d/text_annotations", "exam");
    let folder = "a2d/text_annotations/a2d_annotation_with_instances/pond";
    desk.write(&format!("{folder}/mask.png"), "");
    desk.complains("a2d-sentences", "a2d", "its name is not FRAME_INSTANCE.png");
    for name in ["mask", "00030_1", "00060_1", "00030_0", "00060_4"] {
        std::fs::remove_file(desk.path(&format!("{folder}/{name}.png"))).unwrap();
    }
    desk.complains("a2d-sentences", "a2d", "00030.h5, masks: HDF5 is not read");
    a2d(&desk);
    desk.write("a2d/Release/videoset.csv", "pond,12,0,1,8,12,90,3,train\n");
    desk.complains("a2d-sentences", "a2d", "videoset.csv, line 1: its last column");
    a2d(&desk);
    desk.write("a2d/text_annotations/a2d_annotation.txt", "video_id,instance_id,query\npond,one,a man\n");
    desk.complains("a2d-sentences", "a2d", "a2d_annotation.txt, line 2: instance \"one\"");
    desk.write("a2d/text_annotations/a2d_annotation.txt", "video,query\npond,a man\n");
    desk.complains("a2d-sentences", "a2d", "a2d_annotation.txt, line 2: ");
    let output = desk.run(&["import", "mevis", "a2d", "--out", "wrong", "--size", "8x12"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("--size"));
}
