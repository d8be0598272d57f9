//! Compares a whole model with a recorded batch: features, tokens, embeddings, logits, loss and gradients.

use std::collections::BTreeMap;

use candle_core::{DType, Tensor};
use strefer_core::Mask;
use strefer_llm::GenerationConfig;
use strefer_model::region::{MaskPlace, RegionRows, grid_mask};
use strefer_model::{Checkpoint, Inputs, Origin, PromptToken, VideoLlm};
use strefer_nn::ParamStore;
use strefer_nn::testing::{assert_all_grads, device, max_abs_diff, relative_diff, values};

use super::Any;

/// What was recorded of a batch. Rows are compared up to their length; what is behind means nothing.
pub struct Recorded {
    /// `(shown frames, n, dv)`
    pub features: Option<Tensor>,
    /// `(tokens of all videos or images, d)`
    pub videos: Tensor,
    /// `(tokens of all regions, d)`
    pub regions: Option<Tensor>,
    /// `(b, s, d)`
    pub embeds: Tensor,
    /// `(b, s)`, 1 where a row holds something
    pub mask: Tensor,
    /// `(b, s)`
    pub labels: Tensor,
    /// `(b, s, v)`
    pub logits: Tensor,
    pub loss: Tensor,
    /// By the names of the recording's own layout.
    pub grads: BTreeMap<String, Tensor>,
}

/// Ids as prompt: `video` tells the placeholder of the video, `region` that of objects, which are counted.
pub fn prompt(ids: &[i64], video: impl Fn(i64) -> bool, region: Option<i64>) -> Vec<PromptToken> {
    let mut objects = 0..;
    ids.iter()
        .map(|&id| {
            if video(id) {
                PromptToken::Video
            } else if Some(id) == region {
                PromptToken::Region(objects.next().unwrap())
            } else {
                PromptToken::Text(id as u32)
            }
        })
        .collect()
}

/// Objects whose frames lie behind the first `first` rows of a stack; `masks` is `(n, h, w)`, object by object.
pub fn objects(masks: &Tensor, rows: &[Vec<u32>], first: u32, side: usize) -> Vec<RegionRows> {
    let (_, height, width) = masks.dims3().unwrap();
    let pixels = masks.flatten_all().and_then(|flat| flat.to_vec1::<u8>()).unwrap();
    let mut masks = pixels.chunks(height * width).map(|mask| Mask::from_bytes(height, width, mask).unwrap());
    rows.iter()
        .map(|rows| {
            let own: Vec<Mask> = masks.by_ref().take(rows.len()).collect();
            RegionRows {
                rows: rows.iter().map(|row| first + row).collect(),
                grid_masks: own.iter().map(|mask| grid_mask(mask, side, side)).collect(),
                places: own.iter().map(|mask| MaskPlace::new(mask, 0.0)).collect(),
            }
        })
        .collect()
}

/// Lists of a recorded matrix of integers.
pub fn integers(xs: &Tensor) -> Vec<Vec<i64>> {
    xs.to_dtype(DType::I64).and_then(|xs| xs.to_vec2()).unwrap()
}

/// The rows of `(b, s, ..)` up to their lengths, one after the other.
fn rows(xs: &Tensor, lens: &[usize]) -> Tensor {
    let cut: candle_core::Result<Vec<Tensor>> =
        lens.iter().enumerate().map(|(row, &len)| xs.get(row)?.narrow(0, 0, len)).collect();
    Tensor::cat(&cut.unwrap(), 0).unwrap()
}

fn close(what: &str, found: &Tensor, recorded: &Tensor, tolerance: f64) -> Result<(), String> {
    if found.dims() != recorded.dims() {
        return Err(format!("{what} has shape {:?}, recorded is {:?}", found.dims(), recorded.dims()));
    }
    let diff = relative_diff(found, recorded);
    if diff <= tolerance { Ok(()) } else { Err(format!("{what} differs by {diff:e}")) }
}

/// Rows of the stack of all frames that the connector sees.
fn shown(batch: &[Inputs]) -> Tensor {
    let (mut first, mut rows) = (0, Vec::new());
    for inputs in batch {
        rows.extend(inputs.shown.iter().map(|row| first + row));
        first += inputs.frames.dim(0).unwrap() as u32;
    }
    let count = rows.len();
    Tensor::from_vec(rows, count, device()).unwrap()
}

