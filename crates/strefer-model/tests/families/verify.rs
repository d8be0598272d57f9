//! Recordings in one file: they hold for the checkpoint they were made of, and for no other.

use std::collections::BTreeMap;
use std::path::Path;

use candle_core::{DType, Tensor};
use strefer_model::recording::Recording;
use strefer_model::{Inputs, PromptToken};
use strefer_nn::testing::{Golden, device};
use strefer_nn::{Weights, save_safetensors};

use super::place::{Place, tensors};
use super::whole::{Recorded, integers};
use super::{Any, strefer, videorefer};

/// What a batch was given and what the reference made of it, under the names of a recording.
fn recorded(batch: &[Inputs], recorded: &Recorded, region_counts: &[Vec<usize>]) -> BTreeMap<String, Tensor> {
    let mut all = BTreeMap::new();
    let (mut frames, mut regions) = (0, 0);
    let videos = recorded.videos.dim(0).unwrap() / batch.len();
    for (row, inputs) in batch.iter().enumerate() {
        let mut put = |name: &str, tensor: candle_core::Result<Tensor>| {
            all.insert(format!("row.{row}.{name}"), tensor.unwrap());
        };
        let list = |values: Vec<i64>| Tensor::new(values, device());
        let rows = |rows: &[u32]| list(rows.iter().map(|&row| i64::from(row)).collect());
        let token = |token: &PromptToken| match token {
            PromptToken::Text(id) => i64::from(*id),
            PromptToken::Video => -1,
            PromptToken::Region(region) => -2 - *region as i64,
        };
        put("frames", Ok(inputs.frames.clone()));
        put("shown", rows(&inputs.shown));
        put("tokens", list(inputs.tokens.iter().map(token).collect()));
        put("labels", list(inputs.labels.clone()));
        for (at, region) in inputs.regions.iter().enumerate() {
            put(&format!("region.{at}.rows"), rows(&region.rows));
            put(&format!("region.{at}.masks"), Tensor::new(region.grid_masks.clone(), device()));
        }
        if let Some(features) = &recorded.features {
            put("features", features.narrow(0, frames, inputs.shown.len()));
            frames += inputs.shown.len();
        }
        put("videos", recorded.videos.narrow(0, row * videos, videos));
        let count: usize = region_counts[row].iter().sum();
        if let (Some(tokens), true) = (&recorded.regions, count > 0) {
            put("regions", tokens.narrow(0, regions, count));
            regions += count;
        }
        let len = integers(&recorded.mask)[row].iter().filter(|flag| **flag != 0).count();
        let cut = |xs: &Tensor| xs.get(row)?.narrow(0, 0, len);
        put("embeds", cut(&recorded.embeds));
        put("logits", cut(&recorded.logits));
    }
    all.insert("loss".into(), recorded.loss.clone());
    all
}

fn write(file: &Path, tensors: BTreeMap<String, Tensor>) -> Any {
    let (dir, name) = (file.parent().unwrap(), file.file_stem().unwrap().to_str().unwrap());
    save_safetensors(dir, name, &Weights::from_tensors("test", tensors), usize::MAX, &BTreeMap::new())?;
    Ok(())
}

/// Writes the recording of a batch into the folder of its model.
fn record(
    place: &Place,
    batch: &[Inputs],
    made: &Recorded,
) -> Result<std::path::PathBuf, Box<dyn std::error::Error>> {
    let counts = place.load()?.model.encode(batch)?.region_counts;
    let file = place.path("recording.safetensors");
    write(&file, recorded(batch, made, &counts))?;
    Ok(file)
}

#[test]
fn recordings_hold_for_their_checkpoint_and_for_no_other() -> Any {
    let mut cases = Vec::new();
    for recording in videorefer::recordings() {
        let (batch, made) = recording.batch();
        cases.push((recording.place, batch, made));
    }
    for recording in strefer::recordings() {
        let (batch, made) = recording.batch("batch");
        cases.push((recording.place, batch, made));
    }
    assert!(cases.len() >= 2);
    for (mut place, batch, made) in cases {
        let file = record(&place, &batch, &made)?;
        let recording = Recording::open(&file)?;
        let comparisons = recording.compare(&place.load()?.model, None)?;
        for what in ["features", "videos", "regions", "embeds", "logits", "loss"] {
            assert!(comparisons.iter().any(|comparison| comparison.name.ends_with(what)), "{what}");
        }
        for comparison in &comparisons {
            assert!(comparison.holds(), "{}: {comparison:?}", file.display());
        }
        let weight =
            place.tensors.keys().find(|name| name.ends_with("layers.1.mlp.down_proj.weight")).cloned();
        place.disturb(&weight.unwrap());
        let disturbed = recording.compare(&place.load()?.model, None)?;
        let differs = |what: &str| disturbed.iter().any(|found| found.name.ends_with(what) && !found.holds());
        assert!(differs("logits") && differs("loss") && !differs("embeds"), "{disturbed:?}");
        assert!(
            recording.compare(&place.load()?.model, Some(f64::INFINITY))?.iter().all(|found| found.holds())
        );
    }
    Ok(())
}

#[test]
fn what_is_no_recording_is_refused_by_name() -> Any {
    let recording = videorefer::recordings().remove(0);
    let (batch, made) = recording.batch();
    let file = record(&recording.place, &batch, &made)?;
    let whole = tensors(&Golden::open(file.parent().unwrap(), "recording"));
    let refused = |change: &dyn Fn(&mut BTreeMap<String, Tensor>), named: &str| -> Any {
        let mut tensors = whole.clone();
        change(&mut tensors);
        write(&file, tensors)?;
        let error = Recording::open(&file).unwrap_err().to_string();
        assert!(error.contains(named) && error.contains("recording.safetensors"), "{error}");
        Ok(())
    };
    let zeros = |dims: &[usize], dtype: DType| Tensor::zeros(dims, dtype, device()).unwrap();
    refused(&|tensors| drop(tensors.remove("row.0.shown")), "row.0.shown")?;
    refused(
        &|tensors| drop(tensors.insert("row.0.frames".into(), zeros(&[3, 4], DType::F32))),
        "row.0.frames",
    )?;
    refused(&|tensors| drop(tensors.insert("row.0.logit".into(), zeros(&[1], DType::F32))), "row.0.logit")?;
    refused(&|tensors| drop(tensors.insert("row.1.labels".into(), zeros(&[1], DType::I64))), "row.1.labels")?;
    let far = Tensor::new(&[99i64], device())?;
    refused(&|tensors| drop(tensors.insert("row.0.shown".into(), far.clone())), "row.0.shown")?;
    let strange = Tensor::new(&[-90i64], device())?;
    refused(&|tensors| drop(tensors.insert("row.0.tokens".into(), strange.clone())), "row.0.tokens")?;
    refused(&|tensors| tensors.retain(|name, _| name == "loss"), "row.0.frames")?;
    std::fs::write(&file, b"not tensors")?;
    assert!(Recording::open(&file).is_err());
    Ok(())
}
