//! Damaged and mixed-up folders: each has an error of its own, before anything large is read.

use std::fs;
use std::path::Path;

use candle_core::Tensor;
use serde_json::{Value, json};
use strefer_model::{Error, Family};
use strefer_nn::Error as WeightsError;

use super::place::{Place, word_tokenizer};
use super::{llava_onevision, strefer, videorefer};

fn videorefer() -> Place {
    videorefer::recordings().remove(0).place
}

/// The report of all tensors that do not fit.
fn mismatch(place: &Place) -> strefer_nn::Mismatch {
    match place.load().unwrap_err() {
        Error::Weights(WeightsError::Mismatch(mismatch)) => *mismatch,
        other => panic!("{other}"),
    }
}

/// The reason for which a file of weights is refused.
fn malformed(place: &Place, file: &str) -> String {
    match place.open().unwrap_err() {
        Error::Weights(WeightsError::Malformed { path, reason }) => {
            assert!(path.ends_with(file), "{}", path.display());
            reason
        }
        other => panic!("{other}"),
    }
}

#[test]
fn weights_of_another_family_are_told_by_their_names() {
    let mut place = videorefer();
    place.config = llava_onevision::recordings().remove(0).place.config.clone();
    place.write();
    let error = place.open().unwrap_err();
    let (expected, found) = (Family::LlavaOneVision, Family::VideoRefer);
    assert!(
        matches!(&error, Error::OtherFamily { expected: e, found: f, .. } if (*e, *f) == (expected, found)),
        "{error}"
    );
    assert!(error.to_string().contains("llava_onevision") && error.to_string().contains("videorefer"));
}

#[test]
fn our_own_configuration_does_not_take_a_familys_names() {
    let mut place = videorefer();
    let checkpoint = place.open().unwrap();
    checkpoint.tokenizer.save(place.path("tokenizer.json")).unwrap();
    place.config = serde_json::to_value(&checkpoint.config).unwrap();
    fs::write(place.path("config.json"), place.config.to_string()).unwrap();
    let mismatch = mismatch(&place);
    assert!(mismatch.missing.contains(&"connector.sampler.0.bias".to_owned()));
    assert!(mismatch.unexpected.contains(&"model.mm_projector.sampler.0.bias".to_owned()));
}

#[test]
fn one_report_names_all_tensors_that_do_not_fit() {
    let mut place = videorefer();
    place.config["intermediate_size"] = 20.into();
    place.tensors.remove("model.norm.weight").unwrap();
    place.tensors.remove("model.region_encoder.feat_linear.0.bias").unwrap();
    let stray = place.tensors["lm_head.weight"].clone();
    place.tensors.insert("model.speech_tower.weight".into(), stray);
    place.write();
    let report = mismatch(&place);
    assert_eq!(
        report.missing,
        ["language_model.model.norm.weight", "region_encoder.feat_linear.0.bias"].map(str::to_owned)
    );
    assert_eq!(report.unexpected, ["model.speech_tower.weight"].map(str::to_owned));
    // Three matrices of each MLP.
    assert_eq!(report.misshapen.len(), 6);
    assert!(
        report.misshapen.iter().all(|tensor| tensor.name.contains(".mlp.") && tensor.wanted.contains(&20))
    );
    let text = report.to_string();
    for tensor in &report.misshapen {
        assert!(text.contains(&tensor.name));
    }
    assert!(text.contains("model.speech_tower.weight") && text.contains("feat_linear.0.bias"));
}

#[test]
fn embedding_head_and_vocabulary_of_different_sizes_are_refused() {
    let mut place = videorefer();
    let rows = place.tensors["lm_head.weight"].dim(0).unwrap();
    let fewer = place.tensors["lm_head.weight"].narrow(0, 0, rows - 1).and_then(|head| head.contiguous());
    place.tensors.insert("lm_head.weight".into(), fewer.unwrap());
    place.write();
    let report = mismatch(&place);
    assert_eq!(report.misshapen.len(), 1);
    assert_eq!(report.misshapen[0].name, "language_model.lm_head.weight");

    let mut place = videorefer();
    let region = place.config["region_token_id"].as_u64().unwrap() as usize;
    place.tokenizer = word_tokenizer(rows + 7, &[("<region>", region)]);
    place.write();
    let error = place.open().unwrap_err();
    assert!(
        matches!(&error, Error::Vocabulary { id, rows: found, .. } if (*id as usize, *found) == (rows, rows)),
        "{error}"
    );
}

