//! Worlds on disk: complete, resumable, and never mixed with anything else.

use std::fs;
use std::sync::Mutex;

use strefer_synth::{Clip, Error, Split, WorldConfig, read_truth, write_world};
use strefer_video::{Limits, VideoSource};

fn small() -> WorldConfig {
    WorldConfig { image_size: 64, fps: 12.0, ..WorldConfig::default() }
}

#[test]
fn a_written_world_is_read_back() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("world");
    let told = Mutex::new(Vec::new());
    write_world(&small(), Split::Val, 3, 0..3, &out, &|done| told.lock().unwrap().push(done)).unwrap();
    let mut told = told.into_inner().unwrap();
    told.sort_unstable();
    assert_eq!(told, [1, 2, 3]);

    let clips = read_truth(&out).unwrap();
    assert_eq!(clips.iter().map(|truth| truth.index).collect::<Vec<_>>(), [0, 1, 2]);
    for truth in &clips {
        let clip = Clip::generate(&small(), Split::Val, 3, truth.index).unwrap();
        assert_eq!(*truth, clip.truth());
        let name = if cfg!(feature = "ffmpeg") { format!("{}.mp4", truth.id) } else { truth.id.clone() };
        let limits = Limits { folder_fps: truth.fps, ..Limits::default() };
        let video = VideoSource::open(out.join("videos").join(name), &limits).unwrap();
        assert_eq!(video.info().n_frames(), truth.n_frames);
        assert!((video.info().duration_s - truth.duration_s).abs() < 1e-9);
        let shown = video.frames_at_times(&[1.0]).unwrap().remove(0);
        let rendered = clip.frame(12);
        let difference: f64 =
            shown.image.iter().zip(rendered.iter()).map(|(a, b)| f64::from(a.abs_diff(*b))).sum::<f64>()
                / rendered.len() as f64;
        assert!(difference < 6.0, "the file shows another frame: {difference} of 255");
    }
}

#[test]
fn a_stopped_run_goes_on_and_keeps_what_is_there() {
    let dir = tempfile::tempdir().unwrap();
    let whole = dir.path().join("whole");
    write_world(&small(), Split::Train, 1, 0..4, &whole, &|_| ()).unwrap();

    let parts = dir.path().join("parts");
    write_world(&small(), Split::Train, 1, 0..2, &parts, &|_| ()).unwrap();
    let video = fs::read_dir(parts.join("videos")).unwrap().next().unwrap().unwrap().path();
    let written = fs::metadata(&video).unwrap().modified().unwrap();
    // What a killed run leaves: a finished clip that is not gathered yet, and something half written.
    let truth = Clip::generate(&small(), Split::Train, 1, 2).unwrap().truth();
    let line = serde_json::to_string(&truth).unwrap();
    fs::write(parts.join("finished/train-1-000002.json"), line).unwrap();
    fs::write(parts.join("finished/train-1-000003.part"), "{\"id\": \"tr").unwrap();
    write_world(&small(), Split::Train, 1, 0..4, &parts, &|_| ()).unwrap();

    assert_eq!(fs::metadata(&video).unwrap().modified().unwrap(), written, "finished clips are kept");
    assert_eq!(fs::read(parts.join("truth.jsonl")).unwrap(), fs::read(whole.join("truth.jsonl")).unwrap());
    assert_eq!(read_truth(&parts).unwrap().len(), 4);
}

#[test]
fn foreign_folders_are_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let write = |cfg: &WorldConfig, split, seed| write_world(cfg, split, seed, 0..1, dir.path(), &|_| ());
    fs::write(dir.path().join("thesis.txt"), "do not touch").unwrap();
    assert!(matches!(write(&small(), Split::Train, 1), Err(Error::ForeignFolder { .. })));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    fs::remove_file(dir.path().join("thesis.txt")).unwrap();

    write(&small(), Split::Train, 1).unwrap();
    let larger = WorldConfig { image_size: 96, ..small() };
    for (cfg, split, seed) in
        [(&larger, Split::Train, 1), (&small(), Split::Test, 1), (&small(), Split::Train, 2)]
    {
        let error = write(cfg, split, seed).unwrap_err();
        assert!(matches!(error, Error::ForeignFolder { .. }), "{error}");
    }
    write(&small(), Split::Train, 1).unwrap();
}
