//! What a run is said to need is what it uses.

use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicBool;

use strefer_core::Sample;
use strefer_core::jsonl::Writer;
use strefer_core::records::LineRecord;
use strefer_model::Checkpoint;
use strefer_model::preset::fresh_weights;
use strefer_nn::testing::device;
use strefer_nn::{Weights, card_memory};
use strefer_tests::Lab;
use strefer_train::config::{Float, LoraConfig, PartsConfig};
use strefer_train::{LogLine, Observer, Place, Plan, TrainConfig, Trainer};

const CONFIG: &str = "STREFER_TEST_RUN";

struct Silent;

impl Observer for Silent {
    fn line(&mut self, _line: &LogLine, _total: usize) {}
}

/// A line of `/proc/self/status` in bytes.
fn status(name: &str) -> usize {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() << 10
}

/// Started by the test below, on its own in its process: trains and writes by how much its memory grew, or how much of a card it used.
#[test]
#[ignore = "a part of the other test"]
fn train_alone() {
    let config = TrainConfig::load(Path::new(&std::env::var(CONFIG).unwrap()), &[]).unwrap();
    let output = config.output.clone();
    let (before, program) = (status("VmRSS:"), status("RssFile:"));
    let mut trainer = Trainer::new(config, false, device()).unwrap();
    trainer.run(&mut Silent, &AtomicBool::new(false)).unwrap();
    let grown = match card_memory(device()).unwrap() {
        Some(card) => card.most,
        // Pages of the program itself come in as it runs.
        None => status("VmHWM:") - before - (status("RssFile:") - program),
    };
    std::fs::write(output.join("grown"), grown.to_string()).unwrap();
}

fn growth(lab: &Lab, config: &TrainConfig) -> usize {
    let file = lab.path("run.toml");
    std::fs::write(&file, config.to_toml()).unwrap();
    let program = std::env::current_exe().unwrap();
    let out = Command::new(program)
        .args(["--ignored", "--exact", "train_alone", "--nocapture"])
        .env(CONFIG, file)
        // As the programs set their allocator (`prepare_process`), which a test cannot once it has threads.
        .env(
            "GLIBC_TUNABLES",
            "glibc.malloc.mmap_max=0:glibc.malloc.trim_threshold=2147483647:glibc.malloc.arena_max=1",
        )
        .output()
        .unwrap();
    let grown = std::fs::read_to_string(config.output.join("grown"));
    let Ok(grown) = grown else { panic!("{}", String::from_utf8_lossy(&out.stderr)) };
    grown.parse().unwrap()
}

/// The laboratory's model, but so wide that it outweighs the program.
fn widen(lab: &Lab) {
    let mut checkpoint = Checkpoint::open(lab.path("model")).unwrap();
    let llm = &mut checkpoint.config.llm;
    (llm.hidden_size, llm.intermediate_size, llm.num_hidden_layers) = (512, 1536, 6);
    (llm.num_attention_heads, llm.num_key_value_heads) = (8, 4);
    let weights = Weights::from_tensors("fresh", fresh_weights(&checkpoint.config, 1).unwrap());
    Checkpoint::save(lab.path("wide"), &checkpoint.config, &checkpoint.tokenizer, &weights, None).unwrap();
}

#[test]
fn a_run_uses_the_memory_that_was_planned() {
    let lab = Lab::new(3);
    widen(&lab);
    // Of one length: which rows come together would be chance, in so short a run.
    let sample = lab.samples("data").into_iter().max_by_key(|sample| sample.conversations.len()).unwrap();
    let mut writer = Writer::create(lab.path("alike.jsonl")).unwrap();
    for at in 0..24 {
        writer.write(&Sample { id: format!("{at}"), ..sample.clone() }.into_record()).unwrap();
    }
    writer.finish().unwrap();
    let plain = |name: &str| {
        let mut config = lab.config(name, 2);
        config.init = lab.path("wide");
        config.steps.batch = 16;
        config.steps.micro_batch = Some(8);
        config.data.mixture.sources[0].path = lab.path("alike.jsonl");
        config.save.background = false;
        config.data.readers = 1;
        config.data.cache_mb = 0;
        config
    };
    let mut again = plain("again");
    again.steps.recompute = true;
    let mut lora = plain("lora");
    lora.parts = PartsConfig { language: Some(1.0), connector: Some(1.0), ..PartsConfig::default() };
    let modules = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"];
    let modules = modules.map(str::to_owned).to_vec();
    lora.lora = Some(LoraConfig { rank: 8, alpha: 16.0, modules, dropout: 0.0, base: None });
    let on_card = !device().is_cpu();
    let mut runs = vec![("plain", plain("plain")), ("again", again), ("lora", lora)];
    if on_card {
        let mut narrow = plain("narrow");
        narrow.steps.dtype = Float::Bf16;
        runs.push(("narrow", narrow));
    }
    for (name, config) in runs {
        let plan = Plan::of(&config, 1, Place::from(device())).unwrap();
        let (planned, used) = (plan.ranks[0].total() as f64, growth(&lab, &config) as f64);
        assert!(
            (planned / used - 1.0).abs() < 0.1,
            "{name}: {planned} planned, {used} used: {:?}",
            plan.ranks[0]
        );
    }
}
