//! Models put together from their parts.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::{Value, json};
use strefer_model::family::{Sources, assemble};
use strefer_model::{Checkpoint, Error, Family, ProcessorOptions, prefix};
use strefer_nn::testing::device;
use strefer_nn::{ParamStore, Weights, save_safetensors};
use strefer_vision::siglip::{FeatureLayer, SiglipConfig, SiglipVision};

use super::place::{Place, word_tokenizer};
use super::{Any, strefer, videorefer};

fn write(dir: &Path, config: &Value, tensors: BTreeMap<String, Tensor>) {
    std::fs::create_dir_all(dir).unwrap();
    std::fs::write(dir.join("config.json"), config.to_string()).unwrap();
    save_safetensors(dir, "model", &Weights::from_tensors("part", tensors), usize::MAX, &BTreeMap::new())
        .unwrap();
}

/// A recorded model taken apart: language model and tower in folders as transformers has them, connectors in a file.
fn take_apart(place: &Place, language: &Value, tower: &Value) -> Sources {
    let layout = place.open().unwrap().layout().unwrap().unwrap();
    let mut language = language.clone();
    language["model_type"] =
        json!(if language["model_type"] == "videorefer_qwen2" { "qwen2" } else { "phi3" });
    let below = |part: &str, keep: &str| -> BTreeMap<String, Tensor> {
        let ours =
            place.tensors.iter().filter_map(|(name, tensor)| Some((layout.ours(name)?, tensor.clone())));
        ours.filter_map(|(name, tensor)| {
            Some((format!("{keep}{}", name.strip_prefix(part)?.strip_prefix('.')?), tensor))
        })
        .collect()
    };
    let plain = |name: &String| !name.contains("additional_");
    let language_tensors = below(prefix::LANGUAGE, "").into_iter().filter(|(name, _)| plain(name)).collect();
    write(&place.path("language"), &language, language_tensors);
    std::fs::write(place.path("language/tokenizer.json"), place.tokenizer.to_string()).unwrap();
    write(&place.path("vision"), tower, below(prefix::VISION, ""));
    let mut connectors = below(prefix::CONNECTOR, "model.mm_projector.");
    connectors.extend(below(prefix::REGION, "model.region_encoder."));
    write(&place.path("connectors"), &json!({}), connectors);
    Sources {
        language: place.path("language"),
        vision: place.path("vision"),
        parts: vec![place.path("connectors/model.safetensors")],
        seed: 3,
        dtype: None,
    }
}

#[test]
fn videorefer_from_its_own_parts_gives_the_recorded_numbers() -> Any {
    let recording = videorefer::recordings().remove(0);
    let place = &recording.place;
    let tower = place.config["vision_config"].clone();
    let sources = take_apart(place, &place.config, &tower);
    let out = place.path("whole");
    assert!(assemble(Family::VideoRefer, &sources, &out)?.is_empty());
    let whole = Checkpoint::open(&out)?;
    assert_eq!(whole.family, Some(Family::VideoRefer));
    let (ours, theirs) = (Weights::open(&out)?, Weights::open(place.path("model.safetensors"))?);
    for name in theirs.names() {
        assert_eq!(ours.bytes(name)?, theirs.bytes(name)?, "{name}");
    }
    assert_eq!(whole.config.frames.count, 16);
    Ok(())
}

#[test]
fn connectors_that_no_file_holds_are_drawn_from_the_seed() -> Any {
    let recording = videorefer::recordings().remove(0);
    let place = &recording.place;
    let tower = place.config["vision_config"].clone();
    let sources = Sources { parts: Vec::new(), ..take_apart(place, &place.config, &tower) };
    let mut folders = Vec::new();
    for (name, seed, dtype) in [("a", 1, None), ("b", 1, None), ("c", 2, None), ("d", 1, Some(DType::BF16))] {
        let sources = Sources { seed, dtype, ..sources.clone() };
        let fresh = assemble(Family::VideoRefer, &sources, &place.path(name))?;
        let parts = [prefix::CONNECTOR, prefix::REGION];
        assert!(fresh.iter().all(|name| parts.iter().any(|part| name.starts_with(part))), "{fresh:?}");
        assert!(parts.iter().all(|part| fresh.iter().any(|name| name.starts_with(part))));
        Checkpoint::open(place.path(name))?.load(device(), DType::F32, ProcessorOptions::default())?;
        folders.push(Weights::open(place.path(name))?);
    }
    let name = "model.mm_projector.readout.0.weight";
    assert_eq!(folders[0].bytes(name)?, folders[1].bytes(name)?);
    assert_ne!(folders[0].bytes(name)?, folders[2].bytes(name)?);
    assert!(folders[3].names().all(|name| folders[3].dtype(name) == Some(DType::BF16)));
    Ok(())
}

#[test]
fn strefer_gets_its_added_tokens() -> Any {
    let recording = strefer::recordings().remove(0);
    let place = &recording.place;
    let tower = place.config["vision_config"].clone();
    let sources = Sources { parts: Vec::new(), ..take_apart(place, &place.config["text_config"], &tower) };
    let plain = word_tokenizer(40, &[("<|end|>", 38), ("<|endoftext|>", 39)]);
    std::fs::write(place.path("language/tokenizer.json"), plain.to_string())?;
    // The memory's eight heads want a tower of another width than the recorded one.
    let tower = SiglipConfig { hidden_size: 16, ..SiglipConfig::tiny() };
    let store = ParamStore::new(1, device(), DType::F32);
    SiglipVision::for_feature(&tower, FeatureLayer::LastNormed, store.var_builder().pp("vision_model"))?;
    write(&place.path("vision"), &serde_json::to_value(&tower)?, store.tensors());
    let out = place.path("whole");
    let fresh = assemble(Family::Strefer, &sources, &out)?;
    assert!(fresh.iter().any(|name| name.contains("additional_embedding")), "{fresh:?}");
    let loaded = Checkpoint::open(&out)?.load(device(), DType::F32, ProcessorOptions::default())?;
    assert_eq!(loaded.model.language_model().config().extra_rows.as_ref().map(|rows| rows.count), Some(36));
    Ok(())
}

#[test]
fn what_does_not_fit_is_refused_and_nothing_is_left() -> Any {
    let recording = videorefer::recordings().remove(0);
    let place = &recording.place;
    let tower = place.config["vision_config"].clone();
    let sources = take_apart(place, &place.config, &tower);
    let out = place.path("whole");
    let refused = |family, sources: &Sources| assemble(family, sources, &out).unwrap_err().to_string();
    assert!(refused(Family::LlavaOneVision, &sources).contains("published whole"));
    let error = refused(Family::Strefer, &sources);
    assert!(error.contains("phi3"), "a Qwen2 is no Phi-3: {error}");
    let swapped = Sources { vision: sources.language.clone(), ..sources.clone() };
    refused(Family::VideoRefer, &swapped);
    let mut wider = tower.clone();
    wider["hidden_size"] = json!(2 * tower["hidden_size"].as_u64().unwrap());
    std::fs::write(place.path("vision/config.json"), wider.to_string())?;
    let error = assemble(Family::VideoRefer, &sources, &out).unwrap_err();
    assert!(matches!(&error, Error::Weights(_)), "{error}");
    assert!(!out.exists());
    Ok(())
}
