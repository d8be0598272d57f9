//! The region connector equals the references': VideoRefer's object encoder and Strefer's region encoder.
//!
//! Where the reference does something with malformed input, the port refuses: fewer masks than frames are an error.
//! An object without any mask has an empty one in the port, as the references substitute.

use std::path::PathBuf;

use candle_core::{DType, Tensor};
use serde_json::Value;
use strefer_core::{Mask, golden};
use strefer_model::region::{
    RegionConfig, RegionEncoder, RegionRows, adjacent_similarities, grid_mask, merge_groups,
};
use strefer_nn::testing::{Golden, assert_all_grads, assert_close, device, max_abs_diff};
use strefer_nn::{ParamStore, Weights};

type Any = Result<(), Box<dyn std::error::Error>>;

/// One recorded call.
struct Case {
    name: String,
    golden: Golden,
    weights: Weights,
    dtype: DType,
    max_tokens: usize,
    pad: bool,
    /// Per sample the suffix of its tensors, and per object of it the rows of `feats`.
    samples: Vec<(String, Vec<Vec<u32>>)>,
    counts: Vec<usize>,
    names: Names,
}

/// What the two families call their tensors.
#[derive(Clone, Copy)]
struct Names {
    masks: &'static str,
    grid: &'static str,
    out: &'static str,
    coef: &'static str,
    grad: &'static str,
}

const VIDEOREFER: Names =
    Names { masks: "masks", grid: "grid_mask", out: "out", coef: "coef", grad: "grad." };
const STREFER: Names = Names {
    masks: "masks",
    grid: "grid_masks",
    out: "output",
    coef: "loss_weight",
    grad: "grad.region_encoder.",
};

fn rows(value: &Value) -> Vec<Vec<u32>> {
    serde_json::from_value(value.clone()).unwrap()
}

fn json(path: PathBuf) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn videorefer_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dir in golden::dirs("videorefer") {
        let manifest = json(dir.join("manifest.json"));
        for entry in manifest["object_encoder"].as_array().unwrap() {
            let name = entry["name"].as_str().unwrap().to_owned();
            let samples = entry["ann_indices"].as_array().unwrap();
            let bf16 = entry["dtype"].as_str() == Some("bfloat16");
            cases.push(Case {
                golden: Golden::open(&dir, &format!("object_encoder_{name}")),
                weights: Golden::open(&dir, "object_encoder_weights").weights(),
                dtype: if bf16 { DType::BF16 } else { DType::F32 },
                max_tokens: entry["union_u"].as_u64().unwrap() as usize,
                pad: entry["image_aspect_ratio"].as_str() == Some("pad"),
                samples: samples
                    .iter()
                    .enumerate()
                    .map(|(i, objects)| (format!(".{i}"), rows(objects)))
                    .collect(),
                counts: serde_json::from_value(entry["region_token_nums"].clone()).unwrap(),
                names: VIDEOREFER,
                name,
            });
        }
    }
    assert!(!cases.is_empty());
    cases
}

fn strefer_cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for dir in golden::dirs("region_connector") {
        let weights = Golden::open(&dir, "weights").weights();
        for (name, entry) in json(dir.join("cases.json")).as_object().unwrap() {
            let strip = |name: &str| name.strip_prefix("region_encoder.").map(str::to_owned);
            cases.push(Case {
                name: name.clone(),
                golden: Golden::open(&dir, &format!("case_{name}")),
                weights: weights.clone().renamed(strip).unwrap(),
                dtype: DType::F32,
                max_tokens: 4,
                pad: false,
                samples: vec![(String::new(), rows(&entry["ann_indices"]))],
                counts: serde_json::from_value(entry["region_token_nums"].clone()).unwrap(),
                names: STREFER,
            });
        }
    }
    assert!(!cases.is_empty());
    cases
}

impl Case {
    fn side(&self) -> usize {
        self.golden.tensor("feats").dim(1).unwrap().isqrt()
    }

