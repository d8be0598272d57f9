//! The programs as a user runs them: the whole line on a tiny world, kills, and wrong input of each kind.

mod ask;
mod engine;
mod engine_objects;
mod eval;
mod filter;
mod hub;
#[path = "../../../strefer-engine/tests/pipeline/lab.rs"]
#[allow(dead_code, reason = "the engine's own tests use all of it")]
mod lab;
mod masklets;
mod mix;
mod referring;
#[path = "../../../strefer-teacher/tests/suite/stand_in.rs"]
#[allow(dead_code, reason = "the teacher's own tests use all of it")]
mod stand_in;
mod stkit;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use strefer_store::{SampleSet, Shelf};

/// A folder with a world, samples, questions and a fresh model.
struct Desk {
    dir: tempfile::TempDir,
}

fn strefer(dir: &Path, args: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
    command.current_dir(dir).args(args).output().expect("the program starts")
}

fn stdout(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn set(path: &Path) -> strefer_store::Result<SampleSet> {
    SampleSet::open(path, None, None, &Shelf::new(0, Duration::from_secs(1))?)
}

/// What the program says when it fails.
fn complaint(output: &Output) -> String {
    assert!(!output.status.success(), "it should have failed");
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!text.contains("panicked"), "{text}");
    text
}

impl Desk {
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        desk.write("engine.toml", "[instruct]\nturns_per_sample = 3\ntime_styles = [\"token\"]\n");
        desk.write(
            "quiz.toml",
            "[instruct]\nform = \"single_turn\"\ntime_styles = [\"token\"]\n[instruct.tasks]\nregion_attribute = 2\nmask_time_behavior = 2\n",
        );
        stdout(&desk.run(&["synth", "--out", "world", "--count", "3"]));
        stdout(&desk.run(&["engine", "engine.toml", "--world", "world", "--frames", "8", "--out", "data"]));
        stdout(&desk.run(&["engine", "quiz.toml", "--world", "world", "--frames", "8", "--out", "quiz"]));
        stdout(&desk.run(&["init", "--text", "data/samples.jsonl", "--vocab", "400", "--out", "model"]));
        desk
    }

    fn run(&self, args: &[&str]) -> Output {
        strefer(self.dir.path(), args)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// The configuration of a run.
    fn train_config(&self, name: &str, output: &str, steps: usize) {
        self.write(
            name,
            &format!(
                "seed = 1\ninit = \"model\"\noutput = \"{output}\"\n[data]\nreaders = 1\ncache_mb = 16\n\
                 [[data.mixture.sources]]\nname = \"data\"\npath = \"data/samples.jsonl\"\nmedia_root = \"world\"\n\
                 [steps]\ntotal = {steps}\nbatch = 1\n[parts]\nvision = 1.0\nconnector = 1.0\nregion = 1.0\n\
                 language = 1.0\n[schedule]\nlr = 1e-3\n[save]\nevery = 2\nkeep = 2\n"
            ),
        );
    }

    /// A clip, a mask of one of its objects as JSON, and the time that the mask belongs to.
    fn clip_and_mask(&self) -> (String, f64) {
        let text = std::fs::read_to_string(self.path("world/truth.jsonl")).unwrap();
        let clip: Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        let masks = clip["bodies"][0]["masks"].as_array().unwrap();
        let frame = masks.iter().position(|mask| !mask.is_null()).unwrap();
        self.write("mask.json", &masks[frame].to_string());
        let id = clip["id"].as_str().unwrap();
        let videos = self.path("world/videos");
        let file = format!("world/videos/{id}.mp4");
        let video =
            if videos.join(format!("{id}.mp4")).exists() { file } else { format!("world/videos/{id}") };
        (video, frame as f64 / clip["fps"].as_f64().unwrap())
    }
}

