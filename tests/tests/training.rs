//! Whole training runs on a tiny world.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use candle_core::DType;
use strefer_llm::gguf::Quantisation;
use strefer_model::{Checkpoint, Inputs, ProcessorOptions};
use strefer_nn::Weights;
use strefer_nn::optim::MomentType;
use strefer_nn::testing::device;
use strefer_store::{SampleSet, Shelf, pack};
use strefer_tests::Lab;
use strefer_train::config::{EvalConfig, Float, LoraConfig, PartsConfig, SaveConfig};
use strefer_train::{
    Error, LogLine, Observer, Outcome, Place, Plan, SeenStep, StepReport, TrainConfig, Trainer, read_log,
};

struct StopAfter<'a> {
    steps: usize,
    stop: &'a AtomicBool,
}

impl Observer for StopAfter<'_> {
    fn line(&mut self, line: &LogLine, _total: usize) {
        if matches!(line, LogLine::Step(report) if report.step + 1 >= self.steps) {
            self.stop.store(true, Ordering::Relaxed);
        }
    }
}

fn train(config: TrainConfig, resume: bool, stop_after: usize) -> Result<Outcome, Box<Error>> {
    let stop = AtomicBool::new(false);
    let mut trainer = Trainer::new(config, resume, device())?;
    Ok(trainer.run(&mut StopAfter { steps: stop_after, stop: &stop }, &stop)?)
}

/// The losses of a run's steps.
fn losses_of(run: &Path) -> Vec<f64> {
    let lines = read_log(&run.join("log.jsonl")).unwrap().into_iter();
    lines.filter_map(|line| if let LogLine::Step(report) = line { Some(report.loss) } else { None }).collect()
}

fn weights(run: &Path) -> Vec<u8> {
    std::fs::read(run.join("final/model.safetensors")).unwrap()
}

#[test]
fn a_run_that_was_stopped_and_resumed_ends_with_the_same_weights() {
    let lab = Lab::new(3);
    assert!(matches!(train(lab.config("straight", 5), false, 99).unwrap(), Outcome::Finished(_)));
    assert_eq!(train(lab.config("broken", 5), false, 3).unwrap(), Outcome::Stopped { step: 3 });
    // What a kill leaves behind: a checkpoint half written, a line of the log cut off.
    std::fs::create_dir(lab.path("broken/checkpoints/.saving-step-00000004")).unwrap();
    let log = lab.path("broken/log.jsonl");
    let mut text = std::fs::read_to_string(&log).unwrap();
    text.push_str("{\"event\":\"step\",\"st");
    std::fs::write(&log, text).unwrap();

    assert!(matches!(train(lab.config("broken", 5), true, 99).unwrap(), Outcome::Finished(_)));
    assert_eq!(weights(&lab.path("straight")), weights(&lab.path("broken")));
    let steps = |run: &str| -> Vec<(usize, f64)> {
        let lines = read_log(&lab.path(run).join("log.jsonl")).unwrap();
        lines
            .iter()
            .filter_map(|l| if let LogLine::Step(r) = l { Some((r.step, r.loss)) } else { None })
            .collect()
    };
    assert_eq!(steps("straight"), steps("broken"));
    let kept = std::fs::read_dir(lab.path("broken/checkpoints")).unwrap().count();
    assert_eq!(kept, 2, "old and half-written checkpoints are gone");
}

fn place(on_card: bool) -> Place {
    if on_card { Place::Card { fused: true } } else { Place::Processor }
}

#[test]
fn any_number_of_threads_ends_with_the_same_weights() {
    let lab = Lab::new(3);
    for (output, threads) in [("alone", 1), ("three", 3)] {
        let mut config = lab.config(output, 3);
        config.steps.batch = 6;
        // It goes in portions, each with gradients of its own.
        let gradients = |on_card| -> usize {
            Plan::of(&config, 1, place(on_card)).unwrap().ranks[0].gradients.values().sum()
        };
        assert!(gradients(false) > gradients(true));
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| train(config, false, 99)).unwrap();
    }
    assert_eq!(weights(&lab.path("alone")), weights(&lab.path("three")));
}

