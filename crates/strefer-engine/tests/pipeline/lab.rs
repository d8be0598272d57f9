//! A folder with films, records that are given, and a run.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};

use image::{Rgb, RgbImage};
use serde_json::{Value, json};
use strefer_core::jsonl::{Reader, read_records, write_all};
use strefer_core::records::{LineRecord, Masklets, Record};
use strefer_core::{Mask, PixelBox, Rle};
use strefer_engine::EngineConfig;
use strefer_engine::pipeline::{
    Crew, Event, Failure, GivenFolder, Input, Plan, Prompts, Run, RunFolder, Stage, Summary, Teachers, input,
};
use strefer_engine::queue::FolderQueue;
use strefer_nn::testing::device;
use strefer_teacher::Entry;
use strefer_video::{Limits, VideoSource};

use crate::stand_in::StandIn;

/// Frames of a film, at three a second.
pub const FRAMES: usize = 36;

/// How a run is made.
#[derive(Default)]
pub struct Way {
    pub only: Option<Stage>,
    pub retry: bool,
    /// The run is asked to stop when so much has happened.
    pub stop_after: Option<usize>,
}

pub struct Lab {
    dir: tempfile::TempDir,
}

impl Lab {
    pub fn new() -> Self {
        let lab = Self { dir: tempfile::tempdir().unwrap() };
        std::fs::create_dir_all(lab.path("films")).unwrap();
        lab
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// A film of two shots: a red square moves over grey, then everything is blue. `shade` tells films apart.
    pub fn film(&self, name: &str, frames: usize, shade: u8) {
        let folder = self.path("films").join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for frame in 0..frames {
            let picture = RgbImage::from_fn(48, 32, |x, y| {
                let inside = (frame as u32..frame as u32 + 10).contains(&x) && (8..20).contains(&y);
                match (frame < frames / 2, inside) {
                    (true, true) => Rgb([220, 30, 30]),
                    (true, false) => Rgb([90, 90, shade]),
                    (false, _) => Rgb([20, 20, 255 - shade]),
                }
            });
            picture.save(folder.join(format!("{frame:03}.png"))).unwrap();
        }
    }

    /// Masklets of a film: `e0` in all of its frames that are looked at, `e1` in those of the first half.
    pub fn masklets(&self, name: &str, frames: usize) -> Masklets {
        self.masklets_in(name, frames, 3.0, (32, 48))
    }

    /// The same of any video: its frames, their rate, and their height and width.
    pub fn masklets_in(
        &self,
        name: &str,
        frames: usize,
        fps: f64,
        (height, width): (usize, usize),
    ) -> Masklets {
        let n = 12;
        let times_s: Vec<f64> = (0..n).map(|at| (at * (frames - 1) / (n - 1)) as f64 / fps).collect();
        let frame = |at: usize| {
            let area = PixelBox { x0: at, y0: 8, x1: at + 10, y1: 20 };
            let rle = Rle::from_mask(&Mask::from_box(height, width, area));
            json!({ "rle": strefer_core::RleRecord::from(rle), "area": 120, "bbox_xywh": [at, 8, 10, 12] })
        };
        let object = |eid: &str, last: usize| {
            let frames: BTreeMap<String, Value> = (0..last).map(|at| (at.to_string(), frame(at))).collect();
            json!({ "eid": eid, "frames": frames })
        };
        serde_json::from_value(json!({
            "video_id": name, "index_space": { "kind": "uniform", "n": n, "rule": "linspace_trunc" },
            "frame_times_s": times_s, "objects": [object("e0", n), object("e1", n / 2)],
        }))
        .unwrap()
    }

    /// Copies of real videos, with masklets.
    pub fn real(&self, folder: &Path) {
        let mut masklets = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_none_or(|ending| ending != "mp4") {
                continue;
            }
            let name = path.file_stem().unwrap().to_string_lossy().into_owned();
            std::fs::copy(&path, self.path("films").join(format!("{name}.mp4"))).unwrap();
            let source = VideoSource::open(&path, &Limits::default()).unwrap();
            let info = source.info();
            let size = (info.height as usize, info.width as usize);
            masklets.push(self.masklets_in(&name, info.n_frames(), info.fps, size));
        }
        assert!(!masklets.is_empty(), "no video in {}", folder.display());
        self.give(masklets);
    }

    pub fn give(&self, masklets: impl IntoIterator<Item = Masklets>) {
        std::fs::create_dir_all(self.path("given")).unwrap();
        let records: Vec<Record> = masklets.into_iter().map(LineRecord::into_record).collect();
        write_all(self.path("given/masklets.jsonl"), &records).unwrap();
    }

    /// Films `a`, `b`, … with masklets.
    pub fn films(&self, count: usize) {
        let names: Vec<String> = (0..count).map(|nth| char::from(b'a' + nth as u8).to_string()).collect();
        for (nth, name) in names.iter().enumerate() {
            self.film(name, FRAMES, 40 * nth as u8);
        }
        self.give(names.iter().map(|name| self.masklets(name, FRAMES)));
    }

    pub fn inputs(&self) -> Vec<Input> {
        let mut inputs = input::videos(&self.path("films")).unwrap();
        let given = GivenFolder::open(&self.path("given")).unwrap();
        inputs.iter_mut().for_each(|input| input.known = Some(given.about(&input.video_id)));
        inputs
    }

    pub fn run(&self, out: &str, cfg: &EngineConfig) -> Summary {
        self.run_so(out, cfg, &Way::default())
    }

