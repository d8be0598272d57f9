//! Recorded activations: what a reference made of some prompts, in one safetensors file, to hold a checkpoint against.
//!
//! Row `i` of the recording consists of tensors named `row.i.…`. What the reference was given:
//!
//! | tensor | shape | |
//! |---|---|---|
//! | `frames` | `(f, 3, h, w)` | normalised pixels, f32 |
//! | `shown` | `(t)` | rows of `frames` that the video connector sees, in order |
//! | `tokens` | `(s)` | i64: an id, -1 for the video, -2 - `j` for region `j` |
//! | `labels` | `(s)` | i64, -100 where nothing is learnt; optional |
//! | `region.j.rows` | `(k)` | rows of `frames` on which region `j` is masked |
//! | `region.j.masks` | `(k, n)` | its masks on the patch grid, 0 or 1 |
//! | `region.j.places` | `(k, 149)` | middle, width and height of its masks in shares of the picture, when their frames are shown from 0 to 1, and 12 by 12 shares of their boxes' cells that they cover; optional |
//!
//! And what it made of it, each optional: `features` `(t, n, dv)` of the shown frames, `videos` `(tokens, d)`, `regions`
//! `(tokens, d)`, `embeds` `(s', d)`, `logits` `(s', v)`, and `loss` over all rows, which is named `loss` alone.

use std::collections::BTreeSet;
use std::path::Path;

use candle_core::{DType, Device, Tensor};
use serde::Serialize;
use strefer_nn::Weights;

use crate::error::{Error, Result};
use crate::inputs::{IGNORE, Inputs, PromptToken};
use crate::region::{MaskPlace, RegionRows};
use crate::video_llm::VideoLlm;

/// How far a tensor may be from the recorded one in f32, relative to the largest recorded value.
const TOLERANCES: [(&str, f64); 6] = [
    ("features", 1e-5),
    ("videos", 1e-5),
    ("regions", 1e-5),
    ("embeds", 1e-5),
    ("logits", 1e-4),
    ("loss", 1e-5),
];

/// A file of recorded activations.
#[derive(Debug, Clone)]
pub struct Recording {
    weights: Weights,
    rows: Vec<Inputs>,
}

/// One recorded tensor beside what the model made.
#[derive(Debug, Clone, Serialize)]
pub struct Comparison {
    /// Its name in the recording.
    pub name: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// The largest difference, over the largest recorded value; infinite where the shapes differ.
    pub difference: f64,
    /// What is allowed.
    pub tolerance: f64,
}

impl Comparison {
    /// Whether the difference is within what is allowed. One that is not a number is not.
    pub fn holds(&self) -> bool {
        self.difference <= self.tolerance
    }
}

impl Recording {
    /// Opens a file and reads what the reference was given.
    ///
    /// # Errors
    /// The file is none of safetensors, a tensor is missing, has another shape than the others ask for, or is none of a
    /// recording.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let weights = Weights::open(path)?;
        let mut known = BTreeSet::from(["loss".to_owned()]);
        let mut rows = Vec::new();
        while weights.names().any(|name| name.starts_with(&format!("row.{}.", rows.len()))) {
            let reader = RowReader { weights: &weights, prefix: format!("row.{}", rows.len()) };
            rows.push(reader.read(&mut known)?);
        }
        let bad = |reason: String| Error::Recording { origin: weights.origin().to_owned(), reason };
        if rows.is_empty() {
            return Err(bad("no tensor named row.0.frames".into()));
        }
        if let Some(stranger) = weights.names().find(|name| !known.contains(*name)) {
            return Err(bad(format!("{stranger:?} is no tensor of a recording")));
        }
        if !weights.names().any(|name| TOLERANCES.iter().any(|(what, _)| name.ends_with(what))) {
            return Err(bad("nothing that a reference made is in it".into()));
        }
        Ok(Self { weights, rows })
    }

    /// What the reference was given, row by row.
    pub fn rows(&self) -> &[Inputs] {
        &self.rows
    }

    /// Runs the model over every row and compares whatever was recorded. `tolerance` replaces those for f32.
    pub fn compare(&self, model: &VideoLlm, tolerance: Option<f64>) -> Result<Vec<Comparison>> {
        let mut all = Vec::new();
        let (mut loss, mut supervised) = (0.0, 0);
        let mut held = |name: String, found: &Tensor| -> Result<()> {
            if self.weights.contains(&name) {
                let recorded = self.weights.load(&name, DType::F32, &Device::Cpu)?;
                let what = name.rsplit('.').next().unwrap_or_default();
                let usual =
                    TOLERANCES.iter().find(|(known, _)| *known == what).map_or(0.0, |(_, value)| *value);
                let difference = relative_difference(found, &recorded)?;
                let shape = recorded.dims().to_vec();
                all.push(Comparison { name, shape, difference, tolerance: tolerance.unwrap_or(usual) });
            }
            Ok(())
        };
        for (row, inputs) in self.rows.iter().enumerate() {
            let batch = std::slice::from_ref(inputs);
            let encoded = model.encode(batch)?;
            let shown = Tensor::new(inputs.shown.as_slice(), encoded.features.device())?;
            held(format!("row.{row}.features"), &encoded.features.index_select(&shown, 0)?)?;
            held(format!("row.{row}.videos"), &encoded.videos)?;
            if let Some(regions) = &encoded.regions {
                held(format!("row.{row}.regions"), regions)?;
            }
            let spliced = model.splice_encoded(batch, &encoded, 0)?;
            held(format!("row.{row}.embeds"), &spliced.embeds.squeeze(0)?)?;
            let hidden = model.forward(&spliced)?;
            held(format!("row.{row}.logits"), &model.language_model().logits(&hidden)?.squeeze(0)?)?;
            if inputs.supervised() > 0 {
                let (sum, count) = model.language_model().loss(&hidden, &spliced.labels)?;
                loss += f64::from(sum.to_dtype(DType::F32)?.to_scalar::<f32>()?);
                supervised += count;
            }
        }
        held("loss".to_owned(), &Tensor::new((loss / supervised.max(1) as f64) as f32, &Device::Cpu)?)?;
        Ok(all)
    }
}

