//! ConvNeXt against recorded numbers, in the layouts of transformers, timm and RexSeek.

use std::path::{Path, PathBuf};

use candle_core::{DType, Tensor};
use serde_json::Value;
use strefer_nn::testing::{Golden, assert_close, device, max_abs_diff, randn, relative_diff};
use strefer_nn::{ParamStore, Weights};
use strefer_vision::convnext::{ConvNext, ConvNextConfig, box_features, box_positions, canonical};

fn cases() -> Vec<PathBuf> {
    crate::common::cases("convnext")
}

fn tower(cfg: &ConvNextConfig, weights: Weights) -> ConvNext {
    let store = ParamStore::new(1, device(), DType::F32).with_weights(weights);
    let tower = ConvNext::new(cfg, store.var_builder()).unwrap();
    store.check_complete().unwrap();
    tower
}

fn planes(xs: &Tensor) -> Tensor {
    xs.permute((0, 3, 1, 2)).unwrap().contiguous().unwrap()
}

fn config(dir: &Path) -> ConvNextConfig {
    Golden::open(dir, "weights").config("config.json")
}

#[test]
fn every_map_matches_the_reference() {
    for dir in cases() {
        let weights = canonical(Golden::open(&dir, "weights").weights()).unwrap();
        let tower = tower(&config(&dir), weights);
        let golden = Golden::open(&dir, "forward");
        let maps = tower.forward(&golden.tensor("in.pixel_values")).unwrap();
        for (at, map) in maps.iter().enumerate() {
            assert_close(&planes(map), &golden.tensor(&format!("out.hidden_states.{at}")), 1e-5);
        }
        assert!(!golden.contains(&format!("out.hidden_states.{}", maps.len())));
        assert_close(&planes(&maps[maps.len() - 1]), &golden.tensor("out.last_hidden_state"), 1e-5);
    }
}

#[test]
fn the_tower_of_rexseek_matches_the_reference() {
    for dir in strefer_core::golden::dirs("rexseek_modules") {
        let cfg: Value = Golden::open(&dir, "weights").config("config.json");
        let sizes =
            |name: &str| -> Vec<usize> { serde_json::from_value(cfg["convnext"][name].clone()).unwrap() };
        let cfg = ConvNextConfig { depths: sizes("depths"), hidden_sizes: sizes("dims"), patch_size: 4 };
        let tower = tower(&cfg, canonical(Golden::open(&dir, "weights").weights()).unwrap());
        let golden = Golden::open(&dir, "encode_images");
        let maps = tower.forward(&golden.tensor("pixel_values_aux")).unwrap();
        assert_close(&planes(&maps[0]), &golden.tensor("stem"), 1e-5);
        for (at, map) in maps[1..].iter().enumerate() {
            assert_close(&planes(map), &golden.tensor(&format!("stage_{at}")), 1e-5);
        }
    }
}

#[test]
fn names_of_timm_become_canonical_ones() {
    for dir in cases() {
        let Ok(text) = std::fs::read_to_string(dir.join("timm_to_hf_keys.json")) else { continue };
        let table: std::collections::BTreeMap<String, String> = serde_json::from_str(&text).unwrap();
        let published = Golden::open(&dir, "weights").weights();
        let load = |weights: &Weights, name: &str| weights.load(name, DType::F32, device()).unwrap();
        let timm = table.iter().map(|(old, new)| (old.clone(), load(&published, new))).collect();
        let renamed = canonical(Weights::from_tensors("timm", timm)).unwrap();
        let wanted = canonical(published).unwrap();
        assert_eq!(renamed.names().collect::<Vec<_>>(), wanted.names().collect::<Vec<_>>());
        for name in wanted.names() {
            assert_eq!(max_abs_diff(&load(&renamed, name), &load(&wanted, name)), 0.0, "{name}");
        }
    }
}

#[test]
fn one_disturbed_weight_breaks_the_agreement() {
    for dir in cases() {
        let all = canonical(Golden::open(&dir, "weights").weights()).unwrap();
        for name in
            ["encoder.stages.1.layers.0.dwconv.weight", "encoder.stages.0.layers.0.layer_scale_parameter"]
        {
            let plain = all.load(name, DType::F32, device()).unwrap();
            let noise = (randn(1, plain.dims()) * 0.1).unwrap();
            let rest = all.clone().renamed(|other| (other != name).then(|| other.to_owned())).unwrap();
            let changed = [(name.to_owned(), (plain + noise).unwrap())].into_iter().collect();
            let tower =
                tower(&config(&dir), rest.joined(Weights::from_tensors("disturbed", changed)).unwrap());
            let golden = Golden::open(&dir, "forward");
            let maps = tower.forward(&golden.tensor("in.pixel_values")).unwrap();
            let last = planes(&maps[maps.len() - 1]);
            assert!(relative_diff(&last, &golden.tensor("out.last_hidden_state")) > 1e-3, "{name}");
        }
    }
}

/// Boxes as rows of four numbers.
fn boxes(xs: &Tensor) -> Vec<[f32; 4]> {
    xs.to_vec2::<f32>().unwrap().into_iter().map(|row| row.try_into().unwrap()).collect()
}

#[test]
fn features_and_positions_of_boxes_match_the_reference() {
    for dir in strefer_core::golden::dirs("rexseek_modules") {
        let cfg: Value = Golden::open(&dir, "weights").config("config.json");
        let canvas = cfg["canvas"].as_u64().unwrap() as usize;
        let images = Golden::open(&dir, "encode_images");
        let maps: Vec<Tensor> = (0..4)
            .map(|at| {
                images.tensor(&format!("stage_{at}")).permute((0, 2, 3, 1)).unwrap().contiguous().unwrap()
            })
            .collect();
        let golden = Golden::open(&dir, "encode_objects");
        let kinds: Vec<&str> =
            ["f32", "f16"].into_iter().filter(|kind| golden.contains(&format!("{kind}.boxes"))).collect();
        assert!(!kinds.is_empty());
        for kind in kinds {
            let wanted = |name: &str| golden.tensor(&format!("{kind}.{name}"));
            let boxes = boxes(&wanted("boxes"));
            let means = box_features(&maps, &boxes, 4).unwrap();
            assert_close(&means, &wanted("roi_mean"), 1e-5);
            let width = wanted("pos_embed").dim(1).unwrap();
            let places = box_positions(&boxes, canvas, width, device()).unwrap();
            assert_close(&places, &wanted("pos_embed"), 1e-5);
            assert_close(&(means + places).unwrap(), &wanted("object_features"), 1e-5);
        }
    }
    assert!(box_features(&[], &[[0.0; 4]], 4).is_err());
}
