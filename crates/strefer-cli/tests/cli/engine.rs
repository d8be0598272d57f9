//! `strefer engine run` as a user runs, kills and shares it; a server on this machine is the teacher.

use std::collections::BTreeSet;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use strefer_core::Rng;

use crate::lab::{Lab, config, knows};
use crate::stand_in::StandIn;

/// Films, a server that takes its time, and a configuration as a file.
fn desk(films: usize, takes_ms: u64) -> (Lab, StandIn) {
    let server = StandIn::start([]).answering(knows).takes(Duration::from_millis(takes_ms));
    let lab = Lab::new();
    lab.films(films);
    std::fs::write(lab.path("engine.toml"), toml::to_string(&config(&server)).unwrap()).unwrap();
    (lab, server)
}

fn start(lab: &Lab, out: &str, more: &[&str]) -> Child {
    Command::new(env!("CARGO_BIN_EXE_strefer"))
        .current_dir(lab.path(""))
        .args(["engine", "run", "engine.toml", "--videos", "films", "--given", "given", "--out", out])
        .args(more)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts")
}

fn run(lab: &Lab, out: &str, more: &[&str]) -> Output {
    start(lab, out, more).wait_with_output().unwrap()
}

/// What a run prints.
fn works(lab: &Lab, out: &str, more: &[&str]) -> Value {
    let output = run(lab, out, more);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Questions that were answered; none twice.
fn answered(lab: &Lab, out: &str) -> usize {
    let entries = lab.ledger(out);
    let keys: Vec<&str> =
        entries.iter().filter(|entry| entry.outcome == "answered").map(|entry| entry.key.as_str()).collect();
    assert_eq!(keys.len(), keys.iter().collect::<BTreeSet<_>>().len(), "a question was answered twice");
    keys.len()
}

#[test]
fn a_run_that_is_killed_again_and_again_ends_like_an_undisturbed_one() {
    let (lab, server) = desk(4, 30);
    works(&lab, "whole", &[]);
    let asked = server.asked().len();
    let mut rng = Rng::new(1, "kills");
    let mut kills = 0;
    while kills < 8 {
        let mut child = start(&lab, "killed", &[]);
        std::thread::sleep(Duration::from_millis(60 + rng.below(300) as u64));
        if child.try_wait().unwrap().is_some() {
            // It was through before.
            std::fs::remove_dir_all(lab.path("killed")).unwrap();
            continue;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        kills += 1;
    }
    let summary = works(&lab, "killed", &[]);
    assert_eq!((&summary["videos"], &summary["parked"]), (&4.into(), &0.into()));
    assert_eq!(lab.files("whole"), lab.files("killed"));
    assert_eq!(answered(&lab, "killed"), asked);
}

#[test]
fn two_processes_share_a_run_and_one_may_die() {
    let (lab, server) = desk(6, 30);
    works(&lab, "whole", &[]);
    let asked = server.asked().len();
    let (one, mut other) = (start(&lab, "shared", &[]), start(&lab, "shared", &[]));
    std::thread::sleep(Duration::from_millis(250));
    other.kill().unwrap();
    other.wait().unwrap();
    let output = one.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(lab.files("whole"), lab.files("shared"));
    assert_eq!(answered(&lab, "shared"), asked);
}

#[cfg(unix)]
#[test]
fn a_signal_ends_a_run_cleanly_and_the_same_command_goes_on() {
    let (lab, server) = desk(4, 60);
    let child = start(&lab, "out", &[]);
    // Before it asks, it may not listen to signals yet.
    while server.asked().is_empty() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // SAFETY: a signal to a process that this test started and has not waited for.
    assert_eq!(unsafe { libc::kill(child.id() as i32, libc::SIGTERM) }, 0);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("the same command goes on"), "{said}");
    assert!(!lab.path("out/samples.jsonl").exists());
    assert_eq!(works(&lab, "out", &[])["videos"], 4);
    answered(&lab, "out");
}

#[test]
fn shards_together_make_what_one_run_makes() {
    let (lab, server) = desk(3, 0);
    works(&lab, "whole", &[]);
    let asked = server.asked().len();
    for shard in ["0/2", "1/2"] {
        assert_eq!(works(&lab, "shards", &["--shard", shard])["videos"], 0, "nothing is joined");
    }
    assert_eq!(works(&lab, "shards", &[])["kept"], 3);
    assert_eq!(lab.files("whole"), lab.files("shards"));
    assert_eq!(answered(&lab, "shards"), asked);
    let output = run(&lab, "shards", &["--shard", "2/2"]);
    assert!(String::from_utf8_lossy(&output.stderr).contains("expected K/N"));
}

#[test]
fn plans_replays_and_wrong_calls_say_what_they_should() {
    let (lab, server) = desk(2, 0);
    let plan = works(&lab, "out", &["--dry-run"]);
    assert_eq!((&plan["videos"], &plan["stages"]["recognise"]["asks"]), (&2.into(), &2.into()));
    assert!(server.asked().is_empty());
    assert!(!lab.path("out").exists(), "counting leaves no folder");
    works(&lab, "out", &[]);
    let asked = server.asked().len();
    // The stages' outputs are gone, the answers are not.
    std::fs::remove_dir_all(lab.path("out/stages")).unwrap();
    let before = lab.files("out");
    works(&lab, "out", &["--replay"]);
    assert_eq!((lab.files("out"), server.asked().len()), (before, asked));

    let complains = |more: &[&str], words: &str| {
        let output = run(&lab, "out", more);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !said.contains("panicked") && said.contains(words), "{said}");
    };
    complains(&["--set", "instruct.seed=3"], "another configuration");
    complains(&["--set", "work.workers=0"], "workers");
    complains(&["--stage", "colour"], "expected one of recognise, parse");
    complains(&["--set", "old_key=3"], "old_key");
    assert_eq!(works(&lab, "out", &["--set", "instruct.seed=3", "--changed"])["kept"], 0);
    assert_eq!(server.asked().len(), asked);
}