    /// Masks of one sample on the patch grid.
    fn grid_masks(&self, suffix: &str) -> Vec<Vec<f32>> {
        let masks = self.golden.tensor(&format!("{}{suffix}", self.names.masks));
        let (count, height, width) = masks.dims3().unwrap();
        let pixels = masks.flatten_all().unwrap().to_vec1::<u8>().unwrap();
        let (side, size) = (self.side(), height * width);
        (0..count)
            .map(|index| {
                let mask =
                    Mask::from_bytes(height, width, &pixels[index * size..(index + 1) * size]).unwrap();
                let mask = if self.pad { mask.pad_to_square() } else { mask };
                grid_mask(&mask, side, side)
            })
            .collect()
    }

    fn regions(&self) -> Vec<RegionRows> {
        let mut regions = Vec::new();
        for (suffix, objects) in &self.samples {
            let mut masks = self.grid_masks(suffix);
            if masks.is_empty() {
                masks = vec![vec![0.0; self.side().pow(2)]];
            }
            let wanted: usize = objects.iter().map(Vec::len).sum();
            if masks.len() == 1 {
                masks = vec![masks[0].clone(); wanted];
            }
            let mut masks = masks.into_iter();
            for rows in objects {
                let grid_masks = masks.by_ref().take(rows.len()).collect();
                regions.push(RegionRows { rows: rows.clone(), grid_masks, places: Vec::new() });
            }
        }
        regions
    }

    fn encoder(&self, weights: Weights) -> candle_core::Result<(ParamStore, RegionEncoder)> {
        let store = ParamStore::new(0, device(), self.dtype).with_weights(weights).trainable(|_| true);
        let (text_dim, vision_dim) = self.golden_dims();
        let cfg = RegionConfig { max_tokens: self.max_tokens, ..RegionConfig::default() };
        let encoder = RegionEncoder::new(&cfg, vision_dim, text_dim, store.var_builder())?;
        Ok((store, encoder))
    }

    fn golden_dims(&self) -> (usize, usize) {
        let shape = self.weights.shape("feat_linear.0.weight").unwrap();
        (shape[0], shape[1])
    }

    fn malformed(&self) -> bool {
        self.name == "quirk_mask_count_mismatch"
    }
}

#[test]
fn masks_become_the_recorded_grid_masks() {
    for case in videorefer_cases().into_iter().chain(strefer_cases()) {
        for (suffix, _) in &case.samples {
            let name = format!("{}{suffix}", case.names.grid);
            if case.golden.contains(&name) && !case.grid_masks(suffix).is_empty() {
                let expected =
                    case.golden.tensor(&name).to_dtype(DType::F32).unwrap().flatten_from(1).unwrap();
                let expected: Vec<Vec<f32>> = expected.to_vec2().unwrap();
                assert_eq!(case.grid_masks(suffix), expected, "{}", case.name);
            }
        }
    }
}

#[test]
fn region_tokens_equal_the_recorded_ones() -> Any {
    for case in videorefer_cases().into_iter().chain(strefer_cases()) {
        let (_, encoder) = case.encoder(case.weights.clone())?;
        let feats = case.golden.tensor("feats").to_dtype(case.dtype)?;
        let encoded = encoder.forward(&feats, &case.regions());
        if case.malformed() {
            assert!(encoded.is_err(), "{}", case.name);
            continue;
        }
        let encoded = encoded?;
        assert_eq!(encoded.counts, case.counts, "{}", case.name);
        let tolerance = if case.dtype == DType::BF16 { 5e-2 } else { 1e-5 };
        let tokens = encoded.tokens.to_dtype(DType::F32)?;
        assert_close(&tokens, &case.golden.tensor(case.names.out), tolerance);
        if case.golden.contains("pooled") {
            assert_close(&encoded.pooled, &case.golden.tensor("pooled"), 1e-5);
            assert_close(&encoded.merged, &case.golden.tensor("merged"), 1e-5);
        }
    }
    Ok(())
}