#[test]
fn what_a_run_on_a_card_needs_is_told_apart_from_what_the_host_keeps() {
    let lab = Lab::new(3);
    let mut config = lab.config("card", 3);
    config.steps.dtype = Float::Bf16;
    let rank = |config: &_, on_card| Plan::of(config, 1, place(on_card)).unwrap().ranks.remove(0);
    let (card, processor) = (rank(&config, true), rank(&config, false));
    assert_eq!(processor.host(), 0);
    // Neither samples nor the copy lie there, and what is kept is as narrow as it says.
    assert!(card.host() >= card.snapshot + card.data && card.snapshot > 0);
    assert!(card.activations < processor.activations);
    let lasting = card.weights.values().sum::<usize>() + card.products;
    assert!(card.total() >= lasting + card.optimizer + card.activations);
    config.optim.adamw.offload = true;
    let offloaded = rank(&config, true);
    assert_eq!((offloaded.optimizer, offloaded.offloaded), (0, card.optimizer));
    assert_eq!(card.total() - offloaded.total(), card.optimizer);
}

#[test]
fn a_damaged_checkpoint_is_passed_over_and_the_run_ends_with_the_same_weights() {
    let lab = Lab::new(3);
    let run = |output: &str, background: bool, resume: bool, stop_after: usize| {
        let mut config = lab.config(output, 5);
        config.save.every = 1;
        config.save.background = background;
        train(config, resume, stop_after)
    };
    run("straight", false, false, 99).unwrap();
    assert_eq!(run("damaged", true, false, 3).unwrap(), Outcome::Stopped { step: 3 });
    let newest = lab.path("damaged/checkpoints/step-00000003/trainer/optimizer.safetensors");
    let mut bytes = std::fs::read(&newest).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(&newest, &bytes).unwrap();
    run("damaged", true, true, 99).unwrap();
    assert_eq!(weights(&lab.path("straight")), weights(&lab.path("damaged")));
    let saved = |run: &str| -> Vec<usize> {
        let lines = read_log(&lab.path(run).join("log.jsonl")).unwrap().into_iter();
        lines
            .filter_map(|line| if let LogLine::Saved { step, .. } = line { Some(step) } else { None })
            .collect()
    };
    assert_eq!([saved("straight"), saved("damaged")], [[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]]);

    for entry in std::fs::read_dir(lab.path("damaged/checkpoints")).unwrap() {
        std::fs::write(entry.unwrap().path().join("config.json"), "{}").unwrap();
    }
    let error = run("damaged", true, true, 99).unwrap_err();
    assert!(matches!(*error, Error::DamagedCheckpoint { .. }), "{error}");
}

#[test]
fn the_loss_of_a_step_is_that_of_its_sources_and_the_best_checkpoint_is_kept() {
    let lab = Lab::new(3);
    let mut config = lab.config("run", 6);
    let mut second = config.data.mixture.sources[0].clone();
    second.name = "questions".to_owned();
    second.path = lab.quiz("quiz");
    second.cap = Some(40);
    config.data.mixture.sources.push(second);
    let (samples, media_root) = (lab.path("quiz/samples.jsonl"), Some(lab.path("world")));
    config.eval = Some(EvalConfig { samples, media_root, every: 1, limit: 9 });
    config.save = SaveConfig { every: 100, keep: 1, best: Some("mean".to_owned()), ..config.save };
    config.steps.batch = 12;
    train(config.clone(), false, 99).unwrap();
    let (mut best, mut sources) = ((0, -1.0), 0);
    for line in read_log(&lab.path("run/log.jsonl")).unwrap() {
        match line {
            LogLine::Step(report) => {
                let sum: f64 =
                    report.by_source.values().map(|share| share.loss * share.supervised as f64).sum();
                let mean = sum / report.supervised as f64;
                assert!((mean - report.loss).abs() < 1e-5 * mean, "{mean} beside {}", report.loss);
                assert_eq!(report.by_source.values().map(|share| share.samples).sum::<usize>(), 12);
                // All questions with known answers name their tasks, and some conversations.
                let known = report.by_source.get("questions").map_or(0, |share| share.samples);
                let named = report.by_group.values().map(|share| share.samples).sum::<usize>();
                assert!((known..=12).contains(&named), "{known} of {named}");
                sources = sources.max(report.by_source.len());
            }
            LogLine::Eval(report) if report.of("mean").unwrap() > best.1 => {
                best = (report.step, report.of("mean").unwrap());
            }
            _ => {}
        }
    }
    assert_eq!(sources, 2);
    let page = std::fs::read_to_string(lab.path("run/report.html")).unwrap();
    assert!(page.contains("loss by source") && page.contains("questions") && page.contains("accuracy"));
    let kept = std::fs::read_link(lab.path("run/best")).unwrap();
    assert_eq!(kept, PathBuf::from(format!("checkpoints/step-{:08}", best.0)));
    assert!(lab.path("run/best/model.safetensors").exists());
    Checkpoint::open(lab.path("run/best")).unwrap();
}

