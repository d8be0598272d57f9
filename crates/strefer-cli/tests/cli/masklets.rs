//! Masklets as a user makes and scores them: given boxes and a tiny tracker with recorded weights, rehearsals, wrong input.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use image::{Rgb, RgbImage};
use serde_json::Value;
use strefer_core::records::{AssignStatus, Masklet, Masklets, MaskletsFailure};
use strefer_core::{IndexSpace, golden, jsonl};

struct Desk(tempfile::TempDir);

impl Desk {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn run(&self, args: &[&str]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_strefer"));
        command.current_dir(self.0.path()).args(args).output().expect("the program starts")
    }

    fn works(&self, args: &[&str]) -> String {
        let output = self.run(args);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    fn complains(&self, args: &[&str], words: &str) {
        let output = self.run(args);
        let text = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && !text.contains("panicked") && text.contains(words), "{text}");
    }

    /// Ten pictures of two squares that move apart.
    fn film(&self) {
        std::fs::create_dir(self.path("film")).unwrap();
        for frame in 0..10u32 {
            let picture = RgbImage::from_fn(56, 40, |x, y| {
                let inside = |left: u32| (left..left + 14).contains(&x) && (10..26).contains(&y);
                match (inside(6 + frame / 2), inside(38 - frame / 2)) {
                    (true, _) => Rgb([220, 40, 30]),
                    (_, true) => Rgb([30, 60, 210]),
                    _ => Rgb([(4 * x) as u8, (3 * y) as u8, 90]),
                }
            });
            picture.save(self.path(&format!("film/{frame:03}.png"))).unwrap();
        }
    }

    fn masklets(&self, name: &str) -> Masklets {
        jsonl::read_records(self.path(name)).unwrap().next().unwrap().unwrap()
    }
}

/// A folder with the recorded weights of a tiny SAM 2.
fn tracker(desk: &Desk) -> String {
    let mut dirs = golden::dirs("sam2_video").into_iter();
    let recorded = dirs.find(|dir| dir.join("weights.safetensors").is_file());
    let recorded = recorded.expect("our own goldens hold weights");
    std::fs::create_dir(desk.path("sam2")).unwrap();
    std::fs::copy(recorded.join("config.json"), desk.path("sam2/config.json")).unwrap();
    std::fs::copy(recorded.join("weights.safetensors"), desk.path("sam2/model.safetensors")).unwrap();
    "sam2".to_owned()
}

#[test]
fn given_boxes_become_masklets_and_an_overlay() {
    let desk = Desk::new();
    desk.film();
    let tracker = tracker(&desk);
    let asked = ["engine", "masklets", "film", "--tracker", &tracker, "--device", "cpu", "--frames", "8"];
    let named = ["--expr", "the red square", "--expr", "the blue one=square"];
    let boxes = ["--box", "6,10,20,26@0", "--box", "34,9.5,52,27@2.0", "--out", "found"];
    let said = desk.works(&[&asked[..], &named, &boxes].concat());
    let record = desk.masklets("found/masklets.jsonl");
    assert_eq!((record.objects.len(), record.frame_times_s.len()), (2, 8));
    assert_eq!((record.failure, record.start_index), (None, Some(0)));
    for object in &record.objects {
        assert_eq!(object.assign.as_ref().unwrap().status, AssignStatus::Shortcut);
        assert_eq!(object.confidence, Some(1.0));
        assert!(!object.frames.is_empty(), "{}", object.eid);
    }
    // The second box was drawn in the middle; its masks reach back to earlier frames.
    let second = &record.objects[1];
    assert!(second.frames.keys().any(|key| key.0 < 5) && second.frames.keys().any(|key| key.0 > 5), "{said}");
    let entities = std::fs::read_to_string(desk.path("found/entities.jsonl")).unwrap();
    assert!(entities.contains("\"the blue one\"") && entities.contains("\"noun\":\"square\""));
    let summary: Value = serde_json::from_str(&said).unwrap();
    assert_eq!(summary["objects"][0]["eid"], "e0");
    let overlay = if cfg!(feature = "ffmpeg") { "found/overlay.mp4" } else { "found/overlay/000.png" };
    assert!(desk.path(overlay).is_file());

    // Every frame reads a second time to the same record.
    desk.works(&[&asked[..], &named, &boxes[..4], &["--out", "again"]].concat());
    assert_eq!(desk.masklets("again/masklets.jsonl"), desk.masklets("found/masklets.jsonl"));
    desk.complains(&[&asked[..], &named, &boxes].concat(), "there already");

    // A frame every half second of a film of three a second, by their numbers in it.
    let asked = ["engine", "masklets", "film", "--tracker", &tracker, "--device", "cpu", "--step", "0.5"];
    desk.works(&[&asked[..], &named, &boxes[..4], &["--out", "stepped"]].concat());
    let stepped = desk.masklets("stepped/masklets.jsonl");
    assert_eq!((stepped.index_space, stepped.frame_times_s.len()), (IndexSpace::Source, 7));
    let keys = stepped.objects.iter().flat_map(|object| object.frames.keys());
    assert!(keys.clone().count() > 0 && keys.into_iter().all(|key| [0, 1, 3, 4, 6, 7, 9].contains(&key.0)));
    desk.complains(&[&asked[..7], &["--step", "0", "--out", "x"], &named, &boxes[..4]].concat(), "--step");
}

