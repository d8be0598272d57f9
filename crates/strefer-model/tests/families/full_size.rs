//! Checkpoints of full size: random ones, in shards of bf16, are written, loaded within bounds and asked for one token.

#![allow(clippy::print_stdout, reason = "what was measured")]

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use candle_core::{DType, Device, Tensor};
use serde_json::{Value, json};
use strefer_llm::GenerationConfig;
use strefer_model::region::{MaskPlace, RegionRows};
use strefer_model::{Checkpoint, Family, IGNORE, ProcessorOptions, PromptToken, VideoLlm};
use strefer_nn::testing::randn;
use strefer_nn::{Declared, Weights, save_safetensors};

use super::Any;
use super::place::{json_file, own_golden, word_tokenizer};
use super::whole::sample;

/// A shard of the folders written here.
const SHARD_BYTES: usize = 1 << 30;

fn changed(mut config: Value, changes: &Value) -> Value {
    for (key, value) in changes.as_object().unwrap() {
        config[key] = match (config.get(key), value) {
            (Some(old @ Value::Object(_)), Value::Object(_)) => changed(old.clone(), value),
            _ => value.clone(),
        };
    }
    config
}

/// Qwen2 of 7 B parameters.
fn qwen2() -> Value {
    json!({"vocab_size": 152064, "hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28,
        "num_attention_heads": 28, "num_key_value_heads": 4, "max_position_embeddings": 32768})
}

/// SigLIP so400m with so many of its layers.
fn so400m(layers: usize) -> Value {
    json!({"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": layers, "num_attention_heads": 16,
        "image_size": 384, "patch_size": 14})
}

/// `config.json` and tokenizer as published.
fn published(family: Family) -> (Value, Value) {
    match family {
        Family::VideoRefer => {
            let tiny = json_file(&own_golden("videorefer_e2e").join("e2e_config.json"));
            let sizes = json!({"vision_config": so400m(27), "mm_hidden_size": 1152, "pad_token_id": 151643,
                "eos_token_id": 151645, "region_token_id": 151665});
            let tokenizer = word_tokenizer(151_666, &[("<region>", 151_665)]);
            (changed(changed(tiny, &qwen2()), &sizes), tokenizer)
        }
        Family::LlavaOneVision => {
            let tiny = json_file(&own_golden("llava_onevision").join("config.json"));
            let sizes = json!({"vision_config": so400m(26), "text_config": qwen2(), "image_token_index": 151646,
                "video_token_index": 151647, "image_grid_pinpoints": null});
            let text = json!({"text_config": {"eos_token_id": 151645, "pad_token_id": 151643}});
            let tokenizer = word_tokenizer(151_648, &[("<image>", 151_646), ("<video>", 151_647)]);
            (changed(changed(tiny, &sizes), &text), tokenizer)
        }
        Family::Strefer => {
            let times: Vec<String> = (0..32).map(|time| format!("<{time}>")).collect();
            let added = ["<image>", "<image placeholder>", "<|endofchunk|>"].into_iter();
            let added = added.chain(times.iter().map(String::as_str)).chain(["<region>"]);
            let mut specials = vec![("<pad>", 32_011), ("<|end|>", 32_007), ("<|endoftext|>", 32_000)];
            specials.extend(added.zip(32_012..));
            (json!({"model_type": "xgenmm", "text_config": {}}), word_tokenizer(32_048, &specials))
        }
    }
}

/// Random values around zero; those of norms around one.
fn random(name: &str, dims: &[usize], block: &Tensor) -> candle_core::Result<Tensor> {
    let count: usize = dims.iter().product();
    let len = block.elem_count();
    let block = if name.contains("norm") { (block + 1.0)? } else { block.clone() };
    let block = block.to_dtype(DType::BF16)?;
    Tensor::cat(&vec![block; count.div_ceil(len)], 0)?.narrow(0, 0, count)?.contiguous()?.reshape(dims)
}

