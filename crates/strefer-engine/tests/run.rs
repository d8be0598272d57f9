//! A run over videos of which all is known: whole files, continued where it stopped, never over something else.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use strefer_core::Sample;
use strefer_core::jsonl::read_records;
use strefer_engine::pipeline::{Crew, Event, Input, Run, RunFolder, Summary, input};
use strefer_engine::queue::FolderQueue;
use strefer_engine::stages::{self, Stages};
use strefer_engine::{EngineConfig, InstructConfig, Result};

fn inputs(indices: std::ops::Range<u64>) -> Vec<Input> {
    let input = |index| {
        let truth = common::truth(7, index);
        let (video_id, uri) = (truth.video.video_id.clone(), truth.video.uri.clone());
        Input { video_id, path: uri.clone().into(), uri, shelf: None, known: Some(Arc::new(truth)) }
    };
    indices.map(input).collect()
}

fn config(compress: bool) -> EngineConfig {
    let instruct = InstructConfig { seed: 5, ..InstructConfig::default() };
    EngineConfig { compress, instruct, ..EngineConfig::default() }
}

/// Runs until `most` videos are settled, joins when none is left.
fn run_until(inputs: &[Input], dir: &Path, cfg: &EngineConfig, most: usize) -> Result<Summary> {
    let folder = RunFolder::claim(dir, cfg, false)?;
    let (crew, stop, settled) = (Crew::default(), AtomicBool::new(false), AtomicUsize::new(0));
    let observer = |event: &Event<'_>| {
        if matches!(event, Event::Settled(_)) && settled.fetch_add(1, Ordering::Relaxed) + 1 == most {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let run =
        Run { cfg, crew: &crew, folder: &folder, only: None, retry: false, stop: &stop, observer: &observer };
    let queue = FolderQueue::open(folder.path("leases"), run.work_names(inputs))?;
    let summary = run.over(inputs, &queue)?;
    if summary.left == 0 { run.join(inputs, summary) } else { Ok(summary) }
}

fn run(inputs: &[Input], dir: &Path, cfg: &EngineConfig) -> Result<Summary> {
    run_until(inputs, dir, cfg, usize::MAX)
}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_file() && !entry.file_name().to_string_lossy().starts_with('.'))
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn a_run_writes_every_stage_and_the_samples_whole() {
    for compress in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let summary = run(&inputs(0..5), &out, &config(compress)).unwrap();
        assert_eq!((summary.videos, summary.kept, summary.left), (5, 0, 0));
        let ending = if compress { "jsonl.zst" } else { "jsonl" };
        let mut names: Vec<String> = files(&out).into_keys().collect();
        names.retain(|name| name != "engine.json");
        let expected = ["clips", "entities", "masklets", "samples", "transcript", "videos"];
        assert_eq!(names, expected.map(|name| format!("{name}.{ending}")));
        let read: Vec<Stages> = stages::read(&out).unwrap().map(|stages| stages.unwrap()).collect();
        let made: Vec<Stages> = (0..5).map(|index| common::truth(7, index).stages()).collect();
        assert_eq!(read, made);
        let samples: Vec<Sample> = read_records(out.join(format!("samples.{ending}")))
            .unwrap()
            .map(|sample| sample.unwrap())
            .collect();
        let turns: usize = samples.iter().map(|sample| sample.conversations.len() / 2).sum();
        assert_eq!((samples.len(), turns), (summary.samples, summary.turns));
    }
}

#[test]
fn a_stopped_run_continues_to_the_same_files() {
    let dir = tempfile::tempdir().unwrap();
    let (whole, stopped) = (dir.path().join("whole"), dir.path().join("stopped"));
    run(&inputs(0..6), &whole, &config(false)).unwrap();
    let mut one = config(false);
    one.work.workers = 1;
    let summary = run_until(&inputs(0..6), &stopped, &one, 4).unwrap();
    assert_eq!((summary.left, summary.stopped.as_deref()), (2, Some("it was asked to stop")));
    assert!(!stopped.join("samples.jsonl").exists());
    // How the work is done, here by several workers, does not change what is made.
    let summary = run(&inputs(0..6), &stopped, &config(false)).unwrap();
    assert_eq!((summary.videos, summary.kept), (6, 4));
    assert_eq!(files(&whole), files(&stopped));
}

