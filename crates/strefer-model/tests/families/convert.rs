//! Checkpoints from the published forms into ours and back.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use candle_core::{DType, Tensor};
use serde_json::Value;
use strefer_llm::decoder::LoraSettings;
use strefer_model::convert::{Conversion, Form, TensorFacts, convert, tensor_facts};
use strefer_model::{Checkpoint, Error, Family, Loading, Origin, ProcessorOptions, VideoLlm};
use strefer_nn::testing::{assert_close, device, randn};
use strefer_nn::{ParamStore, Weights};

use super::place::{Place, json_file};
use super::{Any, llava_onevision, strefer, videorefer};

fn facts(dir: &Path) -> Vec<TensorFacts> {
    tensor_facts(dir, |_, _| {}).unwrap()
}

/// One folder of every family, in several types and shards.
fn places() -> Vec<(Family, Place)> {
    let mut places = vec![
        (Family::Strefer, strefer::recordings().remove(0).place),
        (Family::VideoRefer, videorefer::recordings().remove(0).place),
        (Family::LlavaOneVision, llava_onevision::recordings().remove(0).place),
    ];
    for (_, place) in &mut places {
        for (at, tensor) in place.tensors.values_mut().enumerate() {
            let dtype = [DType::F32, DType::BF16, DType::F16][at % 3];
            *tensor = tensor.to_dtype(dtype).unwrap();
        }
        place.config["torch_dtype"] = "float32".into();
        fs::remove_file(place.path("model.safetensors")).unwrap();
        place.write_sharded(100_000);
        fs::write(place.path("generation_config.json"), r#"{"do_sample": false}"#).unwrap();
    }
    places
}

#[test]
fn there_and_back_leaves_every_name_type_shape_and_digest() -> Any {
    for (family, place) in places() {
        let (ours, theirs) = (place.path("ours"), place.path("theirs"));
        convert(&place.open()?, &ours, &Conversion::to(Form::Ours))?;
        let checkpoint = Checkpoint::open(&ours)?;
        assert_eq!(checkpoint.family, None);
        checkpoint.load(device(), DType::F32, ProcessorOptions::default())?;
        convert(&checkpoint, &theirs, &Conversion::to(Form::Published))?;
        let before = facts(place.path("model.safetensors.index.json").parent().unwrap());
        assert_eq!(facts(&theirs), before, "{family}");
        assert_eq!(Checkpoint::open(&theirs)?.family, Some(family));
        for file in ["config.json", "tokenizer.json", "generation_config.json"] {
            let read = |dir: &Path| json_file(&dir.join(file));
            assert_eq!(read(&theirs), read(place.path("config.json").parent().unwrap()), "{family}: {file}");
        }
        assert!(!theirs.join("strefer.json").exists() && !theirs.join("origin").exists());
    }
    Ok(())
}

#[test]
fn our_form_gives_the_recorded_numbers() -> Any {
    let recording = videorefer::recordings().remove(0);
    let ours = recording.place.path("ours");
    convert(&recording.place.open()?, &ours, &Conversion::to(Form::Ours))?;
    Ok(recording.compare_with(&Checkpoint::open(&ours)?)?)
}

#[test]
fn another_type_is_written_and_named() -> Any {
    let place = videorefer::recordings().remove(0).place;
    fs::write(place.path("config.json"), {
        let mut config = place.config.clone();
        config["torch_dtype"] = "float32".into();
        config.to_string()
    })?;
    let conversion = Conversion { dtype: Some(DType::BF16), ..Conversion::to(Form::Published) };
    let out = place.path("half");
    convert(&place.open()?, &out, &conversion)?;
    assert!(facts(&out).iter().all(|tensor| tensor.dtype == "bf16"));
    assert_eq!(json_file(&out.join("config.json"))["torch_dtype"], "bfloat16");
    let loaded = Checkpoint::open(&out)?.weights()?;
    let name = loaded.names().next().unwrap().to_owned();
    let wide = place.open()?.weights()?.load(&name, DType::BF16, device())?;
    let half = loaded.load(&name, DType::BF16, device())?;
    assert_close(&half.to_dtype(DType::F32)?, &wide.to_dtype(DType::F32)?, 0.0);
    Ok(())
}

/// What training leaves of a published folder: the tensors that learn or are needed, under our names.
fn trained(place: &Place, out: &Path, lora: Option<LoraSettings>) -> strefer_model::Result<()> {
    let checkpoint = place.open()?;
    let mut config = checkpoint.config.clone();
    config.llm.lora = lora;
    let store = ParamStore::new(5, device(), DType::F32).with_weights(checkpoint.weights()?);
    VideoLlm::new(&config, store.var_builder())?;
    let mut tensors: BTreeMap<String, Tensor> = store.tensors();
    for (seed, (_, tensor)) in (0..).zip(tensors.iter_mut().filter(|(name, _)| name.contains("lora_B"))) {
        *tensor = randn(seed, tensor.dims());
    }
    let origin = Origin::of(&checkpoint)?;
    let weights = Weights::from_tensors("trained", tensors);
    Checkpoint::save(out, &config, &checkpoint.tokenizer, &weights, origin.as_ref())
}

#[test]
fn what_was_trained_is_written_in_the_published_form_again() -> Any {
    for (family, place) in places() {
        let (run, lean, full) = (place.path("run"), place.path("lean"), place.path("full"));
        trained(&place, &run, None)?;
        let source = Checkpoint::open(&run)?;
        convert(&source, &lean, &Conversion::to(Form::Published))?;
        let fill = Some(place.open()?);
        convert(&source, &full, &Conversion { fill, ..Conversion::to(Form::Published) })?;
        let names = |dir: &Path| facts(dir).into_iter().map(|tensor| tensor.name).collect::<Vec<_>>();
        let before: Vec<String> = place.tensors.keys().cloned().collect();
        assert_eq!(names(&full), before, "{family}");
        assert!(names(&lean).iter().all(|name| before.contains(name)), "{family}");
        for dir in [&lean, &full] {
            assert_eq!(Checkpoint::open(dir)?.family, Some(family));
            Checkpoint::open(dir)?.load(device(), DType::F32, ProcessorOptions::default())?;
        }
    }
    Ok(())
}

#[test]
fn low_rank_updates_are_folded_in() -> Any {
    let recording = videorefer::recordings().remove(0);
    let place = &recording.place;
    let modules = vec!["q_proj".to_owned(), "down_proj".to_owned()];
    trained(place, &place.path("run"), Some(LoraSettings { rank: 2, alpha: 3.0, modules }))?;
    let source = Checkpoint::open(place.path("run"))?;
    convert(&source, place.path("kept"), &Conversion::to(Form::Ours))?;
    convert(&source, place.path("merged"), &Conversion { merge_lora: true, ..Conversion::to(Form::Ours) })?;
    convert(&source, place.path("published"), &Conversion::to(Form::Published))?;
    let (batch, _) = recording.batch();
    let model_logits = |model: &VideoLlm| -> strefer_model::Result<Tensor> {
        Ok(model.language_model().logits(&model.forward(&model.splice(&batch)?)?)?)
    };
    let logits = |dir: &str| -> strefer_model::Result<Tensor> {
        let checkpoint = Checkpoint::open(place.path(dir))?;
        model_logits(&checkpoint.load(device(), DType::F32, ProcessorOptions::default())?.model)
    };
    let wanted = logits("run")?;
    // As a card has it loaded.
    let joined = Loading { joined: true, ..Loading::on((device()).into(), DType::F32) };
    let joined = Checkpoint::open(place.path("run"))?.load_with(joined, ProcessorOptions::default())?.model;
    assert!(joined.language_model().config().lora.is_none());
    assert_close(&model_logits(&joined)?, &wanted, 1e-4);
    assert_close(&logits("kept")?, &wanted, 0.0);
    for folder in ["merged", "published"] {
        assert!(facts(&place.path(folder)).iter().all(|tensor| !tensor.name.contains("lora")));
        assert_close(&logits(folder)?, &wanted, 1e-4);
    }
    assert!(facts(&place.path("kept")).iter().any(|tensor| tensor.name.contains("lora_A")));
    Ok(())
}

#[test]
fn checkpoints_of_one_model_are_averaged_and_others_refused() -> Any {
    let recording = videorefer::recordings().remove(0);
    let place = &recording.place;
    trained(place, &place.path("one"), None)?;
    let modules = vec!["q_proj".to_owned()];
    trained(place, &place.path("two"), Some(LoraSettings { rank: 2, alpha: 3.0, modules }))?;
    let [one, two] = ["one", "two"].map(|folder| Checkpoint::open(place.path(folder)));
    let (one, two) = (one?, two?);
    let average =
        |other: &Checkpoint| Conversion { average: vec![other.clone()], ..Conversion::to(Form::Ours) };
    convert(&one, place.path("mean"), &average(&two))?;
    convert(&two, place.path("merged"), &Conversion { merge_lora: true, ..Conversion::to(Form::Ours) })?;
    let [one_weights, merged, mean] =
        ["one", "merged", "mean"].map(|folder| Weights::open(place.path(folder).join("model.safetensors")));
    let (one_weights, merged, mean) = (one_weights?, merged?, mean?);
    assert!(mean.names().eq(one_weights.names()));
    let mut moved = 0;
    for name in mean.names() {
        let load = |weights: &Weights| weights.load(name, DType::F32, device());
        let (a, b) = (load(&one_weights)?, load(&merged)?);
        assert_close(&load(&mean)?, &((&a + &b)? / 2.0)?, 1e-6);
        moved += usize::from(a.sub(&b)?.abs()?.max_all()?.to_scalar::<f32>()? > 0.0);
    }
    assert!(moved > 0, "both hold the same weights");

    let mut other = two.clone();
    other.config.frames.count += 1;
    let error = convert(&one, place.path("none"), &average(&other)).unwrap_err();
    assert!(matches!(&error, Error::OtherModel { path, .. } if path == other.dir()), "{error}");
    assert!(!place.path("none").exists());
    Ok(())
}

#[test]
fn what_cannot_be_converted_is_refused_and_nothing_is_left() -> Any {
    let mut place = videorefer::recordings().remove(0).place;
    let (ours, plain) = (place.path("ours"), place.path("plain"));
    let checkpoint = place.open()?;
    convert(&checkpoint, &ours, &Conversion::to(Form::Ours))?;
    let again = convert(&checkpoint, &ours, &Conversion::to(Form::Ours)).unwrap_err();
    assert!(again.to_string().contains("ours"), "{again}");

    let loaded = Checkpoint::open(&ours)?;
    Checkpoint::save(&plain, &loaded.config, &loaded.tokenizer, &loaded.all_weights()?, None)?;
    let nowhere = convert(&Checkpoint::open(&plain)?, place.path("x"), &Conversion::to(Form::Published));
    assert!(matches!(nowhere, Err(Error::NoOrigin { .. })));
    assert!(!place.path("x").exists());

    let note = ours.join("origin/strefer.json");
    fs::write(&note, r#"{"layout": "somebody's"}"#)?;
    let unknown = convert(&loaded, place.path("x"), &Conversion::to(Form::Published)).unwrap_err();
    assert!(unknown.to_string().contains("strefer.json"), "{unknown}");

    let lost: Value = "model.region_encoder.feat_linear.0.weight".into();
    place.rename(|name| (name != lost).then(|| name.to_owned()));
    place.write();
    let missing = convert(&place.open()?, place.path("x"), &Conversion::to(Form::Ours)).unwrap_err();
    assert!(missing.to_string().contains("region_encoder.feat_linear.0.weight"), "{missing}");
    assert!(!place.path("x").exists());
    Ok(())
}
