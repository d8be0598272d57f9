//! `strefer mix` as a user runs it: published formats beside our own samples, what is left out and why, and wrong input of each kind.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};
use strefer_core::mixture::MixtureConfig;
use strefer_core::sample::RegionMode;
use strefer_store::{SampleSet, Shelf};

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn mix(&self, out: &str, more: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
        command.args(["mix", "mix.toml", "--out", out]).args(more);
        command.current_dir(self.dir.path()).output().unwrap()
    }

    fn made(&self, out: &str, more: &[&str]) -> Value {
        let output = self.mix(out, more);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    fn refused(&self, more: &[&str]) -> String {
        let output = self.mix("never", more);
        assert!(!output.status.success(), "it should have failed");
        let left: Vec<String> = std::fs::read_dir(self.dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
            .filter(|name| name.contains("never"))
            .collect();
        assert_eq!(left, Vec::<String>::new(), "nothing is left");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn samples(&self, folder: &str) -> Vec<strefer_core::Sample> {
        let shelf = Shelf::new(0, Duration::from_secs(1)).unwrap();
        let set = SampleSet::open(&self.path(folder), None, None, &shelf).unwrap();
        (0..set.len()).map(|at| set.get(at).unwrap()).collect()
    }
}

fn turns(question: &str, answer: &str) -> Value {
    json!([{"role": "user", "text": format!("<video>\n{question}")}, {"role": "assistant", "text": answer}])
}

/// A sample of our own about the `video`, of a group.
fn sample(id: usize, video: &str, group: &str) -> Value {
    json!({"type": "sample", "schema": "strefer/1", "id": format!("s{id}"), "video_id": video,
        "media": [{"kind": "video", "uri": format!("clips/{video}.mp4")}],
        "conversations": turns(&format!("Question {id}?"), "An answer."),
        "task": {"group": group, "name": "plain"}})
}

fn jsonl(lines: impl IntoIterator<Item = Value>) -> String {
    lines.into_iter().map(|line| format!("{line}\n")).collect()
}

/// Forty samples of our own about ten videos, and three records of VideoRefer, one of which is damaged.
fn filled() -> Desk {
    let desk = Desk::new();
    let own =
        (0..40).map(|id| sample(id, &format!("video{}", id % 10), if id % 4 == 0 { "G7" } else { "G1" }));
    // The first again, in other letters, from another folder.
    let mut again = sample(0, "video0", "G7");
    again["id"] = json!("again");
    again["media"][0]["uri"] = json!("elsewhere/video0.mp4");
    again["conversations"] = turns("question  0", "AN ANSWER!");
    desk.write("own/a.jsonl", &jsonl(own.chain([again])));
    let region = |key: &str| json!([{key: {"segmentation": {"size": [40, 60], "counts": [610, 30, 1760]}}}]);
    let turns = json!([{"from": "human", "value": "<video>\nWhat is <region>?"}, {"from": "gpt", "value": "A line."}]);
    let foreign = json!([
        {"id": 1, "video": "panda/RoripwjYFp8_1.0_5.0.mp4", "conversations": turns, "annotation": region("3")},
        {"id": 2, "video": "panda/b.mp4", "conversations": turns, "annotation": region("3")},
        {"id": 3, "video": "panda/c.mp4", "conversations": turns}
    ]);
    desk.write("foreign.json", &foreign.to_string());
    desk.write("avoid.txt", "RoripwjYFp8\nclips/video9.mp4\n\n");
    desk.write(
        "mix.toml",
        "version = 1\nseed = 3\nmax_bad = 0.5\nper_file = 7\nval = { share = 0.2 }\nunwanted = { lists = [\"avoid.txt\"] }\n\
         [[sources]]\nname = \"own\"\npath = \"own\"\nmedia_root = \"media\"\ncap = 20\ngroups = { G7 = 4 }\nrefers = { neither = 18 }\nweight = 2.0\n\
         [[sources]]\nname = \"foreign\"\npath = \"foreign.json\"\nformat = \"videorefer\"\nreferences = { box = 1.0 }\n",
    );
    desk
}

#[test]
fn sources_become_one_mixture_that_training_reads() {
    let desk = filled();
    let report = desk.made("out", &[]);
    let (own, foreign) = (&report["sources"][0], &report["sources"][1]);
    assert_eq!((&own["records"], &own["bad"], &own["duplicates"]), (&json!(41), &json!(0), &json!(1)));
    assert_eq!((&own["unwanted"], &own["unwanted_videos"]), (&json!(4), &json!(1)));
    let count = |value: &Value| value.as_u64().unwrap() as usize;
    let all = ["unwanted", "duplicates", "over_cap", "train", "val"]
        .iter()
        .map(|name| count(&own[name]))
        .sum::<usize>();
    assert_eq!(all, 41, "every record is somewhere: {own}");
    assert_eq!(count(&own["groups"]["G7"]), 4);
    assert_eq!(
        (&foreign["records"], &foreign["bad"], &foreign["unwanted"]),
        (&json!(3), &json!(1), &json!(1))
    );
    assert_eq!(count(&report["epoch"]), 2 * count(&own["train"]) + count(&foreign["train"]));
    assert_eq!(
        report,
        serde_json::from_slice::<Value>(&std::fs::read(desk.path("out/mixture.json")).unwrap()).unwrap()
    );

    // Why each was left out.
    let dropped = desk.lines("out/dropped.jsonl");
    let kinds: Vec<&str> = dropped.iter().map(|line| line["kind"].as_str().unwrap()).collect();
    assert_eq!(kinds.iter().filter(|kind| **kind == "unwanted").count(), 5);
    let bad = dropped.iter().find(|line| line["kind"] == "bad").unwrap();
    assert!(bad["reason"].as_str().unwrap().contains("1 <region> in the text, 0 objects"), "{bad}");
    assert!(dropped.iter().any(|line| line["kind"] == "duplicate" && line["id"] == "again"));

    // No video is both learnt from and held out.
    let train = desk.samples("out/train/own");
    let val = if count(&own["val"]) > 0 { desk.samples("out/val/own") } else { Vec::new() };
    let videos = |samples: &[strefer_core::Sample]| -> BTreeSet<String> {
        samples.iter().map(|sample| sample.video_id.clone()).collect()
    };
    assert!(videos(&train).is_disjoint(&videos(&val)));
    assert_eq!((train.len(), val.len()), (count(&own["train"]), count(&own["val"])));
    assert!(train.iter().all(|sample| sample.mix.as_ref().unwrap().source == "own"));
    assert!(std::fs::read_dir(desk.path("out/train/own")).unwrap().count() >= 2, "seven samples a file");

    // Masks became boxes.
    if count(&foreign["train"]) > 0 {
        let region = &desk.samples("out/train/foreign")[0].regions[0];
        assert_eq!(region.mode, RegionMode::SingleFixed);
        assert_eq!(foreign["references"]["box"], json!(1));
    }

    // What training reads.
    let text = std::fs::read_to_string(desk.path("out/mixture.toml")).unwrap();
    let mixture: MixtureConfig = toml::from_str(&text).unwrap();
    assert_eq!((mixture.sources[0].name.as_str(), mixture.sources[0].weight), ("own", 2.0));
    assert!(mixture.sources[0].path.ends_with("out/train/own") && mixture.sources[0].path.is_absolute());
    assert!(mixture.sources[0].media_root.as_ref().unwrap().ends_with("media"));
}

#[test]
fn the_same_sources_give_the_same_files_in_whatever_order_they_lie() {
    let desk = filled();
    desk.made("one", &[]);
    desk.made("two", &[]);
    let files = |out: &str| -> Vec<(PathBuf, Vec<u8>)> {
        fn walk(root: &Path, at: &Path, found: &mut Vec<(PathBuf, Vec<u8>)>) {
            for entry in std::fs::read_dir(at).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    walk(root, &path, found);
                } else if !path.ends_with("mixture.toml") {
                    found.push((path.strip_prefix(root).unwrap().to_owned(), std::fs::read(&path).unwrap()));
                }
            }
        }
        let (root, mut found) = (desk.path(out), Vec::new());
        walk(&root, &root, &mut found);
        found.sort();
        found
    };
    assert!(files("one").len() > 4 && files("one") == files("two"));

    // The same lines, the last first: the same samples are taken.
    let ids = |out: &str| -> BTreeSet<String> {
        desk.samples(&format!("{out}/train/own")).into_iter().map(|sample| sample.id).collect()
    };
    let mut lines = desk.lines("own/a.jsonl");
    lines.pop();
    lines.reverse();
    desk.write("own/a.jsonl", &jsonl(lines));
    desk.made("three", &[]);
    assert_eq!(ids("one"), ids("three"));
    desk.made("four", &["--set", "seed=4"]);
    assert_ne!(ids("one"), ids("four"));
}

