//! A run on several ranks is the run on one.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use candle_core::{DType, Device, Tensor};
use strefer_core::jsonl::Writer;
use strefer_core::records::LineRecord;
use strefer_dist::{Communicator, ThreadRank};
use strefer_nn::Weights;
use strefer_tests::Lab;
use strefer_train::config::{EvalConfig, LoraConfig, Sharding};
use strefer_train::{Error, LogLine, Observer, Outcome, StepReport, TrainConfig, Trainer, read_log};

struct Silent;

impl Observer for Silent {
    fn line(&mut self, _line: &LogLine, _total: usize) {}
}

fn run(config: &TrainConfig, resume: bool, ranks: Arc<dyn Communicator>) -> Result<Outcome, Box<Error>> {
    let mut trainer = Trainer::among(config.clone(), resume, &Device::Cpu, ranks)?;
    Ok(trainer.run(&mut Silent, &AtomicBool::new(false))?)
}

/// The run on `size` threads, which all come to the same end.
fn run_on(size: usize, config: &TrainConfig, resume: bool) -> Vec<Result<Outcome, Box<Error>>> {
    std::thread::scope(|scope| {
        let group = ThreadRank::group(size).into_iter();
        let threads: Vec<_> = group.map(|rank| scope.spawn(|| run(config, resume, Arc::new(rank)))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

fn finish_on(size: usize, config: &TrainConfig, resume: bool) {
    for outcome in run_on(size, config, resume) {
        assert_eq!(outcome.unwrap(), Outcome::Finished(config.output.join("final")));
    }
}

fn weights(run: &Path) -> BTreeMap<String, Tensor> {
    let weights = Weights::open(run.join("final")).unwrap();
    let load = |name: &str| weights.load(name, DType::F32, &Device::Cpu).unwrap();
    weights.names().map(|name| (name.to_owned(), load(name))).collect()
}

fn steps(run: &Path) -> Vec<StepReport> {
    let lines = read_log(&run.join("log.jsonl")).unwrap().into_iter();
    lines.filter_map(|line| if let LogLine::Step(report) = line { Some(report) } else { None }).collect()
}

/// Largest distance of two runs' weights beside the largest weight of the tensor.
fn distance(one: &Path, other: &Path) -> f32 {
    let (one, other) = (weights(one), weights(other));
    assert!(one.keys().eq(other.keys()));
    let largest = |tensor: &Tensor| tensor.abs().unwrap().flatten_all().unwrap().max(0).unwrap();
    let number = |tensor: Tensor| tensor.to_scalar::<f32>().unwrap();
    one.iter()
        .map(|(name, values)| {
            let apart = number(largest(&(values - &other[name]).unwrap()));
            apart / number(largest(values)).max(1e-3)
        })
        .fold(0.0, f32::max)
}

fn check_same(one: &Path, other: &Path) {
    let (a, b) = (steps(one), steps(other));
    assert_eq!(a.len(), b.len());
    for (a, b) in a.iter().zip(&b) {
        assert_eq!((a.samples, a.supervised, a.tokens > 0), (b.samples, b.supervised, b.tokens > 0));
        assert!((a.loss - b.loss).abs() <= 1e-5 * a.loss.abs(), "{} beside {}", a.loss, b.loss);
        assert!(!a.by_source.is_empty());
        for (a, b) in [(&a.by_source, &b.by_source), (&a.by_group, &b.by_group)] {
            assert!(a.keys().eq(b.keys()));
            for (a, b) in a.values().zip(b.values()) {
                assert_eq!((a.samples, a.supervised), (b.samples, b.supervised));
                assert!((a.loss - b.loss).abs() <= 1e-4 * a.loss.abs());
            }
        }
        assert!(
            (a.grad_norm - b.grad_norm).abs() <= 1e-4 * a.grad_norm,
            "{} beside {}",
            a.grad_norm,
            b.grad_norm
        );
        assert!(a.grad_norms.keys().eq(b.grad_norms.keys()) && a.grad_norms.len() > 3);
    }
    let apart = distance(one, other);
    assert!(apart < 2e-5, "{apart}");
}

/// Every way to share.
const SHARDINGS: [(&str, Sharding); 4] = [
    ("all", Sharding::None),
    ("optimizer", Sharding::Optimizer),
    ("gradients", Sharding::Gradients),
    ("full", Sharding::Full),
];

/// A run of which the step size does not hang on the signs of gradients that are nearly nothing.
fn config(lab: &Lab, output: &str, steps: usize, shard: Sharding) -> TrainConfig {
    let mut config = lab.config(output, steps);
    config.steps.shard = shard;
    config.steps.recompute = shard == Sharding::Full;
    config.optim.adamw.eps = 1e-3;
    config
}

#[test]
fn several_ranks_learn_what_one_learns_however_they_share() {
    let lab = Lab::new(3);
    finish_on(1, &config(&lab, "one", 3, Sharding::None), false);
    for size in [2, 4] {
        let mut files = Vec::new();
        for (name, shard) in SHARDINGS {
            let output = format!("{name}-{size}");
            finish_on(size, &config(&lab, &output, 3, shard), false);
            check_same(&lab.path("one"), &lab.path(&output));
            files.push(
                std::fs::read_dir(lab.path(&output).join("checkpoints/step-00000003/trainer"))
                    .unwrap()
                    .count(),
            );
        }
        let parted = 2 * size + 2;
        assert_eq!(
            files,
            [4, parted, parted, parted],
            "counters and states, in one file or one a rank, with digests"
        );
    }
    let again = config(&lab, "again", 3, Sharding::None);
    finish_on(2, &again, false);
    let bytes = |run: &str| std::fs::read(lab.path(run).join("final/model.safetensors")).unwrap();
    assert!(bytes("all-2") == bytes("again"), "the same ranks twice give the same bits");
}

#[test]
fn a_run_goes_on_with_another_number_of_ranks() {
    let lab = Lab::new(3);
    finish_on(1, &config(&lab, "straight", 6, Sharding::None), false);
    let path = [
        (1, 2, Sharding::Gradients),
        (2, 4, Sharding::Full),
        (3, 2, Sharding::Full),
        (4, 4, Sharding::Optimizer),
        (6, 1, Sharding::None),
    ];
    for (steps, size, shard) in path {
        // The schedule is that of the whole run; a kill ends it early.
        let changed = config(&lab, "changed", 6, shard);
        let stop = AtomicBool::new(false);
        let outcomes: Vec<Outcome> = std::thread::scope(|scope| {
            let threads: Vec<_> = ThreadRank::group(size)
                .into_iter()
                .map(|rank| {
                    let (changed, stop) = (changed.clone(), &stop);
                    scope.spawn(move || {
                        let ranks: Arc<dyn Communicator> = Arc::new(rank);
                        let mut trainer = Trainer::among(changed, true, &Device::Cpu, ranks).unwrap();
                        trainer.run(&mut StopAt { steps, stop }, stop).unwrap()
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(outcomes.iter().all(|outcome| *outcome == outcomes[0]), "{outcomes:?}");
    }
    assert_eq!(steps(&lab.path("changed")).len(), 6);
    check_same(&lab.path("straight"), &lab.path("changed"));
}

struct StopAt<'a> {
    steps: usize,
    stop: &'a AtomicBool,
}

impl Observer for StopAt<'_> {
    fn line(&mut self, line: &LogLine, total: usize) {
        if matches!(line, LogLine::Step(report) if report.step + 1 >= self.steps && self.steps < total) {
            self.stop.store(true, std::sync::atomic::Ordering::Relaxed);
        }
    }
}

#[test]
fn ranks_answer_the_questions_of_an_evaluation_between_them() {
    let lab = Lab::new(3);
    let accuracy = |output: &str| {
        let lines = read_log(&lab.path(output).join("log.jsonl")).unwrap().into_iter();
        lines
            .filter_map(|line| if let LogLine::Eval(report) = line { Some(report.accuracy) } else { None })
            .next()
    };
    let full = Sharding::Full;
    for (size, output, shard) in [(1, "one", Sharding::None), (3, "three", Sharding::None), (3, "full", full)]
    {
        let mut config = config(&lab, output, 1, shard);
        config.steps.batch = 6;
        let (samples, media_root) = (lab.quiz("quiz"), Some(lab.path("world")));
        config.eval = Some(EvalConfig { samples, media_root, every: 1, limit: 20 });
        finish_on(size, &config, false);
    }
    let one = accuracy("one").unwrap();
    assert!(!one.is_empty());
    assert_eq!(Some(&one), accuracy("three").as_ref());
    assert_eq!(Some(one), accuracy("full"));
}

#[test]
fn shared_layers_learn_low_rank_updates_and_ranks_without_a_sample_keep_up() {
    let lab = Lab::new(3);
    // Two of four cannot be used: on four ranks, one or two have nothing to go through the layers with.
    let mut writer = Writer::create(lab.path("few.jsonl")).unwrap();
    for (at, mut sample) in lab.samples("data").into_iter().take(4).enumerate() {
        if at >= 2 {
            sample.media[0].uri = "nowhere.mp4".to_owned();
        }
        writer.write(&sample.into_record()).unwrap();
    }
    writer.finish().unwrap();
    for (size, output, shard) in [(1, "one", Sharding::None), (4, "full", Sharding::Full)] {
        let mut config = config(&lab, output, 3, shard);
        config.data.mixture.sources[0].path = lab.path("few.jsonl");
        config.data.max_skipped = 1.0;
        config.steps.batch = 4;
        config.lora = Some(LoraConfig {
            rank: 4,
            alpha: 8.0,
            modules: vec!["q_proj".into(), "down_proj".into()],
            dropout: 0.0,
            base: None,
        });
        finish_on(size, &config, false);
    }
    check_same(&lab.path("one"), &lab.path("full"));
}

#[test]
fn one_rank_that_cannot_go_on_stops_all_of_them() {
    let lab = Lab::new(3);
    let mut uneven = config(&lab, "uneven", 2, Sharding::None);
    uneven.steps.batch = 5;
    for outcome in run_on(2, &uneven, false) {
        assert!(matches!(*outcome.unwrap_err(), Error::UnevenBatch { batch: 5, ranks: 2 }));
    }
    let taken = config(&lab, "taken", 1, Sharding::None);
    finish_on(2, &taken, false);
    let outcomes: Vec<Error> =
        run_on(2, &taken, false).into_iter().map(|outcome| *outcome.unwrap_err()).collect();
    assert!(matches!(outcomes[0], Error::OutputExists { .. }), "{outcomes:?}");
    assert!(matches!(outcomes[1], Error::OtherRank { .. }), "{outcomes:?}");
}

/// Started by `mpirun` (`scripts/test-ranks`), on its own in its process.
#[cfg(feature = "mpi")]
#[test]
#[ignore = "mpirun starts it"]
fn over_mpi() {
    let ranks: Arc<dyn Communicator> = Arc::new(strefer_dist::Mpi::start().unwrap());
    assert!(ranks.size() > 1, "mpirun has started one rank only");
    let lab = Lab::shared(&*ranks, 3);
    if ranks.rank() == 0 {
        finish_on(1, &config(&lab, "one", 4, Sharding::None), false);
    }
    for (name, shard) in SHARDINGS {
        for output in [name.to_owned(), format!("{name}-again")] {
            run(&config(&lab, &output, 4, shard), false, Arc::clone(&ranks)).unwrap();
        }
        if ranks.rank() == 0 {
            check_same(&lab.path("one"), &lab.path(name));
            let bytes = |run: &str| std::fs::read(lab.path(run).join("final/model.safetensors")).unwrap();
            assert!(
                bytes(name) == bytes(&format!("{name}-again")),
                "{name}: the same ranks twice give the same bits"
            );
        }
    }
}