#[test]
fn a_disk_that_fills_ends_the_run_and_with_more_room_it_goes_on() {
    let (lab, server) = desk(3, 0);
    works(&lab, "whole", &[]);
    let asked = server.asked().len();
    // No file may grow beyond a kilobyte.
    let program = env!("CARGO_BIN_EXE_strefer");
    let line = format!(
        "trap '' XFSZ; ulimit -f 1; exec {program} engine run engine.toml --videos films --given given --out small"
    );
    let full = Command::new("bash").current_dir(lab.path("")).args(["-c", &line]).output().unwrap();
    let told = String::from_utf8_lossy(&full.stderr).into_owned();
    assert!(!full.status.success() && !told.contains("panicked"), "{told}");
    assert!(told.contains("File too large") && told.contains("small/"), "{told}");
    works(&lab, "small", &[]);
    for file in ["videos", "entities", "masklets", "clips", "transcript", "samples"] {
        let read = |out: &str| std::fs::read(lab.path(&format!("{out}/{file}.jsonl"))).unwrap();
        assert!(read("whole") == read("small"), "{file}");
    }
    // What was asked and could not be kept is asked again, and nothing else.
    answered(&lab, "small");
    assert!(server.asked().len() >= 2 * asked);
}

#[test]
fn eight_hours_of_video_become_parts_in_bounded_time() {
    let lab = Lab::new();
    std::fs::create_dir(lab.path("long")).unwrap();
    let encoding = strefer_video::write::Encoding { fps: 1.0, ..Default::default() };
    let path = lab.path("long/day.mp4");
    let mut writer = strefer_video::write::VideoWriter::create(&path, 64, 48, &encoding).unwrap();
    // Another colour every half hour.
    for at in 0..8 * 3600_u32 {
        let shade = (at / 1800 * 41 % 256) as u8;
        writer
            .push(&image::RgbImage::from_pixel(64, 48, image::Rgb([shade, 255 - shade, shade / 2])))
            .unwrap();
    }
    writer.finish().unwrap();
    std::fs::write(lab.path("long.toml"), "version = 1\n[clips]\n[work]\nstage_s = 60.0\n").unwrap();
    let began = std::time::Instant::now();
    let run = Command::new(env!("CARGO_BIN_EXE_strefer"))
        .current_dir(lab.path(""))
        .args(["engine", "run", "long.toml", "--videos", "long", "--stage", "clips", "--out", "out"])
        .output()
        .unwrap();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    eprintln!("{:.1} s", began.elapsed().as_secs_f64());
    let inside = |path: std::path::PathBuf| std::fs::read_dir(path).unwrap().next().unwrap().unwrap().path();
    let made = inside(inside(lab.path("out/stages/clips")));
    let lines = strefer_core::jsonl::Reader::<Value>::open(made).unwrap();
    let text: String = lines.map(|line| line.unwrap().to_string()).collect();
    let parts = text.matches("\"cid\"").count();
    assert!((16..=240).contains(&parts), "{parts}");
    let ends = text
        .split("\"end_s\":")
        .skip(1)
        .filter_map(|rest| rest.split([',', '}']).next()?.parse::<f64>().ok());
    let last_s = ends.fold(0.0, f64::max);
    assert!((last_s - 28_800.0).abs() < 2.0, "they reach to the end: {last_s}");
}