#[test]
fn a_finished_run_is_left_alone_or_grows() {
    let dir = tempfile::tempdir().unwrap();
    let (out, whole) = (dir.path().join("out"), dir.path().join("whole"));
    let first = run(&inputs(0..3), &out, &config(false)).unwrap();
    let before = files(&out);
    let again = run(&inputs(0..3), &out, &config(false)).unwrap();
    assert_eq!(again, Summary { kept: 3, ..first });
    assert_eq!(before, files(&out));
    let grown = run(&inputs(0..5), &out, &config(false)).unwrap();
    assert_eq!((grown.videos, grown.kept), (5, 3));
    run(&inputs(0..5), &whole, &config(false)).unwrap();
    assert_eq!(files(&whole), files(&out));
}

#[test]
fn foreign_folders_and_other_configurations_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "years").unwrap();
    let refusal = run(&inputs(0..1), &foreign, &config(false)).unwrap_err().to_string();
    assert!(refusal.contains("foreign") && refusal.contains("holds no engine.json"), "{refusal}");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
    let out = dir.path().join("out");
    run(&inputs(0..1), &out, &config(false)).unwrap();
    let mut other = config(false);
    other.instruct.seed = 6;
    let refusal = run(&inputs(0..1), &out, &other).unwrap_err().to_string();
    assert!(refusal.contains("another configuration"), "{refusal}");
    RunFolder::claim(&out, &other, true).unwrap();
    assert_eq!(run(&inputs(0..1), &out, &other).unwrap().kept, 0);
    fs::write(out.join("engine.json"), r#"{"format":"strefer-engine/1","config_hash":"","config":{}}"#)
        .unwrap();
    let refusal = run(&inputs(0..1), &out, &other).unwrap_err().to_string();
    assert!(refusal.contains("another version (strefer-engine/1"), "{refusal}");
}

#[test]
fn a_video_that_comes_twice_is_an_error() {
    let twice = inputs(2..3).into_iter().chain(inputs(2..3)).collect();
    assert!(input::unique(twice).err().unwrap().to_string().starts_with("video v0002: "));
}

#[test]
fn configurations_of_another_version_or_that_cannot_be_meant_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine.toml");
    let refused = |text: &str, words: &[&str]| {
        fs::write(&path, text).unwrap();
        let error = EngineConfig::load(&path, &[]).unwrap_err().to_string();
        assert!(error.contains("engine.toml") && words.iter().all(|word| error.contains(word)), "{error}");
    };
    refused("version = 0\nold_key = 1", &["version 0", "reads version 1"]);
    refused("old_key = 1", &["old_key"]);
    refused("[recognise]\nteacher = \"eyes\"", &["recognise", "\"eyes\""]);
    let teacher = "[[teachers.eyes.endpoints]]\nurl = \"http://x\"\nmodel = \"m\"\n";
    refused(&format!("{teacher}[recognise]\nteacher = \"eyes\""), &["belong together"]);
    refused("[clips]\nfeatures = \"siglip\"", &["tower"]);
    refused("[clips.semantic]\nlongest_s = 1.0", &["longest_s"]);
    refused("[masklets]\nsource = \"guessed\"", &["guessed"]);
    refused("[masklets]\nsource = \"simulated\"\nnoise = { miss = 2.0 }", &["miss"]);
    refused("[work]\nworkers = 0", &["workers"]);
    fs::write(&path, "version = 1\n[clips.shots]\ndetector = \"content\"").unwrap();
    assert!(EngineConfig::load(&path, &[]).unwrap().clips.is_some());
}
