//! `strefer-infer` with every way to point at objects and everything that can be drawn into frames.

use std::path::PathBuf;
use std::process::{Command, Output};

use image::{Luma, RgbImage};
use serde_json::{Value, json};
use strefer_video::draw;

/// A fresh model and six grey frames, three a second.
struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir(desk.path("frames")).unwrap();
        for frame in 0..6u8 {
            let image = RgbImage::from_pixel(96, 64, image::Rgb([100 + 5 * frame; 3]));
            image.save(desk.path(&format!("frames/{frame}.png"))).unwrap();
        }
        let mask =
            |x: u32, y: u32| Luma([if (60..80).contains(&x) && (4..20).contains(&y) { 255u8 } else { 0 }]);
        image::GrayImage::from_fn(96, 64, mask).save(desk.path("mask.png")).unwrap();
        std::fs::create_dir(desk.path("masks")).unwrap();
        for frame in [0, 2, 5] {
            let to = desk.path(&format!("masks/{frame:05}.png"));
            std::fs::copy(desk.path("mask.png"), to).unwrap();
        }
        let record = json!({"type": "sample", "schema": "strefer/1", "id": "a", "video_id": "v", "media": [],
            "conversations": [{"role": "user", "text": "What is it?"}, {"role": "assistant", "text": "A disc."}]});
        desk.write("samples.jsonl", &format!("{record}\n"));
        let mut init = Command::new(env!("CARGO_BIN_EXE_strefer"));
        init.args(["init", "--text", "samples.jsonl", "--vocab", "400", "--out", "model"]);
        assert!(init.current_dir(desk.dir.path()).output().unwrap().status.success());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn infer(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer-infer"));
        if !arguments.contains(&"--model") {
            command.args(["--model", "model"]);
        }
        command.args(["--max-new-tokens", "2"]).args(arguments);
        command.current_dir(self.dir.path()).output().expect("the program starts")
    }

    fn ask(&self, question: &str, more: &[&str]) -> Output {
        self.infer(&[&["--video", "frames", "--json", "--question", question][..], more].concat())
    }

    /// Answers to a file of questions, by their ids.
    fn ask_file(&self, questions: &[Value]) -> (bool, Vec<Value>) {
        let lines: String = questions.iter().map(|question| format!("{question}\n")).collect();
        self.write("questions.jsonl", &lines);
        let output = self.infer(&["--input", "questions.jsonl", "--output", "answers.jsonl"]);
        let answers = std::fs::read_to_string(self.path("answers.jsonl")).unwrap();
        let answers = answers.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        (output.status.success(), answers)
    }
}

fn answer(output: &Output) -> Value {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it should have failed");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text
}

#[test]
fn every_way_to_point_marks_its_object_in_the_order_of_the_command_line() {
    let desk = Desk::new();
    let marks = [
        "--point",
        "10,10@0",
        "--box",
        "30,4,50,24@0",
        "--mask",
        "mask.png@0",
        "--scribble",
        "10,40;30,40@0",
    ];
    let polygon = ["--polygon", "60,30;80,30;80,46;60,46@0", "--point", "88,10;88,30@0"];
    let said = answer(&desk.ask("What?", &[&marks[..], &polygon, &["--overlay", "asked.png"]].concat()));
    let text = said["question"].as_str().unwrap();
    assert!(text.starts_with("<video>\nAbout <region:0> and <region:1> and"), "{text}");
    assert!(said["answer"].is_string());
    // Outlines have the colours of the objects, in the order in which these were given.
    let picture = image::open(desk.path("asked.png")).unwrap().into_rgb8();
    let outlines = [(10, 7), (30, 4), (60, 4), (10, 39), (60, 30), (88, 7)];
    for (object, (x, y)) in outlines.into_iter().enumerate() {
        assert_eq!(picture.get_pixel(x, y).0, draw::colour(object), "object {object}");
    }
    assert_eq!(picture.get_pixel(88, 27).0, draw::colour(5), "two points are one object");
    assert_eq!(picture.get_pixel(55, 20).0, [100; 3]);
}