#[test]
fn the_whole_line_runs_and_wrong_input_is_named() {
    let desk = Desk::new();

    // From a run to answers and a page.
    desk.train_config("run.toml", "run", 3);
    assert_eq!(stdout(&desk.run(&["train", "run.toml", "--show", "1", "--page", "seen.html"])), "seen.html");
    let html = std::fs::read_to_string(desk.path("seen.html")).unwrap();
    assert!(html.contains("data:image/png;base64,") && html.contains("class=\"learnt\""));
    assert!(!desk.path("run").exists());
    assert!(complaint(&desk.run(&["train", "run.toml", "--show", "3"])).contains("no step 3"));
    let last = stdout(&desk.run(&["train", "run.toml"]));
    assert!(last.ends_with("run/final"), "{last}");
    let quiz = ["eval", "quiz/samples.jsonl", "--media-root", "world", "--limit", "6", "--model"];
    stdout(&desk.run(&[&quiz[..], &["run/final", "--out", "after"]].concat()));
    let page = ["report", "--run", "run", "--eval", "after=after", "--samples", "quiz/samples.jsonl"];
    stdout(&desk.run(&[&page[..], &["--media-root", "world", "--out", "report.html"]].concat()));
    let html = std::fs::read_to_string(desk.path("report.html")).unwrap();
    assert!(html.contains("data:image/png;base64,") && html.contains("<polyline"));

    let (video, at_s) = desk.clip_and_mask();
    let mask = format!("mask.json@{at_s}");
    let ask = |more: &[&str]| {
        let common =
            ["infer", "--model", "run/final", "--video", &video, "--question", "What colour is <region>?"];
        desk.run(&[&common[..], &["--max-new-tokens", "4"], more].concat())
    };
    let answer = stdout(&ask(&["--mask", &mask, "--json", "--overlay", "asked.png"]));
    let answer: Value = serde_json::from_str(&answer).unwrap();
    assert!(answer["answer"].is_string() && answer["frame_indices"].as_array().unwrap().len() == 8);
    assert!(desk.path("asked.png").exists());

    // A file of questions: one is wrong, the others are answered, and a second call asks only what is missing.
    let line = |id: &str, at: f64| {
        format!(
            "{{\"id\":\"{id}\",\"video\":\"{video}\",\"question\":\"What is it?\",\
             \"marks\":[{{\"mask\":\"mask.json\",\"at_s\":{at}}}]}}\n"
        )
    };
    desk.write("questions.jsonl", &(line("a", at_s) + &line("b", 99.0)));
    let file = [
        "infer",
        "--model",
        "run/final",
        "--max-new-tokens",
        "2",
        "--input",
        "questions.jsonl",
        "--output",
        "answers.jsonl",
    ];
    assert!(complaint(&desk.run(&file)).contains("1 of 2 questions"));
    let answers = std::fs::read_to_string(desk.path("answers.jsonl")).unwrap();
    assert!(answers.contains("no frame at 99.000 s") && answers.lines().count() == 2);
    desk.write("questions.jsonl", &(line("a", at_s) + &line("b", at_s)));
    stdout(&desk.run(&file));
    assert_eq!(std::fs::read_to_string(desk.path("answers.jsonl")).unwrap().lines().count(), 2);

    // Wrong input of each kind.
    desk.write("small.json", "{\"size\":[4,4],\"counts\":[3,13]}");
    assert!(complaint(&ask(&["--mask", "small.json@0"])).contains("the mask is 4x4"));
    assert!(complaint(&ask(&["--mask", "nowhere.png@0"])).contains("nowhere.png"));
    assert!(complaint(&ask(&[])).contains("mentions 1 regions, 0 are marked"));
    assert!(complaint(&ask(&["--mask", &mask, "--at", "60"])).contains("no frame at 60.000 s"));
    desk.write("noise.mp4", "this is no video");
    let noise = ["infer", "--model", "run/final", "--video", "noise.mp4", "--question", "What?"];
    assert!(complaint(&desk.run(&noise)).contains("noise.mp4"));
    assert!(complaint(&desk.run(&["train", "run.toml"])).contains("run exists"));
    let wrong = desk.run(&["train", "run.toml", "--set", "steps.totl=3"]);
    assert!(complaint(&wrong).contains("totl"));
    assert!(complaint(&ask(&["--mask", &mask, "--device", "gpu"])).contains("cpu, cuda or cuda:N"));
    if !cfg!(feature = "cuda") {
        assert!(complaint(&ask(&["--mask", &mask, "--device", "cuda:0"])).contains("without CUDA"));
    }
    assert!(complaint(&desk.run(&["train", "run.toml", "--device", "cpu,cpu"])).contains("one device"));
    assert!(complaint(&desk.run(&[&quiz[..], &["run/final", "--out", "after"]].concat())).contains("after"));
    assert!(
        complaint(&desk.run(&["eval", "quiz/samples.jsonl", "--model", "data", "--out", "x"]))
            .contains("config.json")
    );
    std::fs::remove_file(desk.path("run/final/model.safetensors")).unwrap();
    assert!(complaint(&ask(&["--mask", &mask])).contains("run/final"));
}