#[test]
fn a_model_chooses_among_candidates() {
    let desk = Desk::new();
    desk.film();
    let tracker = tracker(&desk);
    let tiny = concat!(env!("CARGO_MANIFEST_DIR"), "/../../checkpoints/strefer-tiny/final");
    let asked = ["engine", "masklets", "film", "--tracker", &tracker, "--device", "cpu", "--frames", "8"];
    let named = ["--expr", "red box", "--expr", "blue box", "--referee", tiny, "--out", "chosen"];
    let boxes = ["--candidate", "6,10,20,26@0", "--candidate", "38,10,52,26@0=box"];
    desk.works(&[&asked[..], &named, &boxes].concat());
    let record = desk.masklets("chosen/masklets.jsonl");
    assert_eq!((record.objects.len(), record.failure), (2, None));
    for object in &record.objects {
        let assign = object.assign.as_ref().unwrap();
        assert_eq!(assign.model, "region-model");
        assert!(matches!(assign.status, AssignStatus::Vote | AssignStatus::Conflict), "{assign:?}");
    }
    // The squares are nothing that the model knows: it may take one for both.
    let chosen = |object: &&Masklet| object.assign.as_ref().unwrap().status == AssignStatus::Vote;
    assert!(record.objects.iter().filter(chosen).any(|object| !object.frames.is_empty()));
    let several = ["--expr", "red box", "--expr", "a dog", "--referee", tiny, "--out", "none"];
    desk.complains(&[&asked[..], &several, &boxes[..2]].concat(), "say which behind a =");
    desk.complains(
        &[&asked[..], &several, &["--candidate", "1,1,9,9@0=cat"]].concat(),
        "has the noun \"cat\"",
    );
}

#[test]
fn wrong_requests_are_named_before_anything_is_written() {
    let desk = Desk::new();
    desk.film();
    let tracker = tracker(&desk);
    let asked = ["engine", "masklets", "film", "--tracker", &tracker, "--device", "cpu", "--out", "out"];
    for (more, words) in [
        (&["--expr", "a dog"][..], "every expression needs a --box"),
        (&["--expr", "a dog", "--box", "1,2,3@0"], "four numbers"),
        (&["--expr", "a dog", "--box", "9,2,3,8@0"], "no box within 56 by 40"),
        (&["--expr", "a dog", "--box", "1,2,3,8@99"], "the last frame is at"),
        (&["--expr", "a dog", "--box", "1,2,3,8"], "X0,Y0,X1,Y1@TIME"),
        (&["--expr", " =dog", "--box", "1,2,3,8@0"], "names nothing"),
        (&["--expr", "a dog", "--box", "1,2,30,8@0", "--rules", "published"], "take no boxes"),
        (&["--expr", "a dog", "--detector", "nowhere"], "opening the detector"),
        (&["--expr", "a dog", "--box", "1,1,9,9@0", "--referee", "nowhere"], "opening the referee"),
    ] {
        desk.complains(&[&asked[..], more].concat(), words);
        assert!(!desk.path("out").exists(), "{words}");
    }
    std::fs::write(desk.path("broken.mp4"), b"no video").unwrap();
    let broken = ["engine", "masklets", "broken.mp4", "--tracker", &tracker, "--out", "out"];
    desk.complains(&[&broken[..], &["--expr", "a dog", "--box", "1,2,30,8@0"]].concat(), "cannot be read");
    let failure = desk.masklets("out/masklets.jsonl").failure;
    assert!(matches!(failure, Some(MaskletsFailure::Unreadable { .. })), "{failure:?}");
}

#[test]
fn rehearsals_are_scored_beside_each_other() {
    let desk = Desk::new();
    desk.works(&["engine", "rehearse", "--staged", "12", "--noise", "none", "--out", "none"]);
    let truth = ["--annotations", "none/truth.jsonl", "--resamples", "50", "--json"];
    let scores = |name: &str| -> Value {
        serde_json::from_str(&desk.works(&[&["score", "masklets", name][..], &truth].concat())).unwrap()
    };
    let [published, corrected] = ["none/published.jsonl", "none/corrected.jsonl"].map(scores);
    let number = |scores: &Value, name: &str| scores["metrics"][name].as_f64().unwrap();
    assert!(number(&corrected, "all.J&F") > 95.0, "{corrected}");
    assert!(number(&published, "all.J&F") < number(&corrected, "all.J&F"));
    assert!(number(&published, "late.coverage") < number(&corrected, "late.coverage"));
    let perfect = scores("none/truth.jsonl");
    assert_eq!([number(&perfect, "all.J&F"), number(&perfect, "all.delay")], [100.0, 0.0]);

    std::fs::write(desk.path("faults.toml"), "miss = 0.5\n").unwrap();
    desk.works(&["engine", "rehearse", "--staged", "2", "--noise", "faults.toml", "--out", "some"]);
    assert!(desk.path("some/corrected.jsonl").is_file());
    for (noise, words) in [("nowhere.toml", "nowhere.toml"), ("bad.toml", "miss is 2")] {
        std::fs::write(desk.path("bad.toml"), "miss = 2.0\n").unwrap();
        desk.complains(&["engine", "rehearse", "--staged", "2", "--noise", noise, "--out", "bad"], words);
        assert!(!Path::new(&desk.path("bad")).exists());
    }
    desk.complains(&["engine", "rehearse", "--out", "bad"], "required");
    desk.complains(&["engine"], "required");
}