#[test]
fn a_file_of_questions_knows_the_same_ways() {
    let desk = Desk::new();
    let question =
        |id: &str, mark: Value| json!({"id": id, "video": "frames", "question": "What?", "marks": [mark]});
    let (good, answers) = desk.ask_file(&[
        question("mask", json!({"mask": "mask.png", "at_s": 0})),
        question("box", json!({"box": [30, 4, 50, 24], "at_s": 0.5})),
        question("point", json!({"point": [[10, 10], [14, 12]], "at_s": 1})),
        question("scribble", json!({"scribble": [[10, 40], [30, 40]], "at_s": 1})),
        question("polygon", json!({"polygon": [[60, 30], [80, 30], [80, 46]], "at_s": 2})),
        question("masks", json!({"masks": "masks"})),
    ]);
    assert!(
        good && answers.len() == 6 && answers.iter().all(|line| line["answer"].is_string()),
        "{answers:?}"
    );

    std::fs::remove_file(desk.path("answers.jsonl")).unwrap();
    let wrong = [
        (
            "few",
            json!({"polygon": [[60, 30], [80, 30]], "at_s": 0}),
            "question few, mark 0: a polygon needs at least 3 points",
        ),
        ("none", json!({"point": [], "at_s": 0}), "a point needs at least 1 points, 0 are given"),
        (
            "far",
            json!({"point": [[10, 10], [10, 64]], "at_s": 0}),
            "question far, mark 0: point 10,64 lies outside the 96x64 frame",
        ),
        ("late", json!({"point": [[10, 10]], "at_s": 9}), "no frame at 9.000 s"),
        (
            "two",
            json!({"point": [[10, 10]], "box": [1, 2, 3, 4], "at_s": 0}),
            "mark 0: expected masks alone, or at_s and one of mask, rle, box, point",
        ),
        ("nothing", json!({"at_s": 0}), "mark 0: expected masks alone, or at_s and one of mask"),
        ("timeless", json!({"mask": "mask.png"}), "mark 0: at_s is missing"),
        ("both", json!({"masks": "masks", "at_s": 0}), "mark 0: expected masks alone"),
        ("nowhere", json!({"masks": "nowhere"}), "nowhere"),
        ("empty", json!({"box": [5, 5, 5, 9], "at_s": 0}), "box 5,5,5,9 encloses no pixel"),
    ];
    let questions: Vec<Value> = wrong.iter().map(|(id, mark, _)| question(id, mark.clone())).collect();
    let (good, answers) = desk.ask_file(&questions);
    assert!(!good);
    for ((id, _, reason), line) in wrong.iter().zip(&answers) {
        assert!(line["id"] == *id && line["error"].as_str().unwrap().contains(reason), "{line}");
    }

    desk.write("questions.jsonl", "{\"id\":\"a\",\"video\":\"frames\",\"question\":\"What?\",\"marks\":[{\"at_s\":0,\"point\":[[1]]}]}\n");
    let output = desk.infer(&["--input", "questions.jsonl", "--output", "answers.jsonl"]);
    assert!(complaint(&output).contains("line 1"));
}

#[test]
fn questions_side_by_side_are_answered_as_one_by_one() {
    let desk = Desk::new();
    let ask = |id: &str, text: &str, video: &str| json!({"id": id, "video": video, "question": text});
    let questions = [
        ask("a", "What?", "frames"),
        ask("b", "What happens here, and who does it?", "frames"),
        ask("gone", "What?", "nowhere.mp4"),
        ask("c", "Is there anything at all in it?", "frames"),
    ];
    desk.write("questions.jsonl", &questions.map(|question| format!("{question}\n")).concat());
    let answers = |batch: &str| {
        let file = format!("answers-{batch}.jsonl");
        let output = desk.infer(&["--batch", batch, "--input", "questions.jsonl", "--output", &file]);
        assert!(complaint(&output).contains("1 of 4"));
        std::fs::read_to_string(desk.path(&file)).unwrap()
    };
    let alone = answers("1");
    assert!(alone.lines().nth(2).unwrap().contains("nowhere.mp4"), "{alone}");
    assert_eq!(answers("3"), alone);
    assert_eq!(answers("9"), alone);
}

