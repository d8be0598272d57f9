//! Our GGUF files, run here and recorded with llama.cpp.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use strefer_llm::decoder::{Layout, RopeScaling, positions_of};
use strefer_llm::gguf::{Export, Gguf, Quantisation, export};
use strefer_llm::{Decoder, DecoderConfig, GenerationConfig, Tokenizer, generate, train_bpe};
use strefer_nn::ops::AttentionMask;
use strefer_nn::testing::{Golden, device};
use strefer_nn::{ParamStore, Weights};

/// How far logits may lie apart, as a share of their length.
const TOLERANCE: f32 = 0.03;

/// The recorded files.
fn cases() -> Vec<PathBuf> {
    let dirs = strefer_core::golden::dirs("gguf");
    let files = dirs.iter().flat_map(|dir| std::fs::read_dir(dir).unwrap());
    let files = files.map(|item| item.unwrap().path());
    let files: Vec<PathBuf> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "gguf")).collect();
    assert!(files.len() >= 3, "found {} recorded files", files.len());
    files
}

fn config(path: &Path) -> DecoderConfig {
    serde_json::from_slice(&std::fs::read(path.with_extension("json")).unwrap()).unwrap()
}

fn golden(path: &Path) -> Golden {
    Golden::open(path.parent().unwrap(), path.file_stem().unwrap().to_str().unwrap())
}

/// The model of a file, everything out of it.
fn decoder(path: &Path, cfg: &DecoderConfig) -> Decoder {
    let file = Gguf::open(path).unwrap();
    let declared = ParamStore::new(0, device(), DType::F32).hollow(|_| true);
    Decoder::new(cfg, declared.var_builder()).unwrap();
    let whole = |name: String| {
        let tensor = file.tensor(&name, device()).unwrap().dequantize(device()).unwrap();
        (name, tensor)
    };
    let weights: BTreeMap<String, Tensor> = declared.tensors().into_keys().map(whole).collect();
    let store = ParamStore::new(0, device(), DType::F32).with_weights(Weights::from_tensors("file", weights));
    let mut decoder = Decoder::new(cfg, store.var_builder()).unwrap();
    store.check_complete().unwrap();
    decoder.quantise(&file).unwrap();
    decoder
}

/// How far our logits lie from those of llama.cpp.
fn distance(decoder: &Decoder, golden: &Golden) -> f32 {
    let prompts = golden.tensor("prompts");
    let (rows, length) = prompts.dims2().unwrap();
    let positions = positions_of(rows, &vec![true; rows * length], device()).unwrap();
    let embeds = decoder.embed(&prompts).unwrap();
    let hidden = decoder.forward(&embeds, &positions, &AttentionMask::causal(), None).unwrap();
    let last = hidden.narrow(1, length - 1, 1).unwrap();
    let ours = decoder.logits(&last).unwrap().squeeze(1).unwrap();
    let theirs = golden.tensor("logits");
    let size = |xs: &Tensor| xs.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    size(&(ours - &theirs).unwrap()) / size(&theirs)
}

#[test]
fn logits_and_greedy_tokens_are_those_of_llama_cpp() {
    for path in cases() {
        let golden = golden(&path);
        let decoder = decoder(&path, &config(&path));
        let apart = distance(&decoder, &golden);
        assert!(apart < TOLERANCE, "{}: {apart}", path.display());
        let (prompts, theirs) = (golden.tensor("prompts"), golden.tensor("tokens").to_vec2::<i64>().unwrap());
        let mut compared = 0;
        for (row, theirs) in theirs.into_iter().enumerate() {
            let theirs: Vec<u32> = theirs.into_iter().map_while(|id| u32::try_from(id).ok()).collect();
            let how = GenerationConfig { max_new_tokens: theirs.len(), ..GenerationConfig::default() };
            if theirs.is_empty() {
                continue;
            }
            let embeds = decoder.embed(&prompts.narrow(0, row, 1).unwrap()).unwrap();
            let ours = generate(&decoder, &embeds, &how, |_| std::ops::ControlFlow::Continue(())).unwrap();
            assert_eq!(ours, theirs, "{}, prompt {row}", path.display());
            compared += theirs.len();
        }
        assert!(compared >= 20, "{}: {compared} tokens are clear", path.display());
    }
}

#[test]
fn texts_become_the_tokens_of_llama_cpp() {
    let tokenizer = tokenizer();
    for path in cases() {
        let golden = golden(&path);
        for at in 0..3 {
            let list =
                |name: String| golden.tensor(&name).to_dtype(DType::U32).unwrap().to_vec1::<u32>().unwrap();
            let bytes = list(format!("text{at}")).into_iter().map(|byte| byte as u8).collect();
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(
                tokenizer.encode(&text).unwrap(),
                list(format!("ids{at}")),
                "{}: {text:?}",
                path.display()
            );
        }
    }
}

