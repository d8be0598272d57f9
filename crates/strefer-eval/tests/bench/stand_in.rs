//! A folder of benchmarks with a few records each, and models that answer by rules.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Duration;

use serde_json::{Value, json};
use strefer_eval::Error;
use strefer_eval::answer::{Answerer, Ask, Said};
use strefer_eval::bench::{BenchId, BenchOptions, Benchmark, LessonForm, View, lesson};
use strefer_eval::run::{Outcome, Pace, Plan, Report, Run, RunFolder, RunFormat, RunRecord};
use strefer_eval::{Bootstrap, bench::Views};

pub struct Root(pub tempfile::TempDir);

impl Root {
    pub fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub fn path(&self) -> &Path {
        self.0.path()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn json(&self, name: &str, value: Value) {
        self.write(name, value.to_string());
    }

    pub fn lines(&self, name: &str, values: &[Value]) {
        self.write(name, values.iter().map(|value| format!("{value}\n")).collect::<String>());
    }

    /// Opens a benchmark, of which every right answer must be read as right.
    pub fn open(&self, id: BenchId) -> Box<dyn Benchmark> {
        let bench = id.open(self.path(), &BenchOptions::default()).unwrap();
        for (at, item) in bench.items().iter().enumerate() {
            let Some(right) = &item.right else { continue };
            let score = bench.read(at, right).score;
            assert!(score.is_none_or(|score| score == 1.0), "{id}: {right:?} scores {score:?}");
            let lesson = lesson(id, item, LessonForm::Asked).unwrap().unwrap();
            assert_eq!(lesson.conversations[1].text, *right);
        }
        bench
    }

    pub fn refused(&self, id: BenchId) -> String {
        match id.open(self.path(), &BenchOptions::default()) {
            Ok(_) => panic!("{id} should be refused"),
            Err(error) => error.to_string(),
        }
    }

    /// VideoRefer-Bench-Q with `n` questions about four videos; the right answer of number `i` is its option `i` mod 4.
    pub fn bench_q(&self, n: usize) {
        let options = ["(A) It is red", "(B) It is blue", "(C) It is green", "(D) It is white"];
        let kinds = ["Basic Questions", "Future Predictions"];
        let question = |id: usize| {
            json!({
                "id": id, "video": format!("DAVIS/{}", id % 4), "type": kinds[id % 2],
                "Question": "What colour is <object1><region>?", "options": options,
                "Answer": options[id % 4], "frame_idx": "3", "annotation": [mask(id % 7)],
            })
        };
        self.json("videorefer/VideoRefer-Bench-Q.json", (0..n).map(question).collect());
    }
}

/// An object that covers one column of frame 3 of 8 by 8 pixels.
pub fn mask(column: usize) -> Value {
    let counts = [8 * column, 8, 56 - 8 * column];
    json!({"3": {"segmentation": {"size": [8, 8], "counts": counts}}})
}

/// Answers by a rule, after a while, and keeps count.
pub struct Fake<F> {
    pub rule: F,
    pub takes: Duration,
    /// Questions that were prepared, and of these the ones that were answered; and the most that were ready at once.
    pub counts: Mutex<(usize, usize, usize)>,
}

impl<F: Fn(&Ask) -> Result<String, String>> Fake<F> {
    pub fn new(rule: F) -> Self {
        Self { rule, takes: Duration::ZERO, counts: Mutex::default() }
    }
}

impl<F: Fn(&Ask) -> Result<String, String> + Sync> Answerer for Fake<F> {
    type Prepared = Ask;

    fn prepare(&self, ask: Ask) -> strefer_eval::Result<Ask> {
        let (prepared, answered, most) = &mut *self.counts.lock().unwrap();
        *prepared += 1;
        *most = (*most).max(*prepared - *answered);
        Ok(ask)
    }

    fn answer(&self, ask: Ask) -> strefer_eval::Result<Said> {
        std::thread::sleep(self.takes);
        self.counts.lock().unwrap().1 += 1;
        match (self.rule)(&ask) {
            Ok(text) => {
                let prompt = ask.put.sample.conversations[0].text.clone();
                Ok(Said { prompt, text, frame_indices: vec![0, 3] })
            }
            Err(reason) => Err(Error::NoAnswer { id: ask.id, reason }),
        }
    }

    fn facts(&self) -> Value {
        json!({"kind": "fake"})
    }
}

/// A benchmark with what a run on it needs.
pub struct Desk<'a> {
    pub bench: &'a dyn Benchmark,
    pub views: Views<'a>,
    pub plan: Plan,
    pub record: RunRecord,
}

impl<'a> Desk<'a> {
    pub fn new(bench: &'a dyn Benchmark, id: BenchId, wanted: &[View]) -> Self {
        let views = Views::new(bench, 0);
        let plan = Plan::new(bench, &views, wanted, None);
        let record = RunRecord {
            format: RunFormat::V1,
            program: "0".to_owned(),
            benchmark: id,
            title: bench.title().to_owned(),
            root: PathBuf::new(),
            split: None,
            questions: bench.facts(),
            items: plan.items(),
            items_sha256: plan.digest(bench),
            views: wanted.to_vec(),
            answers: json!({"kind": "fake"}),
            seed: 0,
        };
        Self { bench, views, plan, record }
    }

    pub fn with<T>(&self, dir: &Path, then: impl FnOnce(&Run<'_>) -> T) -> T {
        let folder = RunFolder::open(dir, &self.record).unwrap();
        let Self { bench, views, plan, record } = self;
        then(&Run { folder: &folder, record, plan, benchmark: *bench, views })
    }

    pub fn report(&self, dir: &Path) -> Outcome {
        let bootstrap = Bootstrap { resamples: 100, seed: 0 };
        self.with(dir, |run| Report { run, rater: None, bootstrap }.write().unwrap())
    }
}

/// Small and impatient.
pub fn pace() -> Pace {
    Pace { readers: 2, ahead: 4, lease: Duration::from_secs(5), look: Duration::from_millis(2) }
}