#[test]
fn objects_and_frames_can_be_pointed_at_in_the_pixels() {
    let desk = Desk::new();
    let marks = ["--point", "30,30@0.5", "--box", "40,10,70,50@1"];
    for draw in ["none", "som", "numberit", "both", "boxes"] {
        let more = [&marks[..], &["--at", "1", "--draw", draw]].concat();
        let said = answer(&desk.ask("Is <region> left of <region>?", &more));
        assert!(said["answer"].is_string() && said["frame_indices"].as_array().unwrap().len() == 8, "{draw}");
    }
    let line =
        json!({"id": "a", "video": "frames", "question": "What?", "marks": [{"point": [[9, 9]], "at_s": 1}]});
    desk.write("questions.jsonl", &format!("{line}\n"));
    let file = ["--draw", "som", "--input", "questions.jsonl", "--output", "answers.jsonl"];
    assert!(desk.infer(&file).status.success());
}

#[test]
fn wrong_input_of_each_kind_is_named() {
    let desk = Desk::new();
    for (flag, value, reason) in [
        ("--point", "@0", "--point @0: \"\" is not a pixel"),
        ("--point", "ten,10@0", "--point ten,10@0: \"ten,10\" is not a pixel"),
        ("--point", "10,10", "--point 10,10: expected @"),
        ("--point", "96,10@0", "point 96,10 lies outside the 96x64 frame"),
        ("--point", "10,10@2.5", "no frame at 2.500 s"),
        ("--scribble", "10,10@0", "--scribble 10,10@0: a scribble needs at least 2 points, 1 are given"),
        ("--scribble", "200,10;220,10@0", "scribble 200,10;220,10 lies outside the 96x64 frame"),
        ("--scribble", "10,10;12,12@9", "no frame at 9.000 s"),
        ("--polygon", "1,1;9,9@0", "--polygon 1,1;9,9@0: a polygon needs at least 3 points, 2 are given"),
        ("--polygon", "1,1;9,1;20,1@0", "polygon 1,1;9,1;20,1 encloses no pixel"),
        ("--polygon", "100,1;120,1;120,9@0", "lies outside the 96x64 frame"),
        ("--polygon", "1,1;9,1;9,9@x", "\"x\" is not a time in seconds"),
        ("--draw", "circles", "unknown variant `circles`"),
    ] {
        let text = complaint(&desk.ask("What?", &[flag, value]));
        assert!(text.contains(reason), "{flag} {value}: {text}");
    }
    let speck = complaint(&desk.ask("What?", &["--box", "4,4,5,6@0", "--draw", "boxes"]));
    assert!(speck.contains("region 0 is too small to be drawn"), "{speck}");
    let both = ["--input", "q.jsonl", "--output", "a.jsonl", "--point", "1,1@0"];
    assert!(complaint(&desk.infer(&both)).contains("cannot be used with"));
}

#[test]
fn an_object_is_followed_through_a_folder_of_masks() {
    let desk = Desk::new();
    let more = ["--masks", "masks", "--point", "10,10@1", "--overlay", "asked.png"];
    let said = answer(&desk.ask("What does <region> do beside <region>?", &more));
    assert!(said["answer"].is_string(), "{said}");
    let picture = image::open(desk.path("asked.png")).unwrap().into_rgb8();
    assert_ne!(picture.get_pixel(70, 10).0, [100; 3], "the first of its masks is drawn");
    std::fs::rename(desk.path("masks/00005.png"), desk.path("masks/00006.png")).unwrap();
    let late = complaint(&desk.ask("What?", &["--masks", "masks"]));
    assert!(late.contains("frame 6 does not exist"), "{late}");
}