#[test]
fn low_rank_updates_learn_while_the_weights_under_them_stay() {
    let lab = Lab::new(3);
    let mut config = lab.config("lora", 4);
    config.lora = Some(LoraConfig {
        rank: 4,
        alpha: 8.0,
        modules: vec!["q_proj".into(), "down_proj".into()],
        dropout: 0.0,
        base: None,
    });
    config.parts = PartsConfig { language: Some(1.0), embedding: Some(0.5), ..PartsConfig::default() };
    assert_eq!(train(config.clone(), false, 2).unwrap(), Outcome::Stopped { step: 2 });
    assert!(matches!(train(config.clone(), true, 99).unwrap(), Outcome::Finished(_)));
    let [before, after] = ["model", "lora/final"].map(|dir| Weights::open(lab.path(dir)).unwrap());
    let load = |weights: &Weights, name: &str| {
        weights.load(name, DType::F32, device()).unwrap().flatten_all().unwrap().to_vec1::<f32>().unwrap()
    };
    let bytes = |run: &str| std::fs::read(lab.path(run).join("final/model.safetensors")).unwrap();
    for (run, recompute, stop_after) in
        [("drop", false, 99), ("drop-again", true, 99), ("drop-broken", false, 1)]
    {
        let mut config = config.clone();
        config.output = lab.path(run);
        config.steps.recompute = recompute;
        if let Some(lora) = &mut config.lora {
            lora.dropout = 0.3;
        }
        train(config.clone(), false, stop_after).unwrap();
        if stop_after < 99 {
            train(config, true, 99).unwrap();
        }
    }
    assert_ne!(bytes("lora"), bytes("drop"), "dropout changes what is learnt");
    assert_eq!(bytes("drop"), bytes("drop-broken"), "and a resumed run drops the same");
    let near = losses_of(&lab.path("drop")).into_iter().zip(losses_of(&lab.path("drop-again")));
    near.for_each(|(one, again)| assert!((one - again).abs() < 1e-4 * one, "{one} beside {again}"));
    for name in after.names() {
        if name.ends_with("lora_B.weight") {
            assert!(load(&after, name).iter().any(|value| *value != 0.0), "{name} has not learnt");
        } else if !name.contains(".lora_") {
            let same = load(&before, name) == load(&after, name);
            assert_eq!(same, !name.contains("embed_tokens"), "{name}");
        }
    }
    assert_eq!(after.names().filter(|name| name.contains(".lora_")).count(), 2 * 2 * 4, "in four layers");
    Checkpoint::open(lab.path("lora/final"))
        .unwrap()
        .load(device(), DType::F32, ProcessorOptions::default())
        .unwrap();

    let mut other = lab.config("other", 1);
    other.init = lab.path("lora/final");
    other.lora = config.lora.map(|lora| LoraConfig { rank: 8, ..lora });
    let error = train(other, false, 99).unwrap_err();
    assert!(matches!(*error, Error::OtherLora { .. }), "{error}");
}

#[test]
fn low_rank_updates_learn_over_quantised_layers() {
    let lab = Lab::new(3);
    let gguf = lab.path("language.gguf");
    Checkpoint::open(lab.path("model"))
        .unwrap()
        .export_language(&gguf, Quantisation::Q8_0, |_, _| {})
        .unwrap();
    let losses = |output: &str, base: Option<PathBuf>| -> Vec<f64> {
        let mut config = lab.config(output, 8);
        config.schedule.lr = 1e-2;
        config.lora = Some(LoraConfig {
            rank: 4,
            alpha: 8.0,
            modules: vec!["q_proj".into(), "down_proj".into()],
            dropout: 0.0,
            base,
        });
        config.parts = PartsConfig { language: Some(1.0), connector: Some(0.1), ..PartsConfig::default() };
        assert_eq!(train(config.clone(), false, 5).unwrap(), Outcome::Stopped { step: 5 });
        assert!(matches!(train(config, true, 99).unwrap(), Outcome::Finished(_)));
        losses_of(&lab.path(output))
    };
    let (plain, quantised) = (losses("plain", None), losses("quantised", Some(gguf)));
    assert!(quantised[7] < quantised[0] - 0.1, "{quantised:?}");
    for (plain, quantised) in plain.iter().zip(&quantised) {
        assert!((plain - quantised).abs() < 0.02 * plain, "{plain} over plain weights, {quantised}");
    }
    let [before, after] = ["model", "quantised/final"].map(|dir| Weights::open(lab.path(dir)).unwrap());
    let name = "language_model.model.layers.0.mlp.gate_proj.weight";
    assert_eq!(
        before.bytes(name).unwrap(),
        after.bytes(name).unwrap(),
        "weights are written as they were read"
    );
}

