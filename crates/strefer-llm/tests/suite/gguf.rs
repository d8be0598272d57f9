//! The language model as a GGUF file: what is written is read again, and answers as the plain weights do.

use std::path::PathBuf;

use candle_core::{DType, Tensor};
use strefer_llm::decoder::{ExtraRows, Layout};
use strefer_llm::gguf::{Export, Gguf, Quantisation, export};
use strefer_llm::{Decoder, DecoderConfig, Error, Tokenizer, train_bpe};
use strefer_nn::ops::AttentionMask;
use strefer_nn::testing::device;
use strefer_nn::{ParamStore, Weights};

/// A decoder, its weights and a folder for files.
struct Bench {
    cfg: DecoderConfig,
    weights: Weights,
    plain: Decoder,
    dir: tempfile::TempDir,
}

fn tokenizer() -> Tokenizer {
    train_bpe(["the red ball rolls, the blue box stays".to_string()], 300, &["<end>"]).unwrap()
}

impl Bench {
    fn new(cfg: DecoderConfig) -> Self {
        let store = ParamStore::new(4, device(), DType::F32);
        let plain = Decoder::new(&cfg, store.var_builder().pp("language_model")).unwrap();
        let weights = Weights::from_tensors("bench", store.tensors());
        Self { cfg, weights, plain, dir: tempfile::tempdir().unwrap() }
    }

    fn export(&self, quantisation: Quantisation) -> Result<PathBuf, Error> {
        let path = self.dir.path().join(format!("{}.gguf", quantisation.name()));
        let mut seen = 0;
        let tokenizer = tokenizer();
        let made_of = Export { cfg: &self.cfg, tokenizer: &tokenizer, eos: Some(0), quantisation };
        export(&path, &made_of, &self.weights, "language_model.", |done, all| {
            assert!(done > seen && done <= all);
            seen = done;
        })?;
        Ok(path)
    }

    /// The decoder with its matrices from a file; none of its own is in memory.
    fn quantised(&self, path: &PathBuf) -> Decoder {
        let file = std::sync::Arc::new(Gguf::open(path).unwrap());
        let hollow = std::sync::Arc::clone(&file);
        let weights = self.weights.clone().renamed(|name| Some(name.replace("language_model.", ""))).unwrap();
        let store = ParamStore::new(0, device(), DType::F32)
            .with_weights(weights)
            .hollow(move |name| hollow.has_matrix(name));
        let mut decoder = Decoder::new(&self.cfg, store.var_builder()).unwrap();
        store.check_complete().unwrap();
        decoder.quantise(&file).unwrap();
        decoder
    }
}

fn configs() -> Vec<DecoderConfig> {
    let split = DecoderConfig {
        num_hidden_layers: 3,
        hidden_size: 256,
        intermediate_size: 512,
        ..DecoderConfig::tiny(320)
    };
    vec![
        split.clone(),
        DecoderConfig { tie_word_embeddings: false, ..split.clone() },
        DecoderConfig { layout: Layout::Fused, tie_word_embeddings: false, ..split.clone() },
        // Rows that fill no block of 256.
        DecoderConfig { hidden_size: 128, intermediate_size: 352, ..split },
    ]
}

fn logits(decoder: &Decoder) -> Tensor {
    let ids: Vec<u32> = (0..24).map(|at| (at * 37) % 320).collect();
    let ids = Tensor::from_vec(ids, (1, 24), device()).unwrap();
    let positions = Tensor::arange(0u32, 24, device()).unwrap().unsqueeze(0).unwrap();
    let embeds = decoder.embed(&ids).unwrap();
    let hidden = decoder.forward(&embeds, &positions, &AttentionMask::causal(), None).unwrap();
    decoder.logits(&hidden).unwrap()
}

/// How far the second lies from the first, as a share of its length.
fn distance(one: &Tensor, other: &Tensor) -> f32 {
    let length = |xs: &Tensor| xs.sqr().unwrap().sum_all().unwrap().to_scalar::<f32>().unwrap().sqrt();
    length(&(one - other).unwrap()) / length(one)
}