/// Writes a folder of the family and gives the size of its weights in bytes.
fn write(dir: &Path, family: Family) -> Result<usize, Box<dyn std::error::Error>> {
    let (config, tokenizer) = published(family);
    std::fs::write(dir.join("config.json"), config.to_string())?;
    std::fs::write(dir.join("tokenizer.json"), tokenizer.to_string())?;
    // A first tensor tells how the others are named; the configuration tells their shapes.
    let layout = &family.layouts()[usize::from(family == Family::LlavaOneVision)];
    let theirs = |ours: &str| layout.theirs(ours).unwrap();
    let save = |name: &str, tensors: BTreeMap<String, Tensor>| {
        save_safetensors(dir, name, &Weights::from_tensors("random", tensors), usize::MAX, &BTreeMap::new())
    };
    let first = theirs("language_model.model.norm.weight");
    save("model", [(first, Tensor::zeros(1, DType::BF16, &Device::Cpu)?)].into())?;
    let config = Checkpoint::open(dir)?.config;
    std::fs::remove_file(dir.join("model.safetensors"))?;
    let declared = Declared::default();
    VideoLlm::new(&config, declared.var_builder())?;

    let block = (randn(1, &[1 << 20]) * 0.02)?;
    let (mut shard, mut filled, mut total) = (BTreeMap::new(), 0, 0);
    let mut weight_map = serde_json::Map::new();
    let shapes = declared.shapes();
    let last = shapes.keys().next_back().cloned();
    for (name, dims) in &shapes {
        let tensor = random(name, dims, &block)?;
        let bytes = 2 * tensor.elem_count();
        (filled, total) = (filled + bytes, total + bytes);
        weight_map.insert(theirs(name), "".into());
        shard.insert(theirs(name), tensor);
        if filled > SHARD_BYTES || Some(name) == last.as_ref() {
            let file = format!("model-{total}");
            for name in shard.keys() {
                weight_map[name] = format!("{file}.safetensors").into();
            }
            save(&file, std::mem::take(&mut shard))?;
            filled = 0;
        }
    }
    let index = json!({"metadata": {"total_size": total}, "weight_map": weight_map});
    std::fs::write(dir.join("model.safetensors.index.json"), index.to_string())?;
    Ok(total)
}

/// Memory of this process in bytes that is not a mapped file's.
fn own_memory() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).unwrap();
    1024 * line.trim().trim_end_matches(" kB").parse::<usize>().unwrap()
}

/// The most memory that is used while `job` runs, what was left from before included.
fn peak<T>(job: impl FnOnce() -> T) -> (T, usize) {
    let (most, done) = (AtomicUsize::new(0), AtomicBool::new(false));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                most.fetch_max(own_memory(), Ordering::Relaxed);
                std::thread::sleep(Duration::from_millis(5));
            }
        });
        let made = job();
        done.store(true, Ordering::Relaxed);
        (made, most.load(Ordering::Relaxed))
    })
}

fn loads_and_answers(family: Family) -> Any {
    let dir = tempfile::tempdir()?;
    let bytes = write(dir.path(), family)?;
    let began = Instant::now();
    let checkpoint = Checkpoint::open(dir.path())?;
    let (loaded, peak) = peak(|| checkpoint.load(&Device::Cpu, DType::BF16, ProcessorOptions::default()));
    let loaded = loaded?;
    let share = peak as f64 / bytes as f64;
    println!("{family}: {:.2} GB in {:.1?}, memory {share:.3} of it", bytes as f64 / 1e9, began.elapsed());
    assert!(share < 1.1, "{share}");

    let (config, began) = (&checkpoint.config, Instant::now());
    let grid = config.grid_side();
    let frames = randn(2, &[2, 3, 384, 384]).to_dtype(DType::BF16)?;
    let object = RegionRows {
        rows: vec![1],
        grid_masks: vec![vec![1.0; grid * grid]],
        places: vec![MaskPlace::default()],
    };
    let regions: Vec<RegionRows> = config.region.iter().map(|_| object.clone()).collect();
    let mut tokens = vec![PromptToken::Text(5), PromptToken::Video, PromptToken::Text(9)];
    tokens.extend((0..regions.len()).map(PromptToken::Region));
    let labels = vec![IGNORE; tokens.len()];
    let inputs = sample("full", frames, vec![0, 1], regions, tokens, labels);
    let cfg = GenerationConfig { max_new_tokens: 1, ..GenerationConfig::default() };
    let answer = loaded.model.generate(&inputs, &cfg, |_| ControlFlow::Continue(()))?;
    println!("{family}: token {answer:?} in {:.1?}", began.elapsed());
    assert_eq!(answer.len(), 1);
    Ok(())
}

#[test]
#[ignore = "writes 16 GB and needs 20 GiB of memory"]
fn videorefer_of_full_size_loads_and_answers() -> Any {
    loads_and_answers(Family::VideoRefer)
}

#[test]
#[ignore = "writes 16 GB and needs 20 GiB of memory"]
fn llava_onevision_of_full_size_loads_and_answers() -> Any {
    loads_and_answers(Family::LlavaOneVision)
}

#[test]
#[ignore = "writes 9 GB and needs 12 GiB of memory"]
fn strefer_of_full_size_loads_and_answers() -> Any {
    loads_and_answers(Family::Strefer)
}