#[test]
fn gradients_equal_the_recorded_ones() -> Any {
    let (mut compared, mut flowed) = (0, 0);
    for case in videorefer_cases().into_iter().chain(strefer_cases()) {
        if !case.golden.contains(case.names.coef) || case.malformed() {
            continue;
        }
        let (store, encoder) = case.encoder(case.weights.clone())?;
        let feats = candle_core::Var::from_tensor(&case.golden.tensor("feats"))?;
        let tokens = encoder.forward(&feats, &case.regions())?.tokens;
        let loss = (tokens * case.golden.tensor(case.names.coef))?.sum_all()?;
        let grads = loss.backward()?;
        // Where every mask vanishes the MLP sees zeros, and its first matrix rightly learns nothing.
        if case.regions().iter().flat_map(|region| &region.grid_masks).flatten().any(|&patch| patch > 0.0) {
            assert_all_grads(&store.vars(), &grads);
            flowed += 1;
        }
        for (name, var) in store.vars() {
            let expected = case.golden.tensor(&format!("{}{name}", case.names.grad));
            assert_close(grads.get(&var).expect("checked above"), &expected, 1e-4);
        }
        if let Some(grad) = grads.get(&feats) {
            assert_close(grad, &case.golden.tensor("grad.feats"), 1e-4);
        }
        compared += 1;
    }
    assert!(compared > 0 && flowed > 0);
    Ok(())
}

/// Merges one list of vectors as the encoder does.
fn merge(xs: &Tensor, limit: usize) -> Vec<Vec<f32>> {
    let tokens: Vec<Vec<f32>> = xs.squeeze(0).unwrap().to_vec2().unwrap();
    let mut rest = tokens.as_slice();
    let mut merged = Vec::new();
    for group in merge_groups(&adjacent_similarities(&tokens), limit) {
        let (own, after) = rest.split_at(group);
        let mean = |column: usize| own.iter().map(|token| token[column]).sum::<f32>() / group as f32;
        merged.push((0..own[0].len()).map(mean).collect());
        rest = after;
    }
    merged
}

#[test]
fn merged_tokens_equal_the_recorded_ones() -> Any {
    let mut compared = 0;
    for (family, input, output) in [("videorefer", "{}.x", "{}.y"), ("region_connector", "x{}", "y{}")] {
        for dir in golden::dirs(family) {
            let golden = Golden::open(&dir, "token_merge");
            for index in 0.. {
                let name = |pattern: &str| pattern.replace("{}", &index.to_string());
                if !golden.contains(&name(input)) {
                    break;
                }
                let expected = golden.tensor(&name(output));
                let merged = merge(&golden.tensor(&name(input)), merge_limit(&dir, index, &expected));
                let merged = Tensor::new(merged, device())?.unsqueeze(0)?;
                assert_close(&merged, &expected, 1e-5);
                compared += 1;
            }
        }
    }
    assert!(compared > 0);
    Ok(())
}

/// The limit of a recorded call: stated in the manifest, otherwise the number of tokens that came out.
fn merge_limit(dir: &std::path::Path, index: usize, expected: &Tensor) -> usize {
    let path = dir.join("manifest.json");
    let stated = path.exists().then(|| json(path)["token_merge"]["cases"][index]["u"].as_u64()).flatten();
    stated.map_or_else(|| expected.dim(1).unwrap(), |limit| limit as usize)
}

#[test]
fn one_disturbed_weight_does_not_agree() -> Any {
    for mut cases in [videorefer_cases(), strefer_cases()] {
        let case = cases.remove(0);
        let mut tensors = std::collections::BTreeMap::new();
        for name in case.weights.names() {
            tensors.insert(name.to_owned(), case.weights.load(name, DType::F32, device())?);
        }
        let weight = tensors.get_mut("feat_linear.2.weight").expect("the MLP's second layer");
        let mut values = weight.to_vec2::<f32>()?;
        values[0][0] += 1.0;
        *weight = Tensor::new(values, device())?;
        let (_, encoder) = case.encoder(Weights::from_tensors("disturbed", tensors))?;
        let tokens = encoder.forward(&case.golden.tensor("feats"), &case.regions())?.tokens;
        assert!(max_abs_diff(&tokens, &case.golden.tensor(case.names.out)) > 1e-3);
    }
    Ok(())
}
