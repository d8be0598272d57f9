//! Tests of the crate through its public functions.

mod decoder;
mod extra_rows;
mod generation;
mod gguf;
mod gguf_parity;
mod guide;
mod invariants;
mod steps;
mod tokenizer;

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use strefer_llm::{Decoder, DecoderConfig};
use strefer_nn::ParamStore;
use strefer_nn::ops::AttentionMask;
use strefer_nn::testing::{Golden, device};

/// One recorded model: its folder, the file name suffix of its cases and its configuration.
#[derive(Clone)]
struct Case {
    dir: PathBuf,
    suffix: String,
    cfg: DecoderConfig,
}

/// Every configuration of every folder of both families.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dir in ["qwen2", "phi3"].into_iter().flat_map(strefer_core::golden::dirs) {
        for item in std::fs::read_dir(&dir).unwrap() {
            let file = item.unwrap().file_name().to_string_lossy().into_owned();
            let Some(suffix) = file.strip_prefix("config").and_then(|rest| rest.strip_suffix(".json")) else {
                continue;
            };
            let json = Golden::open(&dir, "weights").config(&file);
            let cfg = DecoderConfig::from_hf_json(&json).unwrap();
            cases.push(Case { dir: dir.clone(), suffix: suffix.to_string(), cfg });
        }
    }
    assert!(cases.len() >= 3, "found {} recorded models", cases.len());
    cases
}

impl Case {
    /// A recorded run, if this model has it.
    fn golden(&self, name: &str) -> Golden {
        Golden::open(&self.dir, &format!("{name}{}", self.suffix))
    }

    /// The recorded runs whose names begin so; at least one.
    fn runs(&self, begin: &str) -> Vec<String> {
        let runs = self.any_runs(begin);
        assert!(!runs.is_empty(), "no run {begin}* in {}", self.dir.display());
        runs
    }

    /// The recorded runs whose names begin so, if there are any. Runs of other configurations of the folder end in
    /// something that no name of a run holds.
    fn any_runs(&self, begin: &str) -> Vec<String> {
        let of_others = ["sliding", "longrope", "linear", "yarn"];
        let mut runs = Vec::new();
        for item in std::fs::read_dir(&self.dir).unwrap() {
            let file = item.unwrap().file_name().to_string_lossy().into_owned();
            let Some(stem) = file.strip_suffix(".safetensors") else { continue };
            let Some(run) = stem.strip_suffix(&self.suffix) else { continue };
            if run.starts_with(begin) && !of_others.iter().any(|other| run.contains(other)) {
                runs.push(run.to_string());
            }
        }
        runs
    }

    /// The model with its recorded weights, all of them trainable.
    fn build(&self) -> (Decoder, ParamStore) {
        build(&self.cfg, &Golden::open(&self.dir, "weights"))
    }
}

fn build(cfg: &DecoderConfig, weights: &Golden) -> (Decoder, ParamStore) {
    let store = ParamStore::new(1, device(), DType::F32).with_weights(weights.weights()).trainable(|_| true);
    let decoder = Decoder::new(cfg, store.var_builder()).unwrap();
    (decoder, store)
}

/// Flags and the mask of a recorded attention mask `(b, s)`.
fn padding(mask: &Tensor) -> (Vec<bool>, AttentionMask) {
    let valid: Vec<bool> = mask
        .to_dtype(DType::U8)
        .and_then(|mask| mask.flatten_all()?.to_vec1::<u8>())
        .unwrap()
        .into_iter()
        .map(|flag| flag != 0)
        .collect();
    let mask = AttentionMask::causal().with_padding(mask.dim(0).unwrap(), &valid).unwrap();
    (valid, mask)
}

/// The rows of `(b, s, d)` whose flag is set.
fn valid_rows(xs: &Tensor, valid: &[bool]) -> Tensor {
    let rows: Vec<u32> = (0u32..).zip(valid).filter(|(_, valid)| **valid).map(|(row, _)| row).collect();
    let count = rows.len();
    let rows = Tensor::from_vec(rows, count, device()).unwrap();
    xs.flatten(0, 1).unwrap().index_select(&rows, 0).unwrap()
}

#[test]
fn every_folder_is_a_case() {
    let dirs: Vec<PathBuf> = cases().into_iter().map(|case| case.dir).collect();
    assert!(dirs.iter().all(|dir| Path::new(dir).is_dir()));
    assert!(dirs.iter().any(|dir| dir.ends_with("qwen2")) && dirs.iter().any(|dir| dir.ends_with("phi3")));
}