#[test]
fn one_disturbed_block_moves_the_logits() {
    for path in cases() {
        let mut bytes = std::fs::read(&path).unwrap();
        // Somewhere in the matrices: no block keeps its numbers when 64 bytes are others.
        let at = bytes.len() * 3 / 4;
        bytes[at..at + 64].fill(0x3c);
        let dir = tempfile::tempdir().unwrap();
        let disturbed = dir.path().join("disturbed.gguf");
        std::fs::write(&disturbed, bytes).unwrap();
        let apart = distance(&decoder(&disturbed, &config(&path)), &golden(&path));
        assert!(apart.is_nan() || apart > TOLERANCE, "{}: {apart}", path.display());
    }
}

/// Models of the recorded files: their weights are drawn.
fn models() -> Vec<(&'static str, DecoderConfig, Quantisation)> {
    let narrow = DecoderConfig {
        num_hidden_layers: 2,
        hidden_size: 64,
        intermediate_size: 96,
        max_position_embeddings: 256,
        ..DecoderConfig::tiny(320)
    };
    let untied = DecoderConfig { tie_word_embeddings: false, ..narrow.clone() };
    let fused = DecoderConfig { layout: Layout::Fused, ..untied.clone() };
    // llama.cpp takes the long factors for every context that is longer than the original one, we for every sequence.
    let factors = |step: f64| (0..8).map(|at| 1.0 + step * f64::from(at)).collect();
    let longrope = RopeScaling::Longrope {
        original_positions: 16,
        short_factor: factors(0.05),
        long_factor: factors(0.5),
        attention_factor: 1.2,
    };
    let long = DecoderConfig { rope_scaling: Some(longrope), ..fused.clone() };
    // Blocks of 4 to 6 bits hold 256 numbers.
    let wide =
        DecoderConfig { num_hidden_layers: 1, hidden_size: 256, intermediate_size: 256, ..narrow.clone() };
    vec![
        ("qwen2-q8_0", narrow, Quantisation::Q8_0),
        ("qwen2-untied-q8_0", untied, Quantisation::Q8_0),
        ("phi3-q8_0", fused, Quantisation::Q8_0),
        ("phi3-longrope-q8_0", long, Quantisation::Q8_0),
        ("qwen2-q4_k_m", wide, Quantisation::Q4KM),
    ]
}

fn tokenizer() -> Tokenizer {
    train_bpe(["the red ball rolls, the blue box stays".to_owned()], 300, &["<end>"]).unwrap()
}

fn write(name: &str, cfg: &DecoderConfig, quantisation: Quantisation, dir: &Path) -> PathBuf {
    let store = ParamStore::new(11, device(), DType::F32);
    Decoder::new(cfg, store.var_builder()).unwrap();
    // Larger than fresh ones, so that the layers matter and one token is well ahead.
    let scaled = |(name, tensor): (String, Tensor)| {
        let factor = if name.contains("norm") { 1.0 } else { 2.0 };
        (name, (tensor * factor).unwrap())
    };
    let weights = Weights::from_tensors("drawn", store.tensors().into_iter().map(scaled).collect());
    let tokenizer =
        train_bpe(["the red ball rolls, the blue box stays".to_owned()], 300, &["<end>"]).unwrap();
    let made_of = Export { cfg, tokenizer: &tokenizer, eos: Some(0), quantisation };
    let path = dir.join(format!("{name}.gguf"));
    export(&path, &made_of, &weights, "", |_, _| ()).unwrap();
    path
}

/// What is recorded is what the exporter writes now: the same tensors in the same types.
#[test]
fn recorded_files_are_those_of_the_exporter() {
    let dir = tempfile::tempdir().unwrap();
    for (name, cfg, quantisation) in models() {
        let recorded = cases().into_iter().find(|path| path.file_stem().is_some_and(|stem| stem == name));
        let recorded = recorded.unwrap_or_else(|| panic!("{name} is not recorded"));
        assert_eq!(config(&recorded), cfg, "{name}");
        let written = write(name, &cfg, quantisation, dir.path());
        let [ours, theirs] = [&written, &recorded].map(|path| Gguf::open(path).unwrap());
        let declared = ParamStore::new(0, device(), DType::F32).hollow(|_| true);
        Decoder::new(&cfg, declared.var_builder()).unwrap();
        for parameter in declared.tensors().into_keys() {
            let [ours, theirs] = [&ours, &theirs].map(|file| file.tensor(&parameter, device()).unwrap());
            assert_eq!((ours.dtype(), ours.shape()), (theirs.dtype(), theirs.shape()), "{name}: {parameter}");
        }
        let [ours, theirs] = [written, recorded].map(|path| std::fs::metadata(path).unwrap().len());
        assert_eq!(ours, theirs, "{name}");
    }
}

/// Writes the files that `scripts/goldens/gguf.py` runs in llama.cpp.
#[test]
#[ignore = "writes into the folder named by STREFER_GGUF_OUT"]
fn writes_files_to_record() {
    let dir = PathBuf::from(std::env::var_os("STREFER_GGUF_OUT").expect("STREFER_GGUF_OUT names a folder"));
    std::fs::create_dir_all(&dir).unwrap();
    for (name, cfg, quantisation) in models() {
        let json = serde_json::to_string_pretty(&cfg).unwrap();
        std::fs::write(dir.join(format!("{name}.json")), json + "\n").unwrap();
        let _ = std::fs::remove_file(dir.join(format!("{name}.gguf")));
        write(name, &cfg, quantisation, &dir);
    }
}