/// Runs the checkpoint's model, of which `learns` chooses what is trained, and compares everything.
///
/// # Errors
/// What differs first.
pub fn compare(
    checkpoint: &Checkpoint,
    batch: &[Inputs],
    recorded: &Recorded,
    learns: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Result<(), String> {
    run(checkpoint, batch, recorded, learns).map_err(|error| error.to_string())
}

fn run(
    checkpoint: &Checkpoint,
    batch: &[Inputs],
    recorded: &Recorded,
    learns: impl Fn(&str) -> bool + Send + Sync + 'static,
) -> Any {
    let weights = checkpoint.weights()?;
    let store = ParamStore::new(0, device(), DType::F32).with_weights(weights).trainable(learns);
    let model = VideoLlm::new(&checkpoint.config, store.var_builder())?;
    store.check_complete()?;

    let encoded = model.encode(batch)?;
    if let Some(features) = &recorded.features {
        let found = encoded.features.index_select(&shown(batch), 0)?;
        close("features", &found, features, 1e-5)?;
    }
    close("video tokens", &encoded.videos, &recorded.videos, 1e-5)?;
    if let (Some(found), Some(recorded)) = (&encoded.regions, &recorded.regions) {
        close("region tokens", found, recorded, 1e-5)?;
    }

    let spliced = model.splice_encoded(batch, &encoded, 0)?;
    let lens: Vec<usize> =
        integers(&recorded.mask).iter().map(|row| row.iter().filter(|flag| **flag != 0).count()).collect();
    assert_eq!(spliced.places.iter().map(|place| place.len).collect::<Vec<_>>(), lens);
    close("embeddings", &rows(&spliced.embeds, &lens), &rows(&recorded.embeds, &lens), 1e-5)?;
    let labels = |labels: &Tensor| values(&rows(labels, &lens));
    assert_eq!(labels(&spliced.labels), labels(&recorded.labels));

    let hidden = model.forward(&spliced)?;
    let logits = model.language_model().logits(&hidden)?;
    close("logits", &rows(&logits, &lens), &rows(&recorded.logits, &lens), 1e-4)?;
    let (sum, count) = model.language_model().loss(&hidden, &spliced.labels)?;
    let loss = (sum / count as f64)?;
    close("loss", &loss, &recorded.loss.reshape(())?, 1e-5)?;

    let grads = loss.backward()?;
    let vars = store.vars();
    assert_all_grads(&vars, &grads);
    let layout = Origin::of(checkpoint)?.ok_or("it came from no published folder")?.layout;
    // Gradients that are zero but for rounding are compared with the size of the others.
    let largest = recorded.grads.values().flat_map(values).fold(0.0, |largest: f64, x| largest.max(x.abs()));
    for (name, wanted) in &recorded.grads {
        let ours = layout.ours(name).ok_or_else(|| format!("{name} has no name of ours"))?;
        let var = vars.get(&ours).ok_or_else(|| format!("{name} is not trained"))?;
        let scale = values(wanted).into_iter().fold(1e-3 * largest, |scale, x| scale.max(x.abs()));
        let diff = max_abs_diff(grads.get(var).ok_or("checked above")?, wanted) / scale;
        if diff > 1e-4 {
            return Err(format!("the gradient of {name} differs by {diff:e}").into());
        }
    }
    Ok(())
}

/// Greedy tokens of one prompt, whose embeddings and first logits are compared too.
pub fn answer(
    checkpoint: &Checkpoint,
    inputs: &Inputs,
    cfg: &GenerationConfig,
    prompt_embeds: &Tensor,
    first_logits: &Tensor,
) -> Result<Vec<u32>, String> {
    let loaded = checkpoint.load(device(), DType::F32, strefer_model::ProcessorOptions::default());
    let model = loaded.map_err(|error| error.to_string())?.model;
    let spliced = model.splice(std::slice::from_ref(inputs)).unwrap();
    close("prompt", &spliced.embeds, prompt_embeds, 1e-5)?;
    let hidden = model.forward(&spliced).unwrap();
    let last = hidden.narrow(1, hidden.dim(1).unwrap() - 1, 1).unwrap();
    let logits = model.language_model().logits(&last).unwrap();
    close("first logits", &logits.flatten_all().unwrap(), &first_logits.flatten_all().unwrap(), 1e-4)?;
    Ok(model.generate(inputs, cfg, |_| std::ops::ControlFlow::Continue(())).unwrap())
}

/// A sample that is nothing but what a recording holds.
pub fn sample(
    id: &str,
    frames: Tensor,
    shown: Vec<u32>,
    regions: Vec<RegionRows>,
    tokens: Vec<PromptToken>,
    labels: Vec<i64>,
) -> Inputs {
    let frame_indices = (0..frames.dim(0).unwrap()).collect();
    let turns = Vec::new();
    Inputs {
        id: id.to_owned(),
        frames,
        shown,
        tiling: None,
        regions,
        tokens,
        labels,
        turns,
        frame_indices,
        duration_s: 0.0,
    }
}
