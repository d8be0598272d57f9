//! `strefer engine filter` over samples that were spoilt on purpose, as a user runs it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

struct Desk {
    dir: tempfile::TempDir,
}

impl Desk {
    /// True samples of a few clips, the same spoilt in what they say, and another teacher's records.
    fn new() -> Self {
        let desk = Self { dir: tempfile::tempdir().unwrap() };
        let config = "version = 1\n[instruct]\ndataset = \"t\"\nsplit = \"test\"\nform = \"single_turn\"\ntime_styles = [\"token\"]\n\
                      single_frame_share = 0.0\n[instruct.tasks]\nregion_attribute = 2\nmask_time_behavior = 3\n";
        std::fs::write(desk.path("engine.toml"), config).unwrap();
        desk.runs(&["synth", "--out", "world", "--split", "test", "--seed", "7", "--count", "6"]);
        desk.runs(&["engine", "run", "engine.toml", "--world", "world", "--frames", "8", "--out", "true"]);
        let spoil = ["engine", "spoil", "true/samples.jsonl", "--given", "true", "--share", "0.5"];
        desk.runs(&[&spoil[..], &["--teacher", "0.2", "--out", "spoilt"]].concat());
        desk
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_strefer")).args(args).current_dir(self.dir.path()).output().unwrap()
    }

    fn runs(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(!output.status.success(), "{args:?} should have failed");
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!text.contains("panicked"), "{text}");
        text
    }

    fn lines(&self, name: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.path(name)).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// The model that comes with the repository.
fn tiny() -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../checkpoints/strefer-tiny/final");
    folder.to_string_lossy().into_owned()
}

#[test]
fn wrong_samples_are_refused_and_a_stopped_filter_goes_on() {
    let desk = Desk::new();
    let model = tiny();
    let filter = |out: &str| -> Vec<String> {
        [
            "engine",
            "filter",
            "spoilt/samples.jsonl",
            "--given",
            "spoilt/teacher",
            "--media-root",
            "world",
            "--model",
            &model,
            "--out",
            out,
        ]
        .map(str::to_owned)
        .to_vec()
    };
    let args = filter("one");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let told: Value = serde_json::from_str(&desk.runs(&args)).unwrap();
    let labels: BTreeMap<String, bool> = desk
        .lines("spoilt/labels.jsonl")
        .iter()
        .map(|label| (label["id"].as_str().unwrap().to_owned(), label["spoilt"].is_null()))
        .collect();
    let (kept, refused) = (desk.lines("one/samples.jsonl"), desk.lines("one/refused.jsonl"));
    assert_eq!(kept.len() + refused.len(), labels.len());
    assert_eq!(
        (told["kept"].as_u64(), told["questions"].as_u64()),
        (Some(kept.len() as u64), Some(labels.len() as u64))
    );
    let right = |lines: &[Value]| lines.iter().filter(|line| labels[line["id"].as_str().unwrap()]).count();
    let before = labels.values().filter(|right| **right).count() as f64 / labels.len() as f64;
    let after = right(&kept) as f64 / kept.len() as f64;
    assert!(kept.len() > 5 && refused.len() > 5 && after > before + 0.2, "{before} to {after}");
    assert!(refused.iter().all(|line| !line["reason"].as_str().unwrap().is_empty()));

    // Killed in the middle of a line, it goes on and ends with the same files.
    let scores = std::fs::read(desk.path("one/scores.jsonl")).unwrap();
    std::fs::create_dir(desk.path("two")).unwrap();
    std::fs::copy(desk.path("one/filter.json"), desk.path("two/filter.json")).unwrap();
    std::fs::write(desk.path("two/scores.jsonl"), &scores[..scores.len() / 2]).unwrap();
    let args = filter("two");
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    desk.runs(&args);
    for file in ["scores.jsonl", "samples.jsonl", "refused.jsonl"] {
        let read = |folder: &str| std::fs::read(desk.path(folder).join(file)).unwrap();
        assert!(read("one") == read("two"), "{file}");
    }

    // Limits from these scores, tried on the same: a filter that reads them keeps no fewer right ones than it must.
    let limits = [
        "engine",
        "filter-limits",
        "one/scores.jsonl",
        "--labels",
        "spoilt/labels.jsonl",
        "--test",
        "one/scores.jsonl",
        "--test-labels",
        "spoilt/labels.jsonl",
        "--out",
        "limits.json",
    ];
    let table = desk.runs(&limits);
    let f1 = |name: &str| -> f64 {
        let row = table.lines().find(|line| line.starts_with(&format!("| {name} |"))).unwrap();
        row.split('|').nth(6).unwrap().trim().parse().unwrap()
    };
    assert!(f1("all") > f1("none") && f1("all") >= f1("cycle"), "{table}");
    let args = filter("one");
    let mut args: Vec<&str> = args.iter().map(String::as_str).collect();
    args.extend(["--limits", "limits.json"]);
    desk.runs(&args);

    // The folder belongs to these samples and records.
    let other =
        args.iter().map(|arg| if *arg == "spoilt/teacher" { "true" } else { arg }).collect::<Vec<_>>();
    assert!(desk.refused(&other).contains("one: it holds scores of other samples"));
}

