//! The CLIP tower against recorded numbers, and its gradients.

use std::path::{Path, PathBuf};

use candle_core::DType;
use strefer_nn::ParamStore;
use strefer_nn::testing::{Golden, assert_close, device, randn, relative_diff};
use strefer_vision::clip::{ClipVision, ClipVisionConfig};
use strefer_vision::siglip::FeatureLayer;

const SELECTED: FeatureLayer = FeatureLayer::Hidden(-2);

fn cases() -> Vec<PathBuf> {
    crate::common::cases("clip_vision")
}

fn config(dir: &Path) -> ClipVisionConfig {
    Golden::open(dir, "weights").config("config.json")
}

fn store(dir: &Path) -> ParamStore {
    let weights = Golden::open(dir, "weights").weights();
    ParamStore::new(1, device(), DType::F32).with_weights(weights).trainable(|_| true)
}

fn tower(dir: &Path, store: &ParamStore) -> ClipVision {
    ClipVision::new(&config(dir), store.var_builder().pp("vision_model")).unwrap()
}

#[test]
fn every_state_matches_the_reference() {
    for dir in cases() {
        let store = store(&dir);
        let tower = tower(&dir, &store);
        store.check_complete().unwrap();
        let golden = Golden::open(&dir, "forward");
        let pixels = golden.tensor("in.pixel_values");
        let states = tower.hidden_states(&pixels).unwrap();
        for (at, state) in states.iter().enumerate() {
            assert_close(state, &golden.tensor(&format!("out.hidden_states.{at}")), 1e-5);
        }
        assert!(!golden.contains(&format!("out.hidden_states.{}", states.len())));
        let patches = tower.patches(&pixels, SELECTED).unwrap();
        assert_close(&patches, &golden.tensor("out.select_layer_-2_patch"), 1e-5);
        let last = tower.forward(&pixels, FeatureLayer::Hidden(-1)).unwrap();
        assert_close(&last, &golden.tensor("out.last_hidden_state"), 1e-5);
        assert_close(&tower.pool(&last).unwrap(), &golden.tensor("out.pooler_output"), 1e-5);
    }
}

#[test]
fn all_gradients_match_the_reference() {
    for dir in cases() {
        let store = store(&dir);
        let tower = tower(&dir, &store);
        crate::common::check_gradients(&dir, &store, |pixels| tower.forward(pixels, SELECTED));
    }
}

#[test]
fn one_disturbed_weight_breaks_the_agreement() {
    for dir in cases() {
        for name in ["pre_layrnorm.bias", "embeddings.class_embedding", "encoder.layers.0.mlp.fc1.weight"] {
            let store = store(&dir);
            let tower = tower(&dir, &store);
            let golden = Golden::open(&dir, "forward");
            let var = &store.vars()[&format!("vision_model.{name}")];
            let shift = (randn(1, var.dims()) * 0.1).unwrap();
            var.set(&(var.as_detached_tensor() + shift).unwrap()).unwrap();
            let last = tower.forward(&golden.tensor("in.pixel_values"), FeatureLayer::Hidden(-1)).unwrap();
            assert!(relative_diff(&last, &golden.tensor("out.last_hidden_state")) > 1e-3, "{name}");
        }
    }
}

#[test]
fn images_of_another_size_and_states_that_were_not_built_are_refused() {
    let store = ParamStore::new(1, device(), DType::F32);
    let cfg = ClipVisionConfig {
        hidden_size: 16,
        intermediate_size: 32,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        image_size: 28,
        ..ClipVisionConfig::large_336()
    };
    let tower = ClipVision::for_feature(&cfg, SELECTED, store.var_builder()).unwrap();
    let pixels = randn(1, &[1, 3, 28, 28]);
    assert_eq!(tower.patches(&pixels, SELECTED).unwrap().dims(), [1, 4, 16]);
    let said = |feature| tower.forward(&pixels, feature).unwrap_err().to_string();
    assert!(said(FeatureLayer::Hidden(-1)).contains("built with"));
    assert!(said(FeatureLayer::LastNormed).contains("class token"));
    let wide = tower.forward(&randn(1, &[1, 3, 28, 42]), SELECTED).unwrap_err().to_string();
    assert!(wide.contains("2x3 patches"), "{wide}");
}

#[test]
fn narrow_weights_see_on_a_processor() {
    let dir = cases().remove(0);
    let side = config(&dir).image_size;
    let pixels = randn(1, &[1, 3, side, side]);
    let seen = |dtype: DType| {
        let weights = Golden::open(&dir, "weights").weights();
        let store = ParamStore::new(1, device(), dtype).with_weights(weights);
        let tower = tower(&dir, &store);
        tower.hidden_states(&pixels).unwrap().pop().unwrap().to_dtype(DType::F32).unwrap()
    };
    let wanted = seen(DType::F32);
    for (dtype, most) in [(DType::BF16, 5e-2), (DType::F16, 1e-2)] {
        let diff = relative_diff(&seen(dtype), &wanted);
        assert!(diff < most, "{dtype:?}: {diff:e}");
    }
}