#[test]
fn questions_alone_may_count_and_repeats_may_be_kept() {
    let desk = filled();
    let mut other = sample(1, "video1", "G1");
    other["id"] = json!("other answer");
    other["conversations"][1]["text"] = json!("Something else.");
    let lines: Vec<Value> = desk.lines("own/a.jsonl").into_iter().chain([other]).collect();
    desk.write("own/a.jsonl", &jsonl(lines));
    for (by, repeated) in [("keep", 0), ("conversation", 1), ("question", 2)] {
        let report = desk.made(by, &["--set", &format!("duplicates={by}")]);
        assert_eq!(report["sources"][0]["duplicates"], json!(repeated), "{by}");
    }
}

#[test]
fn lengths_of_texts_are_told_with_a_tokenizer() {
    let desk = filled();
    let init = ["init", "--text", "own/a.jsonl", "--vocab", "300", "--out", "model"];
    let made =
        Command::new(env!("CARGO_BIN_EXE_strefer")).args(init).current_dir(desk.dir.path()).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let report = desk.made("out", &["--set", "tokenizer=model"]);
    let tokens = &report["sources"][0]["tokens"];
    assert_eq!((&tokens["counted"], &tokens["error"]), (&report["sources"][0]["train"], &json!(0.0)));
    assert!(tokens["mean"].as_f64().unwrap() > 3.0 && tokens["longest"].as_f64() >= tokens["mean"].as_f64());
}