#[test]
fn published_training_data_becomes_samples_and_bad_records_are_named() {
    let desk = Desk::new();
    let record = |id: &str, text: &str| {
        format!(
            "{{\"id\": \"{id}\", \"video\": \"a.mp4\", \"conversations\": [\
             {{\"from\": \"human\", \"value\": \"<video>\\n{text}\"}}, {{\"from\": \"gpt\", \"value\": \"Yes.\"}}]}}"
        )
    };
    let bad = record("bad", "What is <region> doing?");
    desk.write("few.json", &format!("[{}, {bad}]", record("good", "Is it?")));
    let import = |file: &str, more: &[&str]| {
        desk.run(&[&["import", "videorefer", file, "--out", "samples.jsonl"], more].concat())
    };
    let complaint_of_few = complaint(&import("few.json", &[]));
    assert!(complaint_of_few.contains("1 of 2") && complaint_of_few.contains("bad"), "{complaint_of_few}");
    assert!(!desk.path("samples.jsonl").exists(), "nothing is half written");
    let counts = stdout(&import("few.json", &["--max-refused", "0.5"]));
    assert!(counts.contains("\"samples\":1") && counts.contains("\"refused\":1"), "{counts}");
    let refused = std::fs::read_to_string(desk.path("samples.refused.jsonl")).unwrap();
    assert!(refused.contains("\"position\":1") && refused.contains("bad"), "{refused}");
    let samples = set(&desk.path("samples.jsonl")).unwrap();
    assert_eq!((samples.len(), samples.get(0).unwrap().id.as_str()), (1, "good"));
    assert!(complaint(&import("none.json", &[])).contains("none.json"));
    let into_packed =
        ["import", "videorefer", "few.json", "--max-refused", "0.5", "--out", "packed.jsonl.zst"];
    stdout(&desk.run(&into_packed));
    let packed = set(&desk.path("packed.jsonl.zst")).unwrap();
    assert_eq!((packed.len(), packed.get(0).unwrap()), (1, samples.get(0).unwrap()));
    desk.write("odd.jsonl.zst", "{}");
    let odd = set(&desk.path("odd.jsonl.zst")).unwrap_err();
    assert!(odd.to_string().contains("odd.jsonl.zst"), "{odd}");
    desk.write("cut.json", "[{\"id\": ");
    assert!(complaint(&import("cut.json", &[])).contains("cut.json"));
}

#[test]
fn masklets_of_other_tools_come_in_and_go_out() {
    let dir = tempfile::tempdir().unwrap();
    let run = |args: &[&str]| strefer(dir.path(), args);
    // Two frames of 2 by 3 pixels: everything, then nothing but the last column.
    std::fs::write(dir.path().join("a.txt"), "0 1001 1 2 3 06\n4 1001 1 2 3 42\n").unwrap();
    let into = ["import", "mots-txt", "a.txt", "--fps", "2", "--video-id", "park", "--out", "masklets.jsonl"];
    let counts: Value = serde_json::from_str(&stdout(&run(&into))).unwrap();
    assert_eq!(counts, serde_json::json!({"videos": 1, "objects": 1, "masks": 2}));
    let lines = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    let record: Value = serde_json::from_str(lines("masklets.jsonl").trim()).unwrap();
    assert_eq!((&record["type"], &record["video_id"]), (&"masklets".into(), &"park".into()));
    for format in ["coco", "cvat", "mots-png", "label-studio", "sav"] {
        stdout(&run(&["export", format, "masklets.jsonl", "--video-id", "park", "--out", format]));
        stdout(&run(&["import", format, format, "--fps", "2", "--video-id", "park", "--out", "again.jsonl"]));
        let again: Value = serde_json::from_str(lines("again.jsonl").trim()).unwrap();
        assert_eq!(again["objects"][0]["frames"], record["objects"][0]["frames"], "{format}");
    }
    let wrong = complaint(&run(&["import", "cvat", "a.txt", "--out", "wrong.jsonl"]));
    assert!(wrong.contains("a.txt"), "{wrong}");
    assert!(!dir.path().join("wrong.jsonl").exists(), "nothing is half written");
    for (args, reason) in [
        (&["export", "davis", "masklets.jsonl", "--out", "mots-png"][..], "it exists"),
        (&["export", "coco", "masklets.jsonl", "--video-id", "zoo", "--out", "x"], "has no video \"zoo\""),
        (&["export", "coco", "none.jsonl", "--out", "x"], "none.jsonl"),
        (&["import", "davis", "a.txt", "--size", "2", "--out", "x"], "expected WIDTHxHEIGHT"),
        (&["import", "videorefer", "a.txt", "--fps", "2", "--out", "x"], "are for masklets"),
        (&["import", "coco", "a.txt", "--max-refused", "1", "--out", "x"], "--max-refused is for samples"),
    ] {
        let text = complaint(&run(args));
        assert!(text.contains(reason), "{args:?}: {text}");
    }
}

