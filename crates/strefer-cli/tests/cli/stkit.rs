//! `strefer engine stkit` as a user runs, stops, kills and repairs it, on a small nuScenes.

use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use strefer_core::sample::Role;
use strefer_core::{Rng, Sample, StkitAnswer, StkitFacts, StkitTask, jsonl};

#[path = "../../../strefer-engine/tests/stkit_readers/nuscenes_desk.rs"]
#[allow(dead_code, reason = "the engine's own tests use all of it")]
mod nuscenes_desk;

use nuscenes_desk::Desk;

const SCENES: [&str; 5] = ["scene-0001", "scene-0002", "scene-0003", "scene-0004", "scene-0005"];

/// A dataset, one scene of which has a bad row, and a configuration.
fn desk() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    tables(dir.path(), &|desk| desk.row("sample_annotation", "scene-0002 4 0")["size"] = "large".into());
    let text = "version = 1\n[[sources]]\nname = \"street\"\n\
        from = { kind = \"nuscenes\", root = \"nuscenes\", version = \"v1.0-mini\" }\n[pictures]\nkind = \"png\"\n";
    std::fs::write(dir.path().join("run.toml"), text).unwrap();
    dir
}

fn tables(dir: &Path, change: &dyn Fn(&mut Desk)) {
    let mut desk = Desk::new(&dir.join("nuscenes"));
    for scene in SCENES {
        desk.scene(scene);
    }
    change(&mut desk);
    desk.write();
}

