//! Other ways in which the same model lies on a disk: names, shards, torch files, parts in files and folders of their own.

use std::collections::BTreeMap;
use std::fs;

use candle_core::{DType, Tensor};
use serde_json::{Value, json};
use strefer_model::{Family, ProcessorOptions, family, prefix};
use strefer_nn::testing::{Golden, assert_close, device};
use strefer_nn::{Weights, save_safetensors};

use super::place::{own_golden, tensors};
use super::{Any, llava_onevision, strefer, videorefer};

/// The same names in another layout of LLaVA-OneVision.
fn in_layout(at: usize) -> impl Fn(&str) -> String {
    let layouts = Family::LlavaOneVision.layouts();
    // Recorded as transformers stores them.
    move |name| layouts[at].theirs(&layouts[1].ours(name).unwrap()).unwrap()
}

/// The `config.json` of the original, which has the language model's settings at its top.
fn original_config(ported: &Value, tower: &str) -> Value {
    let mut config = ported["text_config"].clone();
    let ours = json!({"architectures": ["LlavaQwenForCausalLM"], "model_type": "llava", "mm_vision_tower": tower,
        "mm_projector_type": "mlp2x_gelu", "mm_vision_select_layer": -2, "mm_vision_select_feature": "patch",
        "mm_hidden_size": ported["vision_config"]["hidden_size"], "tokenizer_model_max_length": 32768});
    config.as_object_mut().unwrap().extend(ours.as_object().unwrap().clone());
    let turned = |pair: &Value| json!([pair[1], pair[0]]);
    config["image_grid_pinpoints"] =
        ported["image_grid_pinpoints"].as_array().unwrap().iter().map(turned).collect();
    config["image_aspect_ratio"] = ported["vision_aspect_ratio"].clone();
    config
}

#[test]
fn the_three_layouts_of_llava_onevision_give_the_same_numbers() {
    for at in 0..3 {
        for mut recording in llava_onevision::recordings() {
            let name = in_layout(at);
            recording.place.rename(|old| Some(name(old)));
            if at == 0 {
                // The original names a tower of one layer more, and its tokenizer has no placeholder.
                let mut tower = recording.place.config["vision_config"].clone();
                tower["num_hidden_layers"] = 3.into();
                fs::create_dir(recording.place.path("tiny-siglip")).unwrap();
                fs::write(recording.place.path("tiny-siglip/config.json"), tower.to_string()).unwrap();
                recording.place.config = original_config(&recording.place.config, "somebody/tiny-siglip");
            }
            recording.place.write();
            let layout = recording.place.open().unwrap().layout().unwrap().unwrap();
            assert_eq!(layout, &Family::LlavaOneVision.layouts()[at]);
            let compared = recording.compare(&name).and_then(|()| recording.compare_images(&name));
            compared.unwrap_or_else(|what| panic!("{}{}: {what}", layout.name, recording.suffix));
        }
    }
}

#[test]
fn every_recorded_name_goes_to_ours_and_back() {
    let places = [
        (Family::Strefer, strefer::recordings().remove(0).place, 0),
        (Family::VideoRefer, videorefer::recordings().remove(0).place, 0),
        (Family::LlavaOneVision, llava_onevision::recordings().remove(0).place, 1),
    ];
    for (family, place, layout) in places {
        let layout = &family.layouts()[layout];
        for name in place.tensors.keys() {
            let ours = layout.ours(name).unwrap_or_else(|| panic!("{family} does not know {name}"));
            assert_eq!(layout.theirs(&ours).as_ref(), Some(name));
        }
        let checkpoint = place.open().unwrap();
        assert_eq!(checkpoint.all_weights().unwrap().names().count(), place.tensors.len());
        for name in checkpoint.weights().unwrap().names() {
            assert!(place.tensors.contains_key(&layout.theirs(name).unwrap()));
        }
    }
}

#[test]
fn shards_give_the_same_numbers() {
    let recording = videorefer::recordings().remove(0);
    fs::remove_file(recording.place.path("model.safetensors")).unwrap();
    recording.place.write_sharded(40_000);
    assert!(recording.place.path("model.safetensors.index.json").is_file());
    recording.compare().unwrap();
}

#[test]
fn a_torch_checkpoint_of_training_gives_the_same_numbers() -> Any {
    let dir = own_golden("strefer_e2e");
    let recording = strefer::Recording::open(dir.clone());
    fs::remove_file(recording.place.path("model.safetensors"))?;
    fs::copy(dir.join("checkpoint_0.pt"), recording.place.path("checkpoint_0.pt"))?;
    Ok(recording.compare("batch")?)
}