#[test]
fn a_tokenizer_without_the_region_token_is_refused() {
    let mut place = videorefer();
    let count = place.config["vocab_size"].as_u64().unwrap() as usize;
    place.tokenizer = word_tokenizer(count, &[]);
    place.write();
    let error = place.open().unwrap_err();
    assert!(matches!(error, Error::Token { .. }) && error.to_string().contains("<region>"), "{error}");

    // With some of its tokens, but not all.
    let mut place = strefer::recordings().remove(0).place;
    let image = place.config["special_tokens"]["<image>"].as_u64().unwrap() as usize;
    place.tokenizer = word_tokenizer(image + 1, &[("<image>", image)]);
    place.write();
    assert!(matches!(place.open().unwrap_err(), Error::Token { .. }));

    // At another id than the model's rows are for.
    let mut place = strefer::recordings().remove(0).place;
    let region = place.config["special_tokens"]["<region>"].as_u64().unwrap() as usize;
    let text = place.tokenizer.to_string();
    let moved = text.replace(&format!("\"<region>\":{region}"), &format!("\"<region>\":{}", region + 3));
    assert_ne!(text, moved);
    place.tokenizer = serde_json::from_str(&moved).unwrap();
    place.write();
    let error = place.open().unwrap_err();
    assert!(error.to_string().contains(&format!("the model knows it as {region}")), "{error}");
}

#[test]
fn a_truncated_shard_is_refused_by_name() {
    let place = videorefer();
    fs::remove_file(place.path("model.safetensors")).unwrap();
    place.write_sharded(40_000);
    let index = fs::read_to_string(place.path("model.safetensors.index.json")).unwrap();
    let index: Value = serde_json::from_str(&index).unwrap();
    let shard = index["weight_map"]["lm_head.weight"].as_str().unwrap().to_owned();
    let bytes = fs::read(place.path(&shard)).unwrap();
    for len in [bytes.len() - 10, 100, 5, 0] {
        fs::write(place.path(&shard), &bytes[..len]).unwrap();
        malformed(&place, &shard);
    }
}

#[test]
fn an_index_that_names_a_file_that_is_not_there_is_refused() {
    let place = videorefer();
    fs::remove_file(place.path("model.safetensors")).unwrap();
    place.write_sharded(40_000);
    let path = place.path("model.safetensors.index.json");
    let index = fs::read_to_string(&path).unwrap();
    for file in ["model-00009-of-00009.safetensors", "../model.safetensors", ""] {
        let mut index: Value = serde_json::from_str(&index).unwrap();
        index["weight_map"]["lm_head.weight"] = file.into();
        fs::write(&path, index.to_string()).unwrap();
        let error = place.open().unwrap_err();
        assert!(
            matches!(&error, Error::Weights(WeightsError::IndexedFile { file: named, .. }) if named == file),
            "{error}"
        );
    }
}

/// A file with this header and `bytes` bytes behind it.
fn safetensors(path: &Path, header: &str, len: u64, bytes: usize) {
    let mut file = len.to_le_bytes().to_vec();
    file.extend(header.as_bytes());
    file.resize(file.len() + bytes, 0);
    fs::write(path, file).unwrap();
}