    /// Runs, and joins when nothing is left.
    pub fn run_so(&self, out: &str, cfg: &EngineConfig, way: &Way) -> Summary {
        let inputs = self.inputs();
        self.with(out, cfg, way, |run| {
            let queue = FolderQueue::open(run.folder.path("leases"), run.work_names(&inputs)).unwrap();
            let summary = run.over(&inputs, &queue).unwrap();
            if summary.left == 0 && way.only.is_none() {
                run.join(&inputs, summary).unwrap()
            } else {
                summary
            }
        })
    }

    pub fn plan(&self, out: &str, cfg: &EngineConfig) -> Plan {
        self.with(out, cfg, &Way::default(), |run| run.plan(&self.inputs(), || {}))
    }

    fn with<T>(&self, out: &str, cfg: &EngineConfig, way: &Way, work: impl FnOnce(&Run<'_>) -> T) -> T {
        cfg.validate().unwrap();
        let folder = RunFolder::claim(&self.path(out), cfg, true).unwrap();
        let crew =
            Crew {
                teachers: Teachers::open(&cfg.teachers, &folder.path("teachers"), false, &|| {
                    Ok(device().clone())
                })
                .unwrap(),
                prompts: Prompts::default(),
                ..Crew::default()
            };
        let (stop, heard) = (AtomicBool::new(false), Mutex::new(0));
        let observer = |event: &Event<'_>| {
            let mut heard = heard.lock().unwrap();
            *heard += usize::from(!matches!(event, Event::Stage { kept: true, .. }));
            if way.stop_after.is_some_and(|most| *heard >= most) {
                stop.store(true, Ordering::Relaxed);
            }
        };
        let (only, retry) = (way.only, way.retry);
        work(&Run { cfg, crew: &crew, folder: &folder, only, retry, stop: &stop, observer: &observer })
    }

    pub fn records<T: LineRecord>(&self, file: &str) -> Vec<T> {
        read_records(self.path(file)).unwrap().map(|record| record.unwrap()).collect()
    }

    pub fn failures(&self, out: &str) -> Vec<Failure> {
        let path = self.path(out).join("failures.jsonl");
        if !path.is_file() {
            return Vec::new();
        }
        Reader::open(path).unwrap().map(|failure| failure.unwrap()).collect()
    }

    pub fn notes(&self, out: &str) -> Vec<(String, String)> {
        let path = self.path(out).join("notes.jsonl");
        let lines = Reader::<Value>::open(path).into_iter().flatten().map(|line| line.unwrap());
        let word = |line: &Value, name: &str| line[name].as_str().unwrap().to_owned();
        lines.map(|line| (word(&line, "video_id"), word(&line, "kind"))).collect()
    }

    pub fn ledger(&self, out: &str) -> Vec<Entry> {
        let text = std::fs::read_to_string(self.path(out).join("teachers/eyes/ledger.jsonl")).unwrap();
        text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    /// All files of the joined records.
    pub fn files(&self, out: &str) -> BTreeMap<String, Vec<u8>> {
        let entries = std::fs::read_dir(self.path(out)).unwrap().map(|entry| entry.unwrap().path());
        let records = entries.filter(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
        let name = |path: &Path| path.file_name().unwrap().to_string_lossy().into_owned();
        records.map(|path| (name(&path), std::fs::read(&path).unwrap())).collect()
    }
}

/// All stages that ask, of one server; masklets are given.
pub fn config(server: &StandIn) -> EngineConfig {
    let text = format!(
        r#"
        [teachers.eyes]
        [[teachers.eyes.endpoints]]
        url = "{}"
        model = "m"
        tries = 4
        try_s = 1.0
        deadline_s = 20.0
        [recognise]
        teacher = "eyes"
        frames = 4
        [parse]
        teacher = "eyes"
        [clips]
        [transcribe]
        teacher = "eyes"
        frames = 3
        [instruct]
        dataset = "test"
        contrast_only = false
        [work]
        workers = 2
        tries = 2
        stage_s = 60.0
        "#,
        server.url
    );
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("engine.toml");
    std::fs::write(&path, text).unwrap();
    EngineConfig::load(&path, &[]).unwrap()
}

/// The words of a question.
pub fn words(body: &Value) -> String {
    let parts = body["messages"][0]["content"].as_array().unwrap();
    parts.iter().filter_map(|part| part["text"].as_str()).collect::<Vec<_>>().join("\n")
}

/// The fields that the answer to a question must have.
pub fn fields(body: &Value) -> BTreeSet<String> {
    let schema = &body["response_format"]["json_schema"]["schema"];
    schema["properties"].as_object().unwrap().keys().cloned().collect()
}

/// What a good teacher says about the films.
pub fn knows(body: &Value) -> String {
    let (fields, words) = (fields(body), words(body));
    let has = |name: &str| fields.contains(name);
    let answer = if has("paragraph") {
        json!({ "paragraph": "A boy in a red shirt walks about. A small brown dog runs after him." })
    } else if has("entities") {
        json!({ "entities": [
            { "expression": "the boy in a red shirt", "noun": "boy" },
            { "expression": "the small brown dog", "noun": "dog" },
        ] })
    } else if has("noun") {
        json!({ "noun": if words.contains("boy") { "person" } else { "Dog." } })
    } else if has("questions") {
        let lines =
            words.lines().filter_map(|line| line.split_once(". ").filter(|(n, _)| n.parse::<u8>().is_ok()));
        json!({ "questions": lines.map(|(_, line)| format!("Please: {line}")).collect::<Vec<_>>() })
    } else {
        // Seconds 0.0 to 6.0 are the first shot.
        let first = words.contains("from second 0.0");
        let mut answer =
            json!({ "scene": if first { "Two play in the street." } else { "All turns blue." } });
        if has("e0") {
            answer["e0"] = json!(if first { "walks to the right" } else { "stands still" });
        }
        if has("e1") {
            answer["e1"] = json!("runs after the boy");
        }
        answer
    };
    answer.to_string()
}
