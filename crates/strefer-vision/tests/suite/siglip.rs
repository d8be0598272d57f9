//! The towers of SigLIP against recorded numbers, and their gradients.

use std::path::PathBuf;

use candle_core::{DType, Tensor};
use strefer_nn::testing::{Golden, assert_all_grads, assert_close, device, randn, relative_diff};
use strefer_nn::{ParamStore, Weights};
use strefer_vision::siglip::{
    FeatureLayer, Siglip, SiglipConfig, SiglipPair, SiglipPairConfig, SiglipText, SiglipTextConfig,
    SiglipVision,
};

const SELECTED: FeatureLayer = FeatureLayer::Hidden(-2);

fn cases() -> Vec<PathBuf> {
    crate::common::cases("siglip_vision")
}

fn config(dir: &std::path::Path) -> SiglipConfig {
    Golden::open(dir, "weights").config("config.json")
}

fn store(dir: &std::path::Path) -> ParamStore {
    let weights = Golden::open(dir, "weights").weights();
    ParamStore::new(1, device(), DType::F32).with_weights(weights).trainable(|_| true)
}

fn tower(dir: &std::path::Path, store: &ParamStore) -> SiglipVision {
    SiglipVision::new(&config(dir), store.var_builder().pp("vision_model")).unwrap()
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
        let selected = tower.forward(&pixels, SELECTED).unwrap();
        assert_close(&selected, &golden.tensor("out.select_layer_-2"), 1e-5);
        let last = tower.forward(&pixels, FeatureLayer::LastNormed).unwrap();
        assert_close(&last, &golden.tensor("out.last_hidden_state"), 1e-5);
        assert_close(&tower.pool(&last).unwrap(), &golden.tensor("out.pooler_output"), 1e-5);
    }
}

#[test]
fn positions_of_other_sizes_match_the_reference() {
    for dir in cases() {
        let store = store(&dir);
        let tower = tower(&dir, &store);
        let golden = Golden::open(&dir, "interpolate_pos");
        let pixels = golden.tensor("in.pixel_values");
        let embeddings = tower.forward(&pixels, FeatureLayer::Hidden(0)).unwrap();
        assert_close(&embeddings, &golden.tensor("out.embeddings"), 1e-5);
        let selected = tower.forward(&pixels, SELECTED).unwrap();
        assert_close(&selected, &golden.tensor("out.select_layer_-2"), 1e-5);
        let last = tower.forward(&pixels, FeatureLayer::LastNormed).unwrap();
        assert_close(&last, &golden.tensor("out.last_hidden_state"), 1e-5);
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
        let store = store(&dir);
        let tower = tower(&dir, &store);
        let golden = Golden::open(&dir, "forward");
        let name = "vision_model.encoder.layers.0.self_attn.q_proj.weight";
        let var = &store.vars()[name];
        let shift = (randn(1, var.dims()) * 0.05).unwrap();
        var.set(&(var.as_detached_tensor() + shift).unwrap()).unwrap();
        let selected = tower.forward(&golden.tensor("in.pixel_values"), SELECTED).unwrap();
        assert!(relative_diff(&selected, &golden.tensor("out.select_layer_-2")) > 1e-3);
    }
}

#[test]
fn a_tower_for_one_feature_needs_no_more_weights() {
    for dir in cases() {
        let cfg = config(&dir);
        let last = format!("vision_model.encoder.layers.{}.", cfg.num_hidden_layers - 1);
        let unused = |name: &str| {
            name.starts_with(&last) || name.contains("post_layernorm") || name.contains(".head.")
        };
        let weights = Golden::open(&dir, "weights").weights();
        let weights: Weights = weights.renamed(|name| (!unused(name)).then(|| name.to_string())).unwrap();
        let store = ParamStore::new(1, device(), DType::F32).with_weights(weights);
        let vb = store.var_builder().pp("vision_model");
        let tower = SiglipVision::for_feature(&cfg, SELECTED, vb).unwrap();
        store.check_complete().unwrap();
        let golden = Golden::open(&dir, "forward");
        let pixels = golden.tensor("in.pixel_values");
        let selected = tower.forward(&pixels, SELECTED).unwrap();
        assert_close(&selected, &golden.tensor("out.select_layer_-2"), 1e-5);
        let error = tower.forward(&pixels, FeatureLayer::LastNormed).unwrap_err().to_string();
        assert!(error.contains("built with"), "{error}");
    }
}

#[test]
fn every_weight_of_the_whole_tower_gets_a_gradient() {
    let store = ParamStore::new(1, device(), DType::F32).trainable(|_| true);
    let cfg = SiglipConfig { num_hidden_layers: 2, image_size: 24, ..SiglipConfig::tiny() };
    let tower = SiglipVision::new(&cfg, store.var_builder()).unwrap();
    let last = tower.forward(&randn(1, &[2, 3, 24, 24]), FeatureLayer::LastNormed).unwrap();
    let pooled = tower.pool(&last).unwrap();
    let loss = (pooled * randn(2, &[2, cfg.hidden_size])).unwrap().sum_all().unwrap();
    assert_all_grads(&store.vars(), &loss.backward().unwrap());
}