#[test]
fn wrong_input_is_named_and_leaves_nothing() {
    let desk = filled();
    for (set, expected) in [
        (
            "max_bad=0.1",
            "source \"foreign\": 1 of 3 records are no samples, more than max_bad allows; the first: record 3",
        ),
        ("version=2", "version 2 is not known"),
        ("val.share=0.9", "val.share is 0.9"),
        ("unwanted.benchmarks=[\"qvhighlights\"]", "needs unwanted.root"),
        ("unwanted.lists=[\"nowhere.txt\"]", "nowhere.txt"),
        ("duplicates=\"all\"", "duplicates"),
        ("speed=1", "speed"),
        ("tokenizer=nowhere", "nowhere"),
    ] {
        let text = desk.refused(&["--set", set]);
        assert!(text.contains(expected), "{set}: {text}");
    }
    let root =
        desk.refused(&["--set", "unwanted.benchmarks=[\"qvhighlights\"]", "--set", "unwanted.root=bench"]);
    assert!(root.contains("highlight_val_release.jsonl"), "{root}");
    // The recipes of the repository name benchmarks that there are.
    let recipe = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../configs/mixture/strefer-final.toml");
    let recipe = std::fs::read_to_string(recipe).unwrap();
    let list = recipe.split("benchmarks = ").nth(1).unwrap().lines().next().unwrap();
    let set = format!("unwanted.benchmarks={list}");
    let files = desk.refused(&["--set", &set, "--set", "unwanted.root=bench"]);
    assert!(files.contains("VideoRefer-Bench-Q.json"), "{files}");
    let unknown =
        desk.refused(&["--set", "unwanted.benchmarks=[\"mmbench\"]", "--set", "unwanted.root=bench"]);
    assert!(unknown.contains("mmbench"), "{unknown}");

    desk.made("out", &[]);
    let before = std::fs::read(desk.path("out/mixture.json")).unwrap();
    let again = desk.mix("out", &[]);
    assert!(String::from_utf8_lossy(&again.stderr).contains("out exists already"));
    assert_eq!(std::fs::read(desk.path("out/mixture.json")).unwrap(), before);

    // Caps that are not reached are told, and so are groups that nothing belongs to.
    let short = desk
        .mix("short", &["--set", "sources=[{name=\"own\", path=\"own\", groups={G8=5}, refers={mask=3}}]"]);
    let said = String::from_utf8_lossy(&short.stderr);
    assert!(
        short.status.success() && said.contains("5 samples are missing from the cap of group G8"),
        "{said}"
    );
    assert!(said.contains("3 samples are missing from the cap of \"mask\""), "{said}");

    desk.write("own/b.jsonl", "{\"type\": \"video\"}\n");
    assert!(desk.refused(&["--set", "max_bad=0"]).contains("b.jsonl, line 1"));
    desk.write("foreign.json", "[{\"id\": 1, \"video\"");
    assert!(desk.refused(&[]).contains("foreign.json, line 1"));
    std::fs::remove_dir_all(desk.path("own")).unwrap();
    assert!(desk.refused(&[]).contains("own"));
}

#[test]
fn shares_are_fitted_on_small_runs() {
    let desk = Desk::new();
    let run = |a: f64| json!({"shares": {"a": a, "b": 1.0 - a}, "score": 10.0 + 3.0 * a.sqrt() + 4.0 * (1.0 - a).sqrt()});
    desk.write("runs.jsonl", &jsonl([0.0, 0.3, 0.5, 0.8, 1.0].map(run)));
    let fit = |file: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
        command.args(["mix-weights", file]).current_dir(desk.dir.path()).output().unwrap()
    };
    let fitted: Value = serde_json::from_slice(&fit("runs.jsonl").stdout).unwrap();
    assert!((fitted["shares"]["a"].as_f64().unwrap() - 0.36).abs() < 1e-3, "{fitted}");
    desk.write("few.jsonl", &jsonl([run(0.5)]));
    let few = fit("few.jsonl");
    let text = String::from_utf8_lossy(&few.stderr);
    assert!(!few.status.success() && text.contains("few.jsonl") && text.contains("too few"), "{text}");
}
