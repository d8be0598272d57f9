//! Runs over whole sources: what is kept, what is made again, what is counted.

use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use strefer_core::{Sample, StkitTask, jsonl};
use strefer_engine::pipeline::{Failure, RunFolder};
use strefer_engine::stkit::Clip;
use strefer_engine::stkit::run::{Event, Report, Source, SourceConfig, StkitRun, StkitRunConfig, Summary};
use strefer_nn::testing::device;

use super::npy::records;
use super::nuscenes_desk::Desk;
use super::pseudo;

/// Lifted videos, one of them unsteady and one without depth, and nuScenes.
fn dataset(root: &Path) {
    let steady = pseudo::video(root, "steady", &|_| 1.0);
    let wild = pseudo::video(root, "wild", &|at| [1.0, 2.0, 0.4, 3.0][at % 4]);
    let bare = pseudo::video(root, "bare", &|_| 1.0);
    std::fs::remove_file(root.join("geometry/bare/pred_traj.txt")).unwrap();
    records(&root.join("records"), &[("steady", steady), ("wild", wild), ("bare", bare)]);
    jsonl::write_all(root.join("truth.jsonl"), [&pseudo::truth("steady")]).unwrap();
    let mut desk = Desk::new(&root.join("nuscenes"));
    for scene in ["scene-0001", "scene-0002", "scene-0003"] {
        desk.scene(scene);
    }
    desk.drop("ego_pose", "scene-0002 3");
    desk.write();
}

fn config(root: &Path, more: &str) -> StkitRunConfig {
    let path = |name: &str| format!("{:?}", root.join(name).display().to_string());
    let text = format!(
        r#"version = 1
        {more}
        [[sources]]
        name = "driving"
        share = 3.0
        from = {{ kind = "nuscenes", root = {}, version = "v1.0-mini" }}
        [[sources]]
        name = "films"
        directions = false
        share = 1.0
        [sources.from]
        kind = "pseudo"
        videos = {}
        masklets = {}
        geometry = {}
        truth = {}
        folder_fps = 2.0
        "#,
        path("nuscenes"),
        path("videos"),
        path("records"),
        path("geometry"),
        path("truth.jsonl"),
    );
    std::fs::write(root.join("run.toml"), text).unwrap();
    StkitRunConfig::load(&root.join("run.toml"), &[]).unwrap()
}

/// Runs all of it; `stop_after` recordings it is asked to stop.
fn run(root: &Path, cfg: &StkitRunConfig, stop_after: Option<usize>) -> (Summary, Vec<String>) {
    let sources: Vec<Source> =
        cfg.sources.iter().map(|source| Source::open(source, device()).unwrap()).collect();
    let folder = RunFolder::claim_for(&root.join("out"), &cfg.essence(), true).unwrap();
    let (stop, heard) = (AtomicBool::new(false), Mutex::new(Vec::new()));
    let observer = |event: &Event<'_>| {
        let mut heard = heard.lock().unwrap();
        match event {
            Event::Recording(name) => heard.push((*name).to_owned()),
            Event::Failed(failure) => heard.push(format!("failed {}", failure.video_id)),
            Event::Marking(_) | Event::Marked(_) => {}
        }
        if stop_after.is_some_and(|most| heard.len() >= most) {
            stop.store(true, Ordering::Relaxed);
        }
    };
    let run = StkitRun { cfg, sources: &sources, folder: &folder, stop: &stop, observer: &observer };
    let mut summary = run.collect().unwrap();
    if summary.left == 0 {
        summary = run.join(summary).unwrap();
    }
    (summary, heard.into_inner().unwrap())
}