#[test]
fn a_batch_equals_its_images() {
    let store = ParamStore::new(1, device(), DType::F32);
    let tower = SiglipVision::new(&SiglipConfig::tiny(), store.var_builder()).unwrap();
    let pixels = randn(1, &[3, 3, 64, 64]);
    let together = tower.forward(&pixels, FeatureLayer::LastNormed).unwrap();
    let alone: Vec<Tensor> = (0..3)
        .map(|at| tower.forward(&pixels.narrow(0, at, 1).unwrap(), FeatureLayer::LastNormed).unwrap())
        .collect();
    assert_close(&together, &Tensor::cat(&alone, 0).unwrap(), 1e-5);
}

fn pair(dir: &std::path::Path) -> (SiglipPair, ParamStore) {
    let cfg = SiglipPairConfig::open(&dir.join("config.json")).unwrap();
    let weights = Golden::open(dir, "model").weights();
    let store = ParamStore::new(1, device(), DType::F32).with_weights(weights).trainable(|_| true);
    let pair = SiglipPair::new(&cfg, store.var_builder()).unwrap();
    store.check_complete().unwrap();
    (pair, store)
}

#[test]
fn texts_and_how_well_they_fit_match_the_reference() {
    for dir in crate::common::cases("siglip_pair") {
        let (pair, store) = pair(&dir);
        let golden = Golden::open(&dir, "forward");
        let (ids, pixels) = (golden.tensor("in.input_ids"), golden.tensor("in.pixel_values"));
        let cfg = SiglipPairConfig::open(&dir.join("config.json")).unwrap();
        let tower = SiglipText::new(&cfg.text_config, store.var_builder().pp("text_model")).unwrap();
        let states = tower.forward(&ids).unwrap();
        assert_close(&states, &golden.tensor("out.text_states"), 1e-5);
        assert_close(&tower.pool(&states).unwrap(), &golden.tensor("out.text_pooled"), 1e-5);
        let (texts, images) = (pair.texts(&ids).unwrap(), pair.images(&pixels).unwrap());
        assert_close(&texts, &golden.tensor("out.text_embeds"), 1e-5);
        assert_close(&images, &golden.tensor("out.image_embeds"), 1e-5);
        let logits = golden.tensor("out.logits_per_text");
        assert_close(&pair.logits(&texts, &images).unwrap(), &logits, 1e-5);

        let name = "text_model.encoder.layers.0.mlp.fc1.weight";
        let var = &store.vars()[name];
        let shift = (randn(1, var.dims()) * 0.05).unwrap();
        var.set(&(var.as_detached_tensor() + shift).unwrap()).unwrap();
        assert!(relative_diff(&pair.texts(&ids).unwrap(), &golden.tensor("out.text_embeds")) > 1e-3);
    }
}

#[test]
fn a_folder_takes_texts_as_they_are_written() {
    for dir in crate::common::cases("siglip_pair") {
        let siglip = Siglip::open(&dir, device(), DType::F32).unwrap();
        let texts: Vec<String> =
            serde_json::from_str(&std::fs::read_to_string(dir.join("texts.json")).unwrap()).unwrap();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        let golden = Golden::open(&dir, "forward");
        assert_close(&siglip.texts(&texts).unwrap(), &golden.tensor("out.text_embeds"), 1e-5);
        let pixels = golden.tensor("in.pixel_values").flatten_all().unwrap().to_vec1().unwrap();
        assert_close(&siglip.images(pixels).unwrap(), &golden.tensor("out.image_embeds"), 1e-5);
        assert!(siglip.texts(&["?!"]).unwrap_err().to_string().contains("no words"));
        assert!(siglip.images(vec![0.0; 7]).unwrap_err().to_string().contains("7 values"));
    }
}

#[test]
fn every_weight_of_the_text_tower_gets_a_gradient() {
    let store = ParamStore::new(1, device(), DType::F32).trainable(|_| true);
    let cfg = SiglipTextConfig {
        vocab_size: 7,
        hidden_size: 12,
        intermediate_size: 20,
        num_hidden_layers: 2,
        num_attention_heads: 3,
        max_position_embeddings: 4,
        ..SiglipTextConfig::default()
    };
    let tower = SiglipText::new(&cfg, store.var_builder()).unwrap();
    let ids = Tensor::new(&[[2u32, 3, 4, 1], [5, 6, 0, 1]], device()).unwrap();
    let pooled = tower.pool(&tower.forward(&ids).unwrap()).unwrap();
    let loss = (&pooled * randn(3, pooled.dims())).unwrap().sum_all().unwrap();
    assert_all_grads(&store.vars(), &loss.backward().unwrap());
    assert!(tower.forward(&Tensor::zeros((1, 5), DType::U32, device()).unwrap()).is_err());
}
