//! A run over many videos: whole files, continued where it stopped, never over something else.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use strefer_core::Sample;
use strefer_core::jsonl::read_records;
use strefer_engine::run::{Summary, run};
use strefer_engine::stages::{self, Stages};
use strefer_engine::{EngineConfig, Error, InstructConfig, Result};

fn inputs(indices: impl Iterator<Item = u64>) -> impl Iterator<Item = Result<Stages>> {
    indices.map(|index| Ok(common::truth(7, index).stages()))
}

fn config(compress: bool) -> EngineConfig {
    EngineConfig { compress, instruct: InstructConfig { seed: 5, ..InstructConfig::default() } }
}

fn quiet(_: &str) {}

fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect()
}

#[test]
fn a_run_writes_every_stage_and_the_samples_whole() {
    for compress in [false, true] {
        let dir = tempfile::tempdir().unwrap();
        let out = dir.path().join("out");
        let summary = run(inputs(0..5), &out, &config(compress), quiet).unwrap();
        assert_eq!((summary.videos, summary.kept), (5, 0));
        let ending = if compress { "jsonl.zst" } else { "jsonl" };
        let mut names: Vec<String> = files(&out).into_keys().collect();
        names.retain(|name| name != "engine.json");
        let expected = ["clips", "entities", "masklets", "samples", "transcript", "videos"];
        assert_eq!(names, expected.map(|name| format!("{name}.{ending}")));
        let read: Vec<Stages> = stages::read(&out).unwrap().map(|stages| stages.unwrap()).collect();
        let made: Vec<Stages> = inputs(0..5).map(|stages| stages.unwrap()).collect();
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
    run(inputs(0..6), &whole, &config(false), quiet).unwrap();
    let broken = inputs(0..4).chain(std::iter::once(Err(Error::Config("the power is gone".to_owned()))));
    assert!(
        run(broken, &stopped, &config(false), quiet).unwrap_err().to_string().contains("the power is gone")
    );
    assert!(!stopped.join("samples.jsonl").exists());
    let summary = run(inputs(0..6), &stopped, &config(false), quiet).unwrap();
    assert_eq!((summary.videos, summary.kept), (6, 4));
    assert_eq!(files(&whole), files(&stopped));
}

#[test]
fn a_finished_run_is_left_alone_or_grows() {
    let dir = tempfile::tempdir().unwrap();
    let (out, whole) = (dir.path().join("out"), dir.path().join("whole"));
    let first = run(inputs(0..3), &out, &config(false), quiet).unwrap();
    let before = files(&out);
    let again = run(inputs(0..3), &out, &config(false), quiet).unwrap();
    assert_eq!(again, Summary { kept: 3, ..first });
    assert_eq!(before, files(&out));
    let grown = run(inputs(0..5), &out, &config(false), quiet).unwrap();
    assert_eq!((grown.videos, grown.kept), (5, 3));
    run(inputs(0..5), &whole, &config(false), quiet).unwrap();
    assert_eq!(files(&whole), files(&out));
}

#[test]
fn foreign_folders_and_other_configurations_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let foreign = dir.path().join("foreign");
    fs::create_dir(&foreign).unwrap();
    fs::write(foreign.join("thesis.tex"), "years").unwrap();
    let refusal = run(inputs(0..1), &foreign, &config(false), quiet).unwrap_err().to_string();
    assert!(refusal.contains("foreign") && refusal.contains("holds no engine.json"), "{refusal}");
    assert_eq!(fs::read_dir(&foreign).unwrap().count(), 1);
    let out = dir.path().join("out");
    run(inputs(0..1), &out, &config(false), quiet).unwrap();
    let mut other = config(false);
    other.instruct.seed = 6;
    let refusal = run(inputs(0..1), &out, &other, quiet).unwrap_err().to_string();
    assert!(refusal.contains("another configuration"), "{refusal}");
}

#[test]
fn a_video_that_comes_twice_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let twice = run(inputs([2, 2].into_iter()), &dir.path().join("out"), &config(false), quiet);
    assert_eq!(twice.unwrap_err().to_string(), r#"video v0002: "v0002" is listed twice"#);
}