/// The largest difference over the largest recorded value.
fn relative_difference(found: &Tensor, recorded: &Tensor) -> Result<f64> {
    if found.elem_count() != recorded.elem_count() {
        return Ok(f64::INFINITY);
    }
    let flat = |xs: &Tensor| -> Result<Vec<f32>> {
        Ok(xs.to_device(&Device::Cpu)?.to_dtype(DType::F32)?.flatten_all()?.to_vec1()?)
    };
    let (found, recorded) = (flat(found)?, flat(recorded)?);
    let largest = recorded.iter().fold(0.0f32, |largest, value| largest.max(value.abs()));
    // A NaN anywhere stays one: `max` would drop it.
    let difference = found.iter().zip(&recorded).map(|(a, b)| (a - b).abs());
    let worst = difference.fold(0.0f32, |worst, x| if x.is_nan() || x > worst { x } else { worst });
    Ok(f64::from(worst) / f64::from(largest.max(f32::MIN_POSITIVE)))
}

/// Reads what one row was given.
struct RowReader<'a> {
    weights: &'a Weights,
    prefix: String,
}

impl RowReader<'_> {
    /// Adds the names that belong to the row to `known`.
    fn read(&self, known: &mut BTreeSet<String>) -> Result<Inputs> {
        known.extend(TOLERANCES.iter().map(|(what, _)| self.name(what)));
        known.extend(["frames", "shown", "tokens", "labels"].map(|what| self.name(what)));
        let frames = self.tensor("frames", DType::F32)?;
        let count = frames.dims4().map(|(count, ..)| count);
        let count = count.map_err(|_| self.bad("frames", "needs four dimensions"))?;
        let shown = self.indices("shown", count)?;
        let mut regions = Vec::new();
        while self.weights.contains(&self.name(&format!("region.{}.rows", regions.len()))) {
            let part = |what: &str| format!("region.{}.{what}", regions.len());
            known.extend(["rows", "masks", "places"].map(|what| self.name(&part(what))));
            let rows = self.indices(&part("rows"), count)?;
            let masks = self.matrix(&part("masks"))?;
            let places: Option<Vec<MaskPlace>> = match self.weights.contains(&self.name(&part("places"))) {
                true => self.matrix(&part("places"))?.iter().map(|row| MaskPlace::from_row(row)).collect(),
                false => Some(vec![MaskPlace::default(); rows.len()]),
            };
            let places = places.ok_or_else(|| self.bad(&part("places"), "a place has 149 numbers"))?;
            if masks.len() != rows.len() || places.len() != rows.len() {
                let reason = "every row needs a mask, and a place where there are places";
                return Err(self.bad(&part("rows"), reason));
            }
            regions.push(RegionRows { rows, grid_masks: masks, places });
        }
        let ids = self.integers("tokens")?;
        let tokens: Vec<PromptToken> = ids
            .iter()
            .map(|&id| match id {
                -1 => Ok(PromptToken::Video),
                ..-1 if ((-2 - id) as usize) < regions.len() => Ok(PromptToken::Region((-2 - id) as usize)),
                0.. => u32::try_from(id).map(PromptToken::Text).map_err(|_| id),
                _ => Err(id),
            })
            .collect::<std::result::Result<_, i64>>()
            .map_err(|id| self.bad("tokens", &format!("{id} is neither an id nor one of its regions")))?;
        let labels = match self.weights.contains(&self.name("labels")) {
            true => self.integers("labels")?,
            false => vec![IGNORE; tokens.len()],
        };
        if labels.len() != tokens.len() {
            return Err(self.bad("labels", "needs one label a token"));
        }
        let (id, turns, frame_indices) = (self.prefix.clone(), Vec::new(), (0..count).collect());
        let tiling = None;
        Ok(Inputs {
            id,
            frames,
            shown,
            tiling,
            regions,
            tokens,
            labels,
            turns,
            frame_indices,
            duration_s: 0.0,
        })
    }

    fn name(&self, what: &str) -> String {
        format!("{}.{what}", self.prefix)
    }

    fn bad(&self, what: &str, reason: &str) -> Error {
        let reason = format!("{:?}: {reason}", self.name(what));
        Error::Recording { origin: self.weights.origin().to_owned(), reason }
    }

    fn tensor(&self, what: &str, dtype: DType) -> Result<Tensor> {
        Ok(self.weights.load(&self.name(what), dtype, &Device::Cpu)?)
    }

    fn integers(&self, what: &str) -> Result<Vec<i64>> {
        self.tensor(what, DType::I64)?.to_vec1().map_err(|_| self.bad(what, "needs one dimension"))
    }

    fn matrix(&self, what: &str) -> Result<Vec<Vec<f32>>> {
        self.tensor(what, DType::F32)?.to_vec2().map_err(|_| self.bad(what, "needs two dimensions"))
    }

    /// Rows of `frames`.
    fn indices(&self, what: &str, count: usize) -> Result<Vec<u32>> {
        let inside = |index: i64| u32::try_from(index).ok().filter(|index| (*index as usize) < count);
        let indices: Option<Vec<u32>> = self.integers(what)?.into_iter().map(inside).collect();
        indices.ok_or_else(|| self.bad(what, &format!("there are {count} frames")))
    }
}