#[test]
fn broken_questions_leaks_and_repeats_are_found_without_a_model() {
    let desk = Desk::new();
    let spoil =
        ["engine", "spoil", "true/samples.jsonl", "--given", "true", "--share", "0.5", "--what", "form"];
    desk.runs(&[&spoil[..], &["--out", "form"]].concat());
    desk.runs(&["engine", "filter", "form/samples.jsonl", "--given", "true", "--no-model", "--out", "out"]);
    let labels: BTreeMap<String, Value> = desk
        .lines("form/labels.jsonl")
        .iter()
        .map(|label| (label["id"].as_str().unwrap().to_owned(), label["spoilt"].clone()))
        .collect();
    for line in desk.lines("out/refused.jsonl") {
        let (way, check) = (&labels[line["id"].as_str().unwrap()], line["check"].as_str().unwrap());
        match way.as_str() {
            Some("leak" | "garbled") => assert_eq!(check, "words", "{line}"),
            Some("repeated") => assert_eq!(check, "repeated", "{line}"),
            other => panic!("{other:?} was refused: {line}"),
        }
    }
    let kept = desk.lines("out/samples.jsonl");
    let left = kept.iter().filter(|line| !labels[line["id"].as_str().unwrap()].is_null()).count();
    let wrong = labels.values().filter(|way| !way.is_null()).count();
    assert!(wrong >= 10 && left == 0, "{left} of {wrong} were not found");
}

#[test]
fn what_cannot_be_meant_is_named() {
    let desk = Desk::new();
    let filter = ["engine", "filter", "true/samples.jsonl", "--no-model", "--out", "out"];
    assert!(desk.refused(&[&filter[..], &["--given", "nowhere"]].concat()).contains("nowhere"));
    assert!(desk.refused(&[&filter[..], &["--limits", "nowhere.json"]].concat()).contains("nowhere.json"));
    assert!(
        desk.refused(&["engine", "filter", "nowhere.jsonl", "--no-model", "--out", "out"])
            .contains("nowhere.jsonl")
    );
    let spoil = ["engine", "spoil", "true/samples.jsonl", "--given", "true", "--out", "again"];
    assert!(desk.refused(&[&spoil[..], &["--share", "1.5"]].concat()).contains("1.5"));
    desk.runs(&spoil);
    assert!(desk.refused(&spoil).contains("again"));
    // A line that is no sample costs no other anything; records that changed are others.
    let text = std::fs::read_to_string(desk.path("true/samples.jsonl")).unwrap();
    std::fs::write(desk.path("torn.jsonl"), format!("{{\"type\":\n{text}")).unwrap();
    let told =
        desk.runs(&["engine", "filter", "torn.jsonl", "--no-model", "--given", "true", "--out", "torn"]);
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!((&told["unreadable"], &told["samples"]), (&1.into(), &text.lines().count().into()));
    assert!(desk.lines("torn/refused.jsonl")[0]["reason"].as_str().unwrap().contains("torn.jsonl, line 1"));
    let records = std::fs::read_to_string(desk.path("true/transcript.jsonl")).unwrap();
    std::fs::write(desk.path("true/transcript.jsonl"), records.replace("jumps", "waits")).unwrap();
    let again = ["engine", "filter", "torn.jsonl", "--no-model", "--given", "true", "--out", "torn"];
    assert!(desk.refused(&again).contains("scores of other samples, records"));

    let lost = desk.path("lost.jsonl");
    std::fs::write(&lost, "{\"id\": \"lost\", \"pair\": 0}\n").unwrap();
    let limits = [
        "engine",
        "filter-limits",
        "lost.jsonl",
        "--labels",
        "again/labels.jsonl",
        "--test",
        "lost.jsonl",
        "--test-labels",
        "again/labels.jsonl",
        "--out",
        "limits.json",
    ];
    assert!(desk.refused(&limits).contains("sample lost has no line"));
    assert!(!desk.path("limits.json").exists());
}