#[test]
fn the_doctor_says_what_there_is_and_the_schema_is_one() {
    let desk = Desk::new();
    let lines = stdout(&desk.run(&["doctor", "--json"]));
    let findings: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |what: &str| findings.iter().find(|finding| finding["what"] == what).unwrap();
    for what in ["program", "processor", "memory", "disk", "files", "ranks"] {
        assert!(["good", "limited"].contains(&of(what)["state"].as_str().unwrap()), "{}", of(what));
    }
    assert_eq!(of("videos")["state"], if cfg!(feature = "ffmpeg") { "good" } else { "missing" });
    assert!(
        stdout(&desk.run(&["doctor", "--disk", "nowhere"])).contains("nowhere"),
        "a disk that is not there is named"
    );
    let schema: Value = serde_json::from_str(&stdout(&desk.run(&["schema"]))).unwrap();
    assert!(schema["properties"]["steps"].is_object());
}

#[test]
fn a_program_for_one_process_says_so_when_a_launcher_starts_several() {
    let desk = Desk::new();
    desk.train_config("run.toml", "run", 2);
    let start = |set: &[(&str, &str)]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
        command.current_dir(desk.dir.path()).args(["train", "run.toml"]).envs(set.iter().copied());
        complaint(&command.output().unwrap())
    };
    assert!(start(&[("RANK", "0")]).contains("WORLD_SIZE"));
    if cfg!(not(feature = "mpi")) {
        assert!(start(&[("RANK", "1"), ("WORLD_SIZE", "2")]).contains("--features mpi"));
    }
    assert!(!desk.path("run").exists());
}

/// Kills a run at several moments, then lets it finish: the weights equal those of a run that nobody disturbed.
#[test]
fn a_run_that_is_killed_again_and_again_ends_with_the_same_weights() {
    let desk = Desk::new();
    desk.train_config("straight.toml", "straight", 8);
    desk.train_config("killed.toml", "killed", 8);
    stdout(&desk.run(&["train", "straight.toml"]));
    let mut rng = strefer_core::Rng::new(11, "kills");
    for _ in 0..4 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_strefer"))
            .current_dir(desk.dir.path())
            .args(["train", "killed.toml", "--resume"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(150 + rng.below(900) as u64));
        // It may have finished already; then there is nothing to kill.
        let _ = child.kill();
        child.wait().unwrap();
    }
    stdout(&desk.run(&["train", "killed.toml", "--resume"]));
    let weights = |run: &str| std::fs::read(desk.path(run).join("final/model.safetensors")).unwrap();
    assert_eq!(weights("straight"), weights("killed"));
}

/// A disk that fills while saving: the run fails with the file's name, and what was saved before is whole.
#[test]
#[cfg(target_os = "linux")]
fn a_disk_that_fills_while_saving_leaves_the_last_checkpoint_whole() {
    let desk = Desk::new();
    desk.train_config("run.toml", "run", 2);
    stdout(&desk.run(&["train", "run.toml"]));
    desk.train_config("full.toml", "full", 2);
    let program = env!("CARGO_BIN_EXE_strefer");
    let shell = format!("ulimit -f 2000; trap '' XFSZ; exec {program} train full.toml");
    let output = Command::new("bash").current_dir(desk.dir.path()).args(["-c", &shell]).output().unwrap();
    assert!(complaint(&output).contains("full/checkpoints"), "the file is named");
    let left = std::fs::read_dir(desk.path("full/checkpoints")).unwrap().count();
    assert_eq!(left, 0, "nothing half written stays");
    assert!(!desk.path("full/final").exists());
    stdout(&desk.run(&["train", "full.toml", "--resume"]));
    let weights = |run: &str| std::fs::read(desk.path(run).join("final/model.safetensors")).unwrap();
    assert_eq!(weights("run"), weights("full"));
}