fn read<T: serde::de::DeserializeOwned>(root: &Path, name: &str) -> Vec<T> {
    jsonl::Reader::open(root.join("out").join(name)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn what_is_believed_and_what_is_not_is_counted_beside_the_truth() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    let (summary, _) = run(dir.path(), &config(dir.path(), ""), None);
    assert_eq!((summary.recordings, summary.kept, summary.left), (6, 0, 0));
    let report = read::<Report>(dir.path(), "counts.json").remove(0);
    let films = &report.sources["films"];
    assert_eq!((films.recordings, films.clips, films.refused, films.failed), (3, 1, 1, 1));
    assert_eq!((films.kept_recordings, films.kept_tracks), (Some(0.5), Some(0.5)));
    let error = films.error.expect("the truth is known");
    assert!(error.tracks == 1 && error.mean > 0.0 && error.mean < 0.01, "{error:?}");
    let driving = &report.sources["driving"];
    assert_eq!((driving.clips, driving.failed, driving.tracks.is_none()), (2, 1, true));
    assert_eq!((report.samples, report.unmarked), (summary.samples, 0));
    let failures: Vec<Failure> = read(dir.path(), "failures.jsonl");
    let failed: Vec<(&str, String)> =
        failures.iter().map(|failure| (failure.video_id.as_str(), failure.fault.to_string())).collect();
    let names: Vec<&str> = failed.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["driving/scene-0002", "films/bare", "films/wild"]);
    assert!(failed[0].1.contains("ego_pose.json") && failed[1].1.contains("pred_traj.txt"), "{failed:?}");
    assert!(failed[2].1.contains("refused: scales of the frames spread"), "{failed:?}");
}

#[test]
fn questions_are_counted_by_task_source_and_answer_and_sources_keep_their_shares() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    run(dir.path(), &config(dir.path(), "[stkit]\nper_task = 4"), None);
    let report = read::<Report>(dir.path(), "counts.json").remove(0);
    let distance = &report.questions[&StkitTask::TraveledDistance];
    assert_eq!((distance.questions, distance.sources["driving"], distance.sources["films"]), (4, 3, 1));
    assert_eq!(distance.bins.values().sum::<usize>(), 4);
    assert!(report.offered[&StkitTask::TraveledDistance].questions > 4);
    // Nobody is asked which way things move in films.
    let direction = &report.questions[&StkitTask::MovementDirection];
    assert!(!direction.sources.contains_key("films") && direction.sources["driving"] > 0);
    let samples: Vec<Sample> =
        jsonl::read_records(dir.path().join("out/samples.jsonl")).unwrap().collect::<Result<_, _>>().unwrap();
    let counted: usize = report.questions.values().map(|task| task.questions).sum();
    assert_eq!((samples.len(), report.samples), (counted, counted));
    for sample in &samples {
        let source = sample.mix.as_ref().unwrap().source.as_str();
        assert!(
            sample.video_id.starts_with(source) && sample.media[0].uri.starts_with("marked/"),
            "{sample:?}"
        );
        let marked = std::fs::read_dir(dir.path().join("out").join(&sample.media[0].uri)).unwrap();
        let pictures =
            marked.filter(|entry| entry.as_ref().unwrap().path().extension().is_some_and(|e| e == "jpg"));
        assert_eq!(pictures.count(), 12, "{}", sample.media[0].uri);
    }
    let clips: Vec<Clip> = read(dir.path(), "clips.jsonl");
    assert_eq!(
        clips.iter().map(|clip| clip.clip_id.as_str()).collect::<Vec<_>>(),
        ["driving/scene-0001", "driving/scene-0003", "films/steady",]
    );
    assert!(Path::new(&clips[0].frames[0]).is_file());
}

#[test]
fn a_run_goes_on_where_it_was_and_makes_only_what_changed() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    let cfg = config(dir.path(), "[work]\nworkers = 1");
    let (first, heard) = run(dir.path(), &cfg, Some(1));
    assert_eq!((heard.len(), first.left), (1, 5));
    assert!(!dir.path().join("out/samples.jsonl").exists());
    let (second, _) = run(dir.path(), &cfg, None);
    assert_eq!((second.kept, second.failed, second.left), (1, 3, 0));
    let samples = std::fs::read(dir.path().join("out/samples.jsonl")).unwrap();
    let (third, _) = run(dir.path(), &cfg, None);
    // Two scenes, a film, and one that is refused; the others fail again.
    assert_eq!((third.kept, third.samples), (4, second.samples));
    assert_eq!(std::fs::read(dir.path().join("out/samples.jsonl")).unwrap(), samples);
    // Another seed asks otherwise about the same clips.
    let (other, _) = run(dir.path(), &config(dir.path(), "[stkit]\nseed = 5"), None);
    assert_eq!(other.kept, 4);
    assert_ne!(std::fs::read(dir.path().join("out/samples.jsonl")).unwrap(), samples);
    // What was wrong is put right: only that is made.
    let mut desk = Desk::new(&dir.path().join("nuscenes"));
    for scene in ["scene-0001", "scene-0002", "scene-0003"] {
        desk.scene(scene);
    }
    desk.write();
    let (right, _) = run(dir.path(), &cfg, None);
    assert_eq!((right.kept, right.failed), (2, 2), "a table that changed is read again for all scenes");
    assert_eq!(read::<Report>(dir.path(), "counts.json")[0].sources["driving"].clips, 3);
}