/// A folder with a small random SAM 2.1 that believes to see objects everywhere.
fn segmenter(desk: &Desk) {
    let golden = &strefer_core::golden::dirs("sam2_video")[0];
    std::fs::create_dir(desk.path("sam")).unwrap();
    std::fs::copy(golden.join("config.json"), desk.path("sam/config.json")).unwrap();
    let mut bytes = std::fs::read(golden.join("weights.safetensors")).unwrap();
    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let names: Value = serde_json::from_slice(&bytes[8..8 + header]).unwrap();
    let bias = &names["mask_decoder.pred_obj_score_head.proj_out.bias"]["data_offsets"][0];
    let at = 8 + header + bias.as_u64().unwrap() as usize;
    // The upper half of a number of 32 bits is one of 16.
    bytes[at..at + 2].copy_from_slice(&1e3f32.to_le_bytes()[2..]);
    std::fs::write(desk.path("sam/model.safetensors"), bytes).unwrap();
}

#[test]
fn what_is_clicked_at_is_segmented_and_followed_before_it_is_asked_about() {
    let desk = Desk::new();
    segmenter(&desk);
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../../checkpoints/strefer-tiny/final");
    let given = ["--point", "30,30;!70,50@0.5", "--masks", "masks", "--box", "40,10,70,50@1.2"];
    let run = |more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer-infer"));
        let question = "Do <region> and <region> touch <region>?";
        command.args(["--model", tiny, "--max-new-tokens", "3", "--video", "frames", "--question", question]);
        command
            .args(["--segmenter", "sam"])
            .args(given)
            .args(more)
            .current_dir(desk.dir.path())
            .output()
            .unwrap()
    };
    let output = run(&["--json", "--overlay", "asked.png"]);
    let said = answer(&output);
    assert!(said["answer"].is_string());
    let objects = said["objects"].as_array().unwrap();
    assert_eq!(objects.len(), 2, "the object with masks is not followed: {said}");
    assert_eq!((&objects[0]["object"], &objects[1]["object"]), (&json!(0), &json!(2)));
    assert_eq!(objects[0]["mark"], "point 30,30;!70,50 at 0.5 s");
    assert_eq!((&objects[0]["marked_frame"], &objects[1]["marked_frame"]), (&json!(1), &json!(3)));
    for object in objects {
        let areas = object["areas"].as_object().unwrap();
        assert!(!areas.is_empty() && areas.values().all(|area| area.as_u64().unwrap() > 0), "{said}");
    }
    let told = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(told.contains("object 0, point 30,30;!70,50 at 0.5 s: seen in "), "{told}");
    assert!(told.contains("object 2, box 40,10,70,50 at 1.2 s: seen in "), "{told}");
    let first: u32 = objects[0]["areas"].as_object().unwrap().keys().next().unwrap().parse().unwrap();
    let picture = image::open(desk.path("asked.png")).unwrap().into_rgb8();
    let grey = image::open(desk.path(&format!("frames/{first}.png"))).unwrap().into_rgb8();
    let changed = picture.pixels().zip(grey.pixels()).filter(|(found, plain)| found != plain).count();
    assert!(changed > 0, "the mask is drawn");
    assert!(run(&["--overlay", "asked.mp4"]).status.success() || cfg!(not(feature = "ffmpeg")));

    let question = |id: &str, marks: Value| {
        let text = "Do <region> and <region> touch <region>?";
        json!({"id": id, "video": "frames", "question": text, "marks": marks}).to_string()
    };
    let marks = json!([
        {"point": [[30, 30]], "outside": [[70, 50]], "at_s": 0.5}, {"masks": "masks"},
        {"box": [40, 10, 70, 50], "at_s": 1.2},
    ]);
    let mut beyond = marks.clone();
    beyond[0]["point"] = json!([[96, 30]]);
    let lines = [
        question("a", marks.clone()),
        question("b", marks),
        question("c", beyond),
        json!({"id": "d", "video": "frames", "question": "What is there?"}).to_string(),
    ];
    std::fs::write(desk.path("q.jsonl"), lines.join("\n")).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_strefer-infer"));
    command.args(["--model", tiny, "--max-new-tokens", "3", "--segmenter", "sam"]);
    let files = command.args(["--input", "q.jsonl", "--output", "a.jsonl"]).current_dir(desk.dir.path());
    let output = files.output().unwrap();
    assert!(complaint(&output).contains("1 of 4 questions could not be answered"));
    let written = std::fs::read_to_string(desk.path("a.jsonl")).unwrap();
    let lines: Vec<Value> = written.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines[..2] {
        assert_eq!((&line["answer"], &line["objects"]), (&said["answer"], &said["objects"]));
    }
    assert!(lines[2]["error"].as_str().unwrap().contains("96,30 lies outside"), "{}", lines[2]);
    assert!(lines[3]["answer"].is_string() && lines[3]["objects"].is_null());
}

