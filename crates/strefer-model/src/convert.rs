//! Checkpoints from one form into another: a published folder into ours, ours back into the published one.

use std::path::Path;

use candle_core::DType;
use serde::Serialize;
use strefer_nn::{Weights, save_safetensors};

use crate::VideoLlmConfig;
use crate::checkpoint::{Checkpoint, MAX_SHARD_BYTES, in_one_step, write_files};
use crate::error::{Error, Result};
use crate::origin::Origin;

/// Which form is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Ours. What the published folder says besides is kept in it, so that the way back stands open.
    Ours,
    /// That of the family the checkpoint came from. Low-rank updates are folded in: the form has no place for them.
    Published,
}

/// How a checkpoint is converted.
#[derive(Debug, Clone)]
pub struct Conversion {
    /// Which form is written.
    pub form: Form,
    /// Element type of floating-point tensors; each its own when none is given.
    pub dtype: Option<DType>,
    /// Whether low-rank updates are folded into the weights also where the form has a place for them.
    pub merge_lora: bool,
    /// Whether tensors that the checkpoint lacks come from another one: training keeps only what the model uses, a
    /// published folder holds more.
    pub fill: Option<Checkpoint>,
    /// Checkpoints of the same model whose weights are averaged with the checkpoint's own, all counting alike, as runs
    /// that began from the same weights allow (arXiv 2203.05482). Low-rank updates are folded in first: the mean of two
    /// products is not the product of the means.
    pub average: Vec<Checkpoint>,
}

impl Conversion {
    /// Nothing but the form changes.
    pub fn to(form: Form) -> Self {
        Self { form, dtype: None, merge_lora: false, fill: None, average: Vec::new() }
    }
}

/// Size and digest of one tensor of a checkpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TensorFacts {
    /// Its name in the folder.
    pub name: String,
    /// Its element type.
    pub dtype: String,
    /// Its shape.
    pub shape: Vec<usize>,
    /// Its size.
    pub bytes: usize,
    /// BLAKE3 of its values as safetensors hold them, in hexadecimal digits.
    pub blake3: String,
}

/// Writes the checkpoint in another form to a folder that was not there before, in one step and one tensor at a time.
/// All tensors are taken over, those that no model uses included.
///
/// # Errors
/// The checkpoint's tensors do not fit its configuration; it came from no published folder and that form is asked for; the
/// folder exists or the disk refuses; a checkpoint that is to be averaged is of another model.
pub fn convert(source: &Checkpoint, out: impl AsRef<Path>, conversion: &Conversion) -> Result<()> {
    source.weights()?;
    let origin = Origin::of(source)?;
    let merge = conversion.merge_lora || conversion.form == Form::Published || !conversion.average.is_empty();
    let (config, mut weights) =
        if merge { merged(source)? } else { (source.config.clone(), source.all_weights()?) };
    let mut others = Vec::with_capacity(conversion.average.len());
    for other in &conversion.average {
        let (their_config, weights) = merged(other)?;
        if their_config != config || other.tokenizer.to_json()? != source.tokenizer.to_json()? {
            return Err(Error::OtherModel { path: other.dir().to_owned(), of: source.dir().to_owned() });
        }
        others.push(weights);
    }
    if !others.is_empty() {
        weights = weights.mean(others)?;
    }
    if let Some(other) = &conversion.fill {
        let lacking =
            other.all_weights()?.renamed(|name| (!weights.contains(name)).then(|| name.to_owned()))?;
        weights = weights.joined(lacking)?;
    }
    if let Some(dtype) = conversion.dtype {
        weights = weights.cast(dtype);
    }
    match (conversion.form, origin) {
        (Form::Ours, origin) => in_one_step(out.as_ref(), |dir| {
            write_files(dir, &config, &source.tokenizer, &weights, origin.as_ref())
        }),
        (Form::Published, None) => Err(Error::NoOrigin { path: source.dir().to_owned() }),
        (Form::Published, Some(origin)) => {
            let theirs = |name: &str| Some(origin.layout.theirs(name).unwrap_or_else(|| name.to_owned()));
            let weights = weights.renamed(theirs)?;
            let dtype = conversion.dtype.map(torch_name);
            in_one_step(out.as_ref(), |dir| {
                // transformers loads no file that does not say whose tensors it holds.
                let metadata = [("format".to_owned(), "pt".to_owned())].into();
                save_safetensors(dir, "model", &weights, MAX_SHARD_BYTES, &metadata)?;
                origin.copy_to(dir, dtype)
            })
        }
    }
}

/// The checkpoint's configuration and tensors with low-rank updates folded in.
fn merged(source: &Checkpoint) -> Result<(VideoLlmConfig, Weights)> {
    let (mut config, weights) = (source.config.clone(), source.all_weights()?);
    let Some(lora) = config.llm.lora.take() else { return Ok((config, weights)) };
    Ok((config, weights.merge_lora(lora.alpha)?))
}

/// Size and digest of every tensor of a folder or file, under the names they have there. `on_tensor` hears of each.
pub fn tensor_facts(
    path: impl AsRef<Path>,
    mut on_tensor: impl FnMut(&TensorFacts, usize),
) -> Result<Vec<TensorFacts>> {
    let weights = Weights::open(path)?;
    let count = weights.names().count();
    let mut all = Vec::with_capacity(count);
    for name in weights.names() {
        let facts = TensorFacts {
            name: name.to_owned(),
            dtype: weights.dtype(name).map(|dtype| dtype.as_str().to_owned()).unwrap_or_default(),
            shape: weights.shape(name).unwrap_or_default().to_vec(),
            bytes: weights.size(name),
            blake3: blake3::hash(&weights.bytes(name)?).to_hex().to_string(),
        };
        on_tensor(&facts, count);
        all.push(facts);
    }
    Ok(all)
}

/// As torch names an element type in `config.json`.
fn torch_name(dtype: DType) -> &'static str {
    match dtype {
        DType::F16 => "float16",
        DType::BF16 => "bfloat16",
        DType::F64 => "float64",
        _ => "float32",
    }
}