#[test]
fn weights_in_bf16_learn_from_masters_in_f32() {
    let lab = Lab::new(3);
    let losses = |output: &str, dtype| -> Vec<f64> {
        let mut config = lab.config(output, 6);
        config.steps.dtype = dtype;
        config.schedule.lr = 3e-3;
        assert_eq!(train(config.clone(), false, 4).unwrap(), Outcome::Stopped { step: 4 });
        assert!(matches!(train(config, true, 99).unwrap(), Outcome::Finished(_)));
        losses_of(&lab.path(output))
    };
    let (wide, narrow) = (losses("f32", Float::F32), losses("bf16", Float::Bf16));
    assert!(narrow[5] < narrow[0]);
    for (wide, narrow) in wide.iter().zip(&narrow) {
        assert!((wide - narrow).abs() < 0.03 * wide, "{wide} in f32, {narrow} in bf16");
    }
}

#[test]
fn a_run_that_cannot_start_leaves_no_folder() {
    let lab = Lab::new(3);
    let mut config = lab.config("run", 1);
    config.init = lab.path("nowhere");
    assert!(train(config, false, 99).unwrap_err().to_string().contains("nowhere"));
    assert!(!lab.path("run").exists());
    assert!(matches!(train(lab.config("run", 1), false, 99).unwrap(), Outcome::Finished(_)));
}

#[test]
fn a_run_is_not_started_over_another_one() {
    let lab = Lab::new(2);
    train(lab.config("run", 1), false, 99).unwrap();
    let error = train(lab.config("run", 1), false, 99).unwrap_err();
    assert!(matches!(*error, Error::OutputExists { .. }), "{error}");
    let mut other = lab.config("run", 1);
    other.seed += 1;
    let error = train(other, true, 99).unwrap_err();
    assert!(matches!(&*error, Error::ConfigChanged { field, .. } if field == "seed"), "{error}");
}

#[test]
fn moments_in_eight_bits_resume_like_others() {
    let lab = Lab::new(3);
    let config = |output: &str| {
        let mut config = lab.config(output, 5);
        config.optim.adamw.moments = MomentType::EightBit;
        config
    };
    train(config("straight"), false, 99).unwrap();
    train(config("broken"), false, 2).unwrap();
    train(config("broken"), true, 99).unwrap();
    assert_eq!(weights(&lab.path("straight")), weights(&lab.path("broken")));
    let size = |run: &str| {
        std::fs::metadata(lab.path(run).join("checkpoints/step-00000005/trainer/optimizer.safetensors"))
    };
    train(lab.config("wide", 5), false, 99).unwrap();
    let (packed, wide) = (size("straight").unwrap().len(), size("wide").unwrap().len());
    assert!(3 * packed < wide, "{packed} bytes beside {wide}");
}

#[test]
fn packed_samples_are_learnt_as_padded_ones_and_resumed_in_their_midst() {
    let lab = Lab::new(3);
    let config = |output: &str, pack: usize| {
        let mut config = lab.config(output, 5);
        (config.steps.batch, config.steps.micro_batch, config.steps.pack) = (6, Some(4), pack);
        config
    };
    train(config("padded", 0), false, 99).unwrap();
    train(config("packed", 2000), false, 99).unwrap();
    train(config("broken", 2000), false, 3).unwrap();
    train(config("broken", 2000), true, 99).unwrap();
    assert_eq!(weights(&lab.path("packed")), weights(&lab.path("broken")));
    let steps = |run: &str| -> Vec<StepReport> {
        let lines = read_log(&lab.path(run).join("log.jsonl")).unwrap().into_iter();
        lines.filter_map(|line| if let LogLine::Step(report) = line { Some(report) } else { None }).collect()
    };
    for (padded, packed) in steps("padded").iter().zip(steps("packed")) {
        assert!((padded.loss - packed.loss).abs() < 1e-4 * padded.loss, "{} {}", padded.loss, packed.loss);
        assert!(packed.tokens <= padded.tokens && packed.supervised == padded.supervised);
        for (source, share) in &padded.by_source {
            let other = &packed.by_source[source];
            assert_eq!((share.samples, share.supervised), (other.samples, other.supervised));
            assert!((share.loss - other.loss).abs() < 1e-4 * share.loss);
        }
    }
}