#[test]
fn quantised_weights_give_nearly_the_logits_of_plain_ones() {
    for cfg in configs() {
        let bench = Bench::new(cfg);
        let plain = logits(&bench.plain);
        let [eight, four] = [Quantisation::Q8_0, Quantisation::Q4KM].map(|quantisation| {
            let path = bench.export(quantisation).unwrap();
            (distance(&plain, &logits(&bench.quantised(&path))), path.metadata().unwrap().len())
        });
        assert!(eight.0 < 0.04 && four.0 < 0.25, "{:?}: {eight:?} {four:?}", bench.cfg);
        assert!(eight.0 < four.0 && eight.1 > four.1, "{:?}: {eight:?} {four:?}", bench.cfg);
    }
}

#[test]
fn another_weight_gives_other_logits() {
    let bench = Bench::new(configs().remove(0));
    let path = bench.export(Quantisation::Q8_0).unwrap();
    let mut decoder = bench.quantised(&path);
    let same = logits(&decoder);
    let store = ParamStore::new(5, device(), DType::F32);
    Decoder::new(&bench.cfg, store.var_builder().pp("language_model")).unwrap();
    let weights = Weights::from_tensors("other", store.tensors());
    let other = Bench { weights, ..Bench::new(bench.cfg.clone()) };
    let path = other.export(Quantisation::Q8_0).unwrap();
    decoder.quantise(&Gguf::open(path).unwrap()).unwrap();
    assert!(distance(&same, &logits(&decoder)) > 0.5);
}

#[test]
fn a_loss_out_of_quantised_weights_is_refused() {
    let bench = Bench::new(configs().remove(0));
    let decoder = bench.quantised(&bench.export(Quantisation::Q8_0).unwrap());
    let hidden = Tensor::zeros((1, 3, 256), DType::F32, device()).unwrap();
    let labels = Tensor::new(&[[1i64, 2, 3]], device()).unwrap();
    assert!(bench.plain.loss(&hidden, &labels).is_ok());
    assert!(decoder.loss(&hidden, &labels).unwrap_err().to_string().contains("quantised"));
}

#[test]
fn what_cannot_be_written_or_read_is_named() {
    let said = |error: Error| error.to_string();
    let bench = Bench::new(configs().remove(1));
    let path = bench.export(Quantisation::Q8_0).unwrap();
    assert!(matches!(bench.export(Quantisation::Q8_0), Err(Error::Io { .. })), "it exists");

    let bytes = std::fs::read(&path).unwrap();
    let cut = bench.dir.path().join("cut.gguf");
    std::fs::write(&cut, &bytes[..bytes.len() - 100]).unwrap();
    assert!(said(Gguf::open(&cut).unwrap_err()).contains("cut off"));
    std::fs::write(&cut, &bytes[..50]).unwrap();
    assert!(said(Gguf::open(&cut).unwrap_err()).contains("cut.gguf"));
    std::fs::write(&cut, b"no such thing").unwrap();
    assert!(said(Gguf::open(&cut).unwrap_err()).contains("cut.gguf"));
    assert!(matches!(Gguf::open(bench.dir.path().join("gone.gguf")), Err(Error::Io { .. })));

    let file = Gguf::open(&path).unwrap();
    let larger = DecoderConfig { num_hidden_layers: 4, ..bench.cfg.clone() };
    assert!(said(file.check(&larger).unwrap_err()).contains("qwen2.block_count"));
    let fused = DecoderConfig { layout: Layout::Fused, ..bench.cfg.clone() };
    assert!(said(file.check(&fused).unwrap_err()).contains("phi3"));
    assert!(
        said(file.tensor("model.layers.9.mlp.up_proj.weight", device()).unwrap_err()).contains("layers.9")
    );

    let extra = Some(ExtraRows { first_id: 310, count: 4 });
    let bench =
        Bench::new(DecoderConfig { extra_rows: extra, tie_word_embeddings: false, ..configs().remove(0) });
    assert!(said(bench.export(Quantisation::Q8_0).unwrap_err()).contains("rows in matrices of their own"));
}