#[test]
fn a_tower_and_parts_beside_the_model_give_the_same_numbers() -> Any {
    let dir = own_golden("videorefer_e2e");
    let mut recording = videorefer::Recording::open(dir.clone());
    const TOWER: &str = "model.vision_tower.vision_tower.";
    let of_tower = |name: &String| name.strip_prefix(TOWER).map(str::to_owned);
    let mut tower: BTreeMap<_, _> = recording
        .place
        .tensors
        .iter()
        .filter_map(|(name, tensor)| Some((of_tower(name)?, tensor.clone())))
        .collect();
    tower
        .insert("text_model.final_layer_norm.bias".into(), tower["vision_model.post_layernorm.bias"].clone());
    let tower = Weights::from_tensors("tower", tower);
    save_safetensors(recording.place.path("tiny-siglip"), "model", &tower, usize::MAX, &BTreeMap::new())?;
    let config = json!({"model_type": "siglip", "vision_config": recording.place.config["vision_config"]});
    fs::write(recording.place.path("tiny-siglip/config.json"), config.to_string())?;
    for part in ["mm_projector.bin", "region_encoder.bin"] {
        fs::copy(dir.join(part), recording.place.path(part))?;
    }
    recording.place.config["mm_vision_tower"] = "somebody/tiny-siglip".into();
    recording.place.rename(|name| {
        let elsewhere = [TOWER, "model.mm_projector.", "model.region_encoder."];
        let stays = !elsewhere.iter().any(|part| name.starts_with(part));
        stays.then(|| name.to_owned())
    });
    recording.place.write();
    Ok(recording.compare()?)
}

#[test]
fn a_checkpoint_without_the_frozen_tower_takes_the_release_beside_it() -> Any {
    let mut recording = strefer::recordings().remove(0);
    let tower = recording.place.path("siglip-so400m-patch14-384");
    let of_tower = |(name, tensor): (&String, &Tensor)| {
        Some((format!("vision_model.{}", name.strip_prefix("vision_encoder.")?), tensor.clone()))
    };
    let tensors: BTreeMap<_, _> = recording.place.tensors.iter().filter_map(of_tower).collect();
    let tensors = Weights::from_tensors("tower", tensors);
    save_safetensors(&tower, "model", &tensors, usize::MAX, &BTreeMap::new())?;
    fs::write(tower.join("config.json"), recording.place.config["vision_config"].to_string())?;
    recording.place.config.as_object_mut().unwrap().remove("vision_config");
    recording.place.rename(|name| (!name.starts_with("vision_encoder.")).then(|| name.to_owned()));
    recording.place.write();
    recording.compare("batch")?;
    fs::remove_dir_all(&tower)?;
    assert!(recording.compare("batch").is_err());
    Ok(())
}

#[test]
fn every_type_on_disk_loads_into_every_type() -> Any {
    let mut recording = videorefer::recordings().remove(0);
    let (batch, recorded) = recording.batch();
    let wide = recording.place.tensors.clone();
    for stored in [DType::F16, DType::BF16, DType::F32, DType::F64] {
        for (name, tensor) in &wide {
            recording.place.tensors.insert(name.clone(), tensor.to_dtype(stored)?);
        }
        recording.place.write();
        for dtype in [DType::F32, DType::BF16] {
            let checkpoint = recording.place.open()?;
            let model = checkpoint.load(device(), dtype, ProcessorOptions::default())?.model;
            let mut batch = batch.clone();
            for inputs in &mut batch {
                inputs.frames = inputs.frames.to_dtype(dtype)?;
            }
            let videos = model.encode(&batch)?.videos;
            assert_eq!(videos.dtype(), dtype);
            let exact = stored.size_in_bytes() >= 4 && dtype == DType::F32;
            let tolerance = if exact { 1e-5 } else { 8e-2 };
            assert_close(&videos.to_dtype(DType::F32)?, &recorded.videos, tolerance);
        }
    }
    Ok(())
}

#[test]
fn parts_alone_have_our_names() -> Any {
    let dir = own_golden("videorefer_e2e");
    let whole = tensors(&Golden::open(&dir, "e2e_weights"));
    for (file, theirs, ours) in [
        ("mm_projector.bin", "model.mm_projector.", prefix::CONNECTOR),
        ("region_encoder.bin", "model.region_encoder.", prefix::REGION),
    ] {
        let part = family::open_part(dir.join(file))?;
        assert!(part.names().count() > 0);
        for name in part.names() {
            let theirs = format!("{theirs}{}", &name[ours.len() + 1..]);
            let found = part.load(name, DType::F32, device())?;
            assert_close(&found, &whole[&theirs], 0.0);
        }
    }
    Ok(())
}

#[test]
fn published_sizes_are_read_from_short_configurations() -> Any {
    // A folder of BLIP-3-Strefer tells no more than this; its weights decide the number of token rows.
    let mut recording = strefer::recordings().remove(0);
    recording.place.config = json!({"model_type": "xgenmm", "text_config": {"initial_tokenizer_len": 20}});
    recording.place.tokenizer = super::place::word_tokenizer(19, &[]);
    recording.place.write();
    let checkpoint = recording.place.open()?;
    let config = &checkpoint.config;
    assert_eq!((config.frames.count, config.vision.siglip.hidden_size), (32, 1152));
    assert_eq!((config.llm.hidden_size, config.llm.num_hidden_layers), (3072, 32));
    assert_eq!(config.connector.token_count(32, 27), 128);
    // Upstream's tokens, added as it adds them: padding, image, two more, 32 moments, region.
    assert_eq!((config.tokens.pad, config.tokens.video, config.tokens.region), (19, 20, Some(55)));
    assert_eq!((config.tokens.first_time, config.llm.logit_count()), (Some(23), 56));
    assert_eq!(checkpoint.tokenizer.token_id("<31>"), Some(54));
    Ok(())
}