#[test]
fn clips_whose_frames_cannot_be_marked_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    std::fs::write(dir.path().join("nuscenes/samples/CAM_FRONT/scene-0001-05.jpg"), "no picture").unwrap();
    let (summary, _) = run(dir.path(), &config(dir.path(), ""), None);
    let report = read::<Report>(dir.path(), "counts.json").remove(0);
    assert_eq!((report.unmarked, summary.failed), (1, 4));
    let failures: Vec<Failure> = read(dir.path(), "failures.jsonl");
    assert!(failures.iter().any(|failure| failure.video_id == "driving/scene-0001"));
    assert!(report.questions.values().all(|task| task.questions > 0));
    let text = std::fs::read_to_string(dir.path().join("out/samples.jsonl")).unwrap();
    assert!(!text.contains("driving/scene-0001") && text.contains("driving/scene-0003"));
}

#[test]
fn names_that_lead_out_of_the_folder_and_frames_that_are_not_there_are_failures() {
    let dir = tempfile::tempdir().unwrap();
    let clip = |name: &str| Clip { frames: vec!["0.png".to_owned(); pseudo::FRAMES], ..pseudo::truth(name) };
    let file = dir.path().join("clips.jsonl");
    jsonl::write_all(&file, &[clip("../../away"), clip("here")]).unwrap();
    let text = format!(
        "version = 1\n[[sources]]\nname = \"given\"\nfrom = {{ kind = \"clips\", file = {:?} }}\n",
        file.display().to_string()
    );
    std::fs::write(dir.path().join("run.toml"), text).unwrap();
    let cfg = StkitRunConfig::load(&dir.path().join("run.toml"), &[]).unwrap();
    let (summary, _) = run(dir.path(), &cfg, None);
    assert_eq!((summary.failed, summary.samples), (2, 0));
    let failures: Vec<Failure> = read(dir.path(), "failures.jsonl");
    assert!(failures[0].fault.to_string().contains("no path inside"), "{failures:?}");
    assert!(failures[1].fault.to_string().contains("0.png"), "{failures:?}");
}

#[test]
fn lists_and_limits_choose_recordings() {
    let dir = tempfile::tempdir().unwrap();
    dataset(dir.path());
    let mut cfg = config(dir.path(), "");
    let list = dir.path().join("val.txt");
    std::fs::write(&list, "# validation\nscene-0003\nscene-0001\nscene-0099\n").unwrap();
    let source = &mut cfg.sources[0];
    source.only = Some(list.clone());
    let opened = Source::open(source, device()).unwrap();
    let names: Vec<String> = (0..opened.len()).map(|place| opened.name(place)).collect();
    assert_eq!(names, ["driving/scene-0001", "driving/scene-0003"]);
    source.limit = Some(1);
    assert_eq!(Source::open(source, device()).unwrap().len(), 1);
    // A folder's name stands for all in it.
    let film = dir.path().join("videos/steady");
    std::fs::create_dir_all(dir.path().join("videos/deep")).unwrap();
    std::fs::rename(film, dir.path().join("videos/deep/steady")).unwrap();
    std::fs::write(&list, "deep\n").unwrap();
    let films = SourceConfig { only: Some(list.clone()), ..cfg.sources[1].clone() };
    let films = Source::open(&films, device()).unwrap();
    assert_eq!((films.len(), films.name(0).as_str()), (1, "films/deep/steady"));
    let source = &mut cfg.sources[0];
    std::fs::write(&list, "scene-0099\n").unwrap();
    assert!(Source::open(source, device()).err().unwrap().to_string().contains("val.txt"));
}

#[cfg(not(feature = "argoverse"))]
#[test]
fn datasets_that_this_program_cannot_read_are_named_with_their_feature() {
    let text = r#"{"name": "a", "from": {"kind": "argoverse2", "root": "x"}}"#;
    let error = Source::open(&serde_json::from_str(text).unwrap(), device()).err().unwrap().to_string();
    assert!(error.contains("Argoverse 2") && error.contains("feature argoverse"), "{error}");
}
