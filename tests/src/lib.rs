//! A small laboratory for end-to-end tests: a world of a few clips, samples about it, a fresh model.

use std::path::PathBuf;
use std::sync::atomic::AtomicBool;

use strefer_cli::commands::world::world_inputs;
use strefer_core::jsonl::read_records;
use strefer_core::mixture::{Augment, MixtureConfig, SourceConfig, Turns};
use strefer_core::{IndexSpace, Sample, UniformRule};
use strefer_dist::{Communicator, gather_bytes};
use strefer_engine::config::Form;
use strefer_engine::pipeline::{Crew, Run, RunFolder};
use strefer_engine::queue::FolderQueue;
use strefer_engine::{EngineConfig, InstructConfig};
use strefer_model::preset::init_tiny;
use strefer_model::{LabelRule, VisualPrompt};
use strefer_nn::{Schedule, Shape, WarmUp};
use strefer_synth::{Split, WorldConfig, write_world};
use strefer_train::TrainConfig;
use strefer_train::config::{DataConfig, Float, OptimConfig, PartsConfig, SaveConfig, Sharding, StepsConfig};

/// Everything a run needs, in a folder that goes away with it.
#[derive(Debug)]
pub struct Lab {
    dir: PathBuf,
    /// Removes the folder, where this process has made it.
    _owned: Option<tempfile::TempDir>,
}

impl Lab {
    /// Renders `clips` clips, makes samples of them and a model that has learnt nothing.
    ///
    /// # Panics
    /// When any of it fails, as tests should.
    pub fn new(clips: u64) -> Self {
        let owned = tempfile::tempdir().expect("a temporary folder");
        let lab = Self { dir: owned.path().to_owned(), _owned: Some(owned) };
        write_world(&WorldConfig::default(), Split::Train, 3, 0..clips, &lab.path("world"), &|_| {})
            .expect("a world");
        lab.engine("data", Form::Conversations);
        let texts: Vec<String> = lab
            .samples("data")
            .into_iter()
            .flat_map(|sample| sample.conversations)
            .map(|turn| turn.text)
            .collect();
        init_tiny(&lab.path("model"), texts, 400, 1).expect("a model");
        lab
    }

    /// The first rank's laboratory for all ranks; it stays until the first rank drops it.
    ///
    /// # Panics
    /// When any of it fails.
    pub fn shared(ranks: &dyn Communicator, clips: u64) -> Self {
        let own = (ranks.rank() == 0).then(|| Self::new(clips));
        let path = own.as_ref().map_or_else(String::new, |lab| lab.dir.to_string_lossy().into_owned());
        let paths = gather_bytes(ranks, "the laboratory", path.as_bytes()).expect("all ranks");
        let dir = String::from_utf8(paths[0].clone()).expect("a path").into();
        own.unwrap_or(Self { dir, _owned: None })
    }

    /// A path below the folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Questions about the world whose answers are known.
    ///
    /// # Panics
    /// When they cannot be made.
    pub fn quiz(&self, name: &str) -> PathBuf {
        self.engine(name, Form::SingleTurn);
        self.path(name).join("samples.jsonl")
    }

    /// Makes samples of the world.
    ///
    /// # Panics
    /// When that fails.
    pub fn engine(&self, name: &str, form: Form) {
        let instruct = InstructConfig { form, turns_per_sample: 4, ..InstructConfig::default() };
        let config = EngineConfig { instruct, ..EngineConfig::default() };
        let space = IndexSpace::Uniform { n: 8, rule: UniformRule::LinspaceTrunc };
        let inputs = world_inputs(&self.path("world"), space).expect("the world's truth");
        let folder = RunFolder::claim(&self.path(name), &config, false).expect("a new folder");
        let crew = Crew::default();
        let run = Run {
            cfg: &config,
            crew: &crew,
            folder: &folder,
            only: None,
            retry: false,
            stop: &AtomicBool::new(false),
            observer: &|_| {},
        };
        let queue = FolderQueue::open(folder.path("leases"), run.work_names(&inputs)).expect("a folder");
        let summary = run.over(&inputs, &queue).and_then(|summary| run.join(&inputs, summary));
        assert_eq!(summary.expect("samples").videos, inputs.len());
    }

    /// The samples of one of the engine's runs.
    ///
    /// # Panics
    /// When they cannot be read.
    pub fn samples(&self, name: &str) -> Vec<Sample> {
        let samples = read_records(self.path(name).join("samples.jsonl")).expect("samples");
        samples.collect::<strefer_core::Result<_>>().expect("samples")
    }

    /// A run of a few steps into the folder `output`.
    pub fn config(&self, output: &str, steps: usize) -> TrainConfig {
        let source = SourceConfig {
            name: "data".to_owned(),
            path: self.path("data/samples.jsonl"),
            media_root: Some(self.path("world")),
            weight: 1.0,
            cap: None,
            turns: Turns::default(),
            augment: Augment::default(),
            phase: strefer_core::mixture::throughout(),
        };
        TrainConfig {
            seed: 5,
            init: self.path("model"),
            output: self.path(output),
            data: DataConfig {
                mixture: MixtureConfig { sources: vec![source] },
                readers: 2,
                cache_mb: 8,
                shelf_gb: 1.0,
                deadline_s: 120.0,
                max_skipped: 0.0,
                draw: VisualPrompt::None,
                labels: LabelRule::Answers,
            },
            steps: StepsConfig {
                total: Some(steps),
                epochs: None,
                batch: 4,
                micro_batch: Some(2),
                pack: 0,
                dtype: Float::F32,
                recompute: false,
                shard: Sharding::None,
            },
            parts: PartsConfig {
                vision: Some(0.5),
                connector: Some(1.0),
                region: Some(1.0),
                language: Some(1.0),
                ..PartsConfig::default()
            },
            lora: None,
            optim: OptimConfig::default(),
            schedule: Schedule { lr: 1e-3, shape: Shape::Cosine, warm_up: WarmUp::Steps(1), min_ratio: 0.1 },
            eval: None,
            save: SaveConfig { every: 2, keep: 2, ..SaveConfig::default() },
        }
    }
}