#[test]
fn shards_are_learnt_as_the_samples_that_were_packed_into_them() {
    let lab = Lab::new(3);
    train(lab.config("plain", 3), false, 99).unwrap();
    let shelf = Shelf::new(0, Duration::from_secs(60)).unwrap();
    let (samples, world) = (lab.path("data/samples.jsonl"), lab.path("world"));
    let set = SampleSet::open(&samples, Some(&world), None, &shelf).unwrap();
    pack::shards(&set, &lab.path("shards"), 200_000, || ()).unwrap();
    let mut config = lab.config("packed", 3);
    // So little room that copies come and go.
    config.data.shelf_gb = 1e-5;
    let source = &mut config.data.mixture.sources[0];
    (source.path, source.media_root) = (lab.path("shards"), None);
    train(config, false, 99).unwrap();
    assert_eq!(weights(&lab.path("plain")), weights(&lab.path("packed")));
}

#[test]
fn a_video_that_takes_too_long_is_skipped_and_named() {
    let lab = Lab::new(3);
    let mut config = lab.config("slow", 1);
    config.data.deadline_s = 1e-9;
    config.data.max_skipped = 1.0;
    let error = train(config, false, 99).unwrap_err();
    assert!(error.to_string().contains("not done after"), "{error}");
}

#[test]
fn a_sample_that_cannot_be_used_is_skipped_and_named() {
    let lab = Lab::new(5);
    let videos = std::fs::read_dir(lab.path("world/videos")).unwrap();
    let one = videos.map(|entry| entry.unwrap().path()).min().unwrap();
    let gone = one.with_extension("gone");
    std::fs::rename(&one, &gone).unwrap();
    train(lab.config("run", 5), false, 99).unwrap();
    let lines = read_log(&lab.path("run/log.jsonl")).unwrap();
    let name = one.file_name().unwrap().to_string_lossy().into_owned();
    let named = |line: &LogLine| matches!(line, LogLine::Skipped { reason, .. } if reason.contains(&name));
    assert!(lines.iter().any(named), "{lines:?}");
}

#[test]
fn a_step_that_is_shown_is_the_step_that_was_run() {
    let lab = Lab::new(4);
    let videos = std::fs::read_dir(lab.path("world/videos")).unwrap();
    let one = videos.map(|entry| entry.unwrap().path()).min().unwrap();
    let mut config = lab.config("run", 3);
    config.data.mixture.sources[0].augment.recolour = 0.5;
    train(config.clone(), false, 99).unwrap();
    let run: Vec<(usize, usize)> = read_log(&lab.path("run/log.jsonl"))
        .unwrap()
        .iter()
        .filter_map(|line| if let LogLine::Step(r) = line { Some((r.samples, r.supervised)) } else { None })
        .collect();
    assert_eq!(run.len(), 3);
    for (step, run) in run.into_iter().enumerate() {
        let seen = SeenStep::of(&config, step).unwrap();
        let again = SeenStep::of(&config, step).unwrap();
        let supervised = seen.samples.iter().map(|sample| sample.inputs.as_ref().unwrap().supervised());
        assert_eq!((seen.samples.len(), supervised.sum()), run, "step {step}");
        for (one, other) in seen.samples.iter().zip(&again.samples) {
            let [one, other] = [one, other].map(|sample| sample.inputs.as_ref().unwrap());
            let pixels = |inputs: &Inputs| inputs.frames.flatten_all().unwrap().to_vec1::<f32>().unwrap();
            assert_eq!((&one.tokens, &one.regions), (&other.tokens, &other.regions));
            assert_eq!(pixels(one), pixels(other));
        }
    }
    assert!(matches!(SeenStep::of(&config, 3), Err(Error::NoSuchStep { step: 3, total: 3 })));
    std::fs::rename(&one, one.with_extension("gone")).unwrap();
    let skipped = (0..3).flat_map(|step| SeenStep::of(&config, step).unwrap().samples);
    assert!(skipped.filter(|sample| sample.inputs.is_err()).count() > 0);
}