fn start(dir: &Path, out: &str, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_strefer"))
        .current_dir(dir)
        .args(["engine", "stkit", "run.toml", "--out", out])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn run(dir: &Path, out: &str, more: &[&str]) -> Output {
    start(dir, out, more).wait_with_output().unwrap()
}

/// What a run prints.
fn works(dir: &Path, out: &str, more: &[&str]) -> Value {
    let output = run(dir, out, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// What a run says when it cannot be done.
fn fails(dir: &Path, out: &str, more: &[&str]) -> String {
    let output = run(dir, out, more);
    assert!(!output.status.success());
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn samples(dir: &Path, out: &str) -> Vec<Sample> {
    jsonl::read_records(dir.join(out).join("samples.jsonl")).unwrap().collect::<Result<_, _>>().unwrap()
}

/// All files that a run is about, by name, with their bytes.
fn files(dir: &Path, out: &str) -> Vec<(String, Vec<u8>)> {
    let mut found = Vec::new();
    let mut open = vec![dir.join(out)];
    while let Some(path) = open.pop() {
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            let name = path.strip_prefix(dir.join(out)).unwrap().to_string_lossy().into_owned();
            // When a run was stopped decides what lies here.
            let is_begun = path.file_name().is_some_and(|name| name.to_string_lossy().ends_with(".tmp"));
            if is_begun || [".join", "leases", "digests"].contains(&name.as_str()) {
                continue;
            }
            match path.is_dir() {
                true => open.push(path),
                false => found.push((name, std::fs::read(&path).unwrap())),
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_dataset_becomes_questions_with_true_answers_about_marked_frames() {
    let dir = desk();
    let summary = works(dir.path(), "out", &[]);
    assert_eq!(
        (&summary["recordings"], &summary["failed"], &summary["left"]),
        (&5.into(), &1.into(), &0.into())
    );
    let samples = samples(dir.path(), "out");
    assert_eq!(samples.len(), summary["samples"].as_u64().unwrap() as usize);
    // The car drives 10 m/s for 5.5 s, whatever the car that films it does.
    let whole = |task: StkitTask, label: f64| {
        samples.iter().filter(|sample| StkitFacts::of(sample).unwrap().task == task).any(|sample| {
            let about_all = !sample.conversations[0].text.contains("between");
            about_all && StkitFacts::of(sample).unwrap().label == StkitAnswer::Number(label)
        })
    };
    assert!(whole(StkitTask::TraveledDistance, 55.0) && whole(StkitTask::TravelingSpeed, 36.0));
    // The truck turns right after two seconds.
    let turns = samples
        .iter()
        .filter_map(StkitFacts::of)
        .any(|facts| facts.task == StkitTask::MovementDirection && facts.label == StkitAnswer::Clock(3));
    assert!(turns);
    for sample in &samples {
        assert!(
            sample.conversations[0].role == Role::User && sample.media[0].uri.starts_with("marked/street/")
        );
    }
    // The truck or the car is marked in red where it is seen.
    let first = image::open(dir.path().join("out").join(&samples[0].media[0].uri).join("00000.png")).unwrap();
    let red = first.into_rgb8().pixels().filter(|pixel| pixel.0 == [255, 0, 0]).count();
    assert!(red > 20, "{red}");
    let failures = std::fs::read_to_string(dir.path().join("out/failures.jsonl")).unwrap();
    assert!(
        failures.contains("street/scene-0002") && failures.contains("sample_annotation.json"),
        "{failures}"
    );
    let counts: Value =
        serde_json::from_slice(&std::fs::read(dir.path().join("out/counts.json")).unwrap()).unwrap();
    assert_eq!(counts["sources"]["street"]["clips"], 4);
    assert_eq!(
        counts["questions"]["traveled_distance"]["sources"]["street"],
        counts["questions"]["traveled_distance"]["questions"]
    );
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_like_an_undisturbed_one() {
    let dir = desk();
    works(dir.path(), "whole", &[]);
    let mut rng = Rng::new(3, "kills");
    for _ in 0..6 {
        let mut child = start(dir.path(), "killed", &[]);
        std::thread::sleep(Duration::from_millis(5 + rng.below(150) as u64));
        // It may be through already: the next call does nothing then.
        let _ = child.kill();
        child.wait().unwrap();
    }
    works(dir.path(), "killed", &[]);
    assert_eq!(files(dir.path(), "whole"), files(dir.path(), "killed"));
    let again = works(dir.path(), "killed", &[]);
    assert_eq!((&again["kept"], &again["failed"]), (&4.into(), &1.into()));
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_run_cleanly_and_the_same_command_goes_on() {
    let dir = desk();
    let mut desk = Desk::new(&dir.path().join("nuscenes"));
    for scene in 0..40 {
        desk.scene(&format!("scene-{scene:04}"));
    }
    desk.write();
    let child = start(dir.path(), "out", &["--set", "work.workers=1"]);
    // With the first clip it listens to signals.
    while !dir.path().join("out/stages").exists() {
        std::thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: a signal to a process that this test started and has not waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("the same command goes on"), "{said}");
    assert!(!dir.path().join("out/samples.jsonl").exists());
    let summary = works(dir.path(), "out", &[]);
    assert!(summary["kept"].as_u64().unwrap() > 0 && summary["left"] == 0, "{summary}");
}

#[test]
fn two_processes_share_a_run() {
    let dir = desk();
    works(dir.path(), "whole", &[]);
    let (one, other) = (start(dir.path(), "shared", &[]), start(dir.path(), "shared", &[]));
    for child in [one, other] {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    assert_eq!(files(dir.path(), "whole"), files(dir.path(), "shared"));
}

#[test]
fn counting_leaves_no_folder_and_what_is_put_right_is_made() {
    let dir = desk();
    assert_eq!(works(dir.path(), "out", &["--dry-run"])["recordings"]["street"], 5);
    assert!(!dir.path().join("out").exists());
    works(dir.path(), "out", &[]);
    tables(dir.path(), &|_| ());
    assert_eq!(works(dir.path(), "out", &[])["failed"], 0);
    assert!(!dir.path().join("out/failures.jsonl").exists());
    // `per_task` balances what is asked.
    let said = fails(dir.path(), "out", &["--set", "stkit.per_task=3"]);
    assert!(said.contains("--changed"), "{said}");
    let summary = works(dir.path(), "out", &["--set", "stkit.per_task=3", "--changed"]);
    assert_eq!(
        (&summary["kept"], &summary["samples"]),
        (&5.into(), &samples(dir.path(), "out").len().into())
    );
    assert!(samples(dir.path(), "out").len() <= 21);
}

#[test]
fn wrong_calls_say_what_is_wrong() {
    let dir = desk();
    let text = std::fs::read_to_string(dir.path().join("run.toml")).unwrap();
    for (from, to, said) in [
        ("version = 1\n", "version = 1\nsource = 3\n", "source"),
        ("root = \"nuscenes\"", "root = \"nowhere\"", "nowhere"),
        ("kind = \"nuscenes\"", "kind = \"kitti\"", "kitti"),
        ("version = 1\n", "", "version"),
    ] {
        std::fs::write(dir.path().join("run.toml"), text.replacen(from, to, 1)).unwrap();
        let error = fails(dir.path(), "out", &[]);
        assert!(error.contains(said), "{said}: {error}");
        assert!(!dir.path().join("out").exists());
    }
    std::fs::write(dir.path().join("run.toml"), text).unwrap();
    std::fs::create_dir(dir.path().join("mine")).unwrap();
    std::fs::write(dir.path().join("mine/thesis.tex"), "").unwrap();
    assert!(fails(dir.path(), "mine", &[]).contains("mine"));
    // Nothing that can be used.
    tables(dir.path(), &|desk| {
        for scene in SCENES {
            desk.drop("sample", &format!("{scene} 3"));
        }
    });
    let error = fails(dir.path(), "out", &[]);
    assert!(error.contains("no recording came to anything") && error.contains("sample.json"), "{error}");
}