#[test]
fn a_segmenter_and_marks_that_it_cannot_use_are_named() {
    let desk = Desk::new();
    segmenter(&desk);
    std::fs::create_dir(desk.path("empty")).unwrap();
    for (arguments, reason) in [
        (&["--segmenter", "nowhere", "--point", "10,10@0"][..], "nowhere"),
        (&["--segmenter", "empty", "--point", "10,10@0"], "empty cannot be used as --segmenter"),
        (&["--segmenter", "model", "--point", "10,10@0"], "model cannot be used as --segmenter"),
        (&["--segmenter", "sam", "--point", "96,10@0"], "point 96,10 lies outside the 96x64 frame"),
        (&["--segmenter", "sam", "--point", "9,9;!9,64@0"], "point 9,64 lies outside the 96x64 frame"),
        (&["--segmenter", "sam", "--point", "10,10@2.5"], "no frame at 2.500 s"),
        (&["--segmenter", "sam", "--masks", "masks"], "follows objects that are marked in one frame"),
        (&["--segmenter", "sam"], "follows objects that are marked in one frame"),
        (&["--point", "10,10;!20,20@0"], "only a segmenter can use them"),
        (&["--segmenter", "sam", "--point", "!20,20@0"], "points beside an object need one on it"),
    ] {
        let text = complaint(&desk.ask("What?", arguments));
        assert!(text.contains(reason), "{arguments:?}: {text}");
    }
}

#[test]
fn narrow_weights_answer_on_a_processor() {
    const TINY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../checkpoints/strefer-tiny/final");
    let desk = Desk::new();
    let said = |dtype: &str| {
        let more = ["--model", TINY, "--mask", "mask.png@0.5", "--dtype", dtype];
        answer(&desk.ask("What is <region>?", &more))["answer"].clone()
    };
    let wanted = said("f32");
    assert_eq!((said("bf16"), said("f16")), (wanted.clone(), wanted));
}

#[test]
fn a_span_is_two_times_with_a_comma_between() {
    let desk = Desk::new();
    let said = answer(&desk.ask("What does <region> do?", &["--masks", "masks", "--between", "0.3,1.2"]));
    let question = said["question"].as_str().unwrap();
    assert!(question.ends_with("between <time:0> and <time:1>?"), "{said}");
    for (span, reason) in
        [("1.2,0.3", "does not lie after"), ("1.2", "expected two times"), ("a,b", "expected two times")]
    {
        let output = desk.ask("What does <region> do?", &["--masks", "masks", "--between", span]);
        assert!(complaint(&output).contains(reason), "{span}");
    }
}