#[test]
fn a_header_that_lies_is_refused_before_anything_is_allocated() {
    let place = videorefer();
    let path = place.path("model.safetensors");
    let header = |shape: Value, end: u64| {
        json!({"lm_head.weight": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).to_string()
    };
    let huge = 1u64 << 40;
    for (header, bytes) in [
        // More values than bytes, fewer values than bytes, more bytes than the file has, sizes whose product overflows.
        (header(json!([huge]), 16), 16),
        (header(json!([1]), 16), 16),
        (header(json!([huge]), 4 * huge), 16),
        (header(json!([huge, huge, huge]), 16), 16),
        (header(json!([4]), 16), 0),
        ("{\"lm_head.weight\": 3}".to_owned(), 16),
        ("not json".to_owned(), 16),
    ] {
        safetensors(&path, &header, header.len() as u64, bytes);
        malformed(&place, "model.safetensors");
    }
    let header = header(json!([4]), 16);
    for len in [0, header.len() as u64 + 100, 1 << 50, u64::MAX] {
        safetensors(&path, &header, len, 16);
        malformed(&place, "model.safetensors");
    }
}

#[test]
fn a_configuration_that_asks_for_more_than_the_weights_hold_allocates_nothing() {
    let mut place = videorefer();
    // The feed-forward layers alone would fill a terabyte.
    place.config["intermediate_size"] = (1u64 << 33).into();
    place.write();
    assert_eq!(mismatch(&place).misshapen.len(), 6);
    let mut place = videorefer();
    place.config["vision_config"]["hidden_size"] = (1u64 << 36).into();
    place.write();
    assert!(mismatch(&place).misshapen.len() > 30);
}

#[test]
fn settings_that_we_cannot_follow_are_said() {
    for (key, value) in [
        ("mm_projector_type", json!("q_former")),
        ("mm_region_encoder_type", json!("roi_align")),
        ("mm_vision_select_feature", json!("cls_patch")),
        ("num_frames", json!("many")),
        ("hidden_act", json!("gelu")),
        ("mm_vision_select_layer", json!(-9)),
    ] {
        let mut place = videorefer();
        place.config[key] = value;
        place.write();
        let refused = place.load().err().unwrap_or_else(|| panic!("{key} was taken")).to_string();
        assert!(refused.contains("config.json"), "{key}: {refused}");
    }
    let mut place = llava_onevision::recordings().remove(0).place;
    place.config["mm_newline_position"] = "grid".into();
    place.write();
    assert!(matches!(place.open().unwrap_err(), Error::Config { .. }));
    place.config = json!({"model_type": "flamingo"});
    place.write();
    let error = place.open().unwrap_err().to_string();
    assert!(Family::ALL.iter().all(|family| error.contains(family.name())), "{error}");
}

#[test]
fn a_tower_that_is_nowhere_is_told() {
    let mut place = videorefer();
    place.config.as_object_mut().unwrap().remove("vision_config");
    place.config["mm_vision_tower"] = "somebody/another-tower".into();
    place.write();
    let error = place.open().unwrap_err();
    assert!(matches!(error, Error::Config { .. }) && error.to_string().contains("another-tower"), "{error}");
    // Known by name, but neither bundled nor beside the model.
    let mut place = videorefer();
    place.config.as_object_mut().unwrap().remove("vision_config");
    place.config["mm_vision_tower"] = "google/siglip-so400m-patch14-384".into();
    place.rename(|name| (!name.contains("vision_tower")).then(|| name.to_owned()));
    place.write();
    let report = mismatch(&place);
    assert!(report.missing.iter().filter(|name| name.starts_with("vision_tower.")).count() > 400);
}

#[test]
fn broken_tensors_of_torch_files_are_refused_by_name() {
    let place = videorefer();
    fs::remove_file(place.path("model.safetensors")).unwrap();
    fs::write(place.path("pytorch_model.bin"), b"PK\x03\x04 and then nothing").unwrap();
    malformed(&place, "pytorch_model.bin");
    for name in ["a.pt", "b.pt"] {
        fs::write(place.path(name), b"").unwrap();
    }
    fs::remove_file(place.path("pytorch_model.bin")).unwrap();
    let error = place.open().unwrap_err();
    assert!(error.to_string().contains("2 torch files"), "{error}");
}

#[test]
fn missing_files_of_a_folder_are_named() {
    for file in ["config.json", "tokenizer.json"] {
        let place = videorefer();
        fs::remove_file(place.path(file)).unwrap();
        let error = place.open().unwrap_err().to_string();
        assert!(error.contains(file), "{error}");
    }
    let place = videorefer();
    fs::remove_file(place.path("model.safetensors")).unwrap();
    assert!(matches!(place.open().unwrap_err(), Error::Weights(WeightsError::NoWeights { .. })));
}

#[test]
fn fresh_tensors_have_the_shapes_that_are_declared() {
    let checkpoint = videorefer().open().unwrap();
    let fresh = strefer_model::preset::fresh_weights(&checkpoint.config, 1).unwrap();
    let declared = strefer_nn::Declared::default();
    strefer_model::VideoLlm::new(&checkpoint.config, declared.var_builder()).unwrap();
    let dims = |tensor: &Tensor| tensor.dims().to_vec();
    let shapes = fresh.iter().map(|(name, tensor)| (name.clone(), dims(tensor))).collect();
    assert_eq!(declared.shapes(), shapes);
}
