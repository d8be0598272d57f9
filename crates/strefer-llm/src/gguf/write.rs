//! Writing.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use candle_core::quantized::{GgmlDType, QTensor, gguf_file};
use candle_core::{DType, Device, Tensor};
use strefer_nn::Weights;

use super::metadata::metadata;
use super::names::gguf_name;
use super::recipe::Quantisation;
use crate::decoder::{DecoderConfig, RopeScaling};
use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// What a GGUF file is made of besides the weights.
#[derive(Debug, Clone, Copy)]
pub struct Export<'a> {
    /// The decoder.
    pub cfg: &'a DecoderConfig,
    /// Its tokenizer.
    pub tokenizer: &'a Tokenizer,
    /// The token that ends an answer.
    pub eos: Option<u32>,
    /// How weights are quantised.
    pub quantisation: Quantisation,
}

/// Writes a decoder as a GGUF file that llama.cpp and [`super::Gguf`] read. `weights` has its parameters below
/// `prefix`; others are not looked at. Appears in one step; the quantised weights are in memory together.
///
/// # Errors
/// A model that llama.cpp has no form for (extra rows, biases it does not know, low-rank updates that are not folded in), a
/// tensor that cannot be read, a disk that refuses.
pub fn export(
    path: &Path,
    export: &Export<'_>,
    weights: &Weights,
    prefix: &str,
    mut progress: impl FnMut(usize, usize),
) -> Result<()> {
    let metadata = metadata(export)?;
    let Export { cfg, quantisation, .. } = *export;
    let ours: Vec<&str> = weights.names().filter(|name| name.starts_with(prefix)).collect();
    let mut tensors: Vec<(String, Arc<QTensor>)> = Vec::with_capacity(ours.len());
    for (at, full) in ours.iter().enumerate() {
        let theirs = theirs(full, prefix)?;
        if cfg.tie_word_embeddings && theirs == "output.weight" {
            continue;
        }
        let tensor = weights.load(full, DType::F32, &Device::Cpu)?;
        let dtype =
            quantisation.dtype(&theirs, tensor.dims(), cfg.num_hidden_layers, cfg.tie_word_embeddings);
        tensors.push((theirs, Arc::new(QTensor::quantize(&tensor, dtype)?)));
        progress(at + 1, ours.len());
    }
    tensors.extend(rope_factors(cfg)?);
    if ours.is_empty() {
        return Err(Error::Gguf(format!("{} has no tensor below {prefix:?}", weights.origin())));
    }
    write(path, &metadata, &tensors)
}

/// The factors of LongRoPE, which llama.cpp takes as tensors.
fn rope_factors(cfg: &DecoderConfig) -> Result<Vec<(String, Arc<QTensor>)>> {
    let Some(RopeScaling::Longrope { short_factor, long_factor, .. }) = &cfg.rope_scaling else {
        return Ok(Vec::new());
    };
    let mut tensors = Vec::with_capacity(2);
    for (name, factors) in
        [("rope_factors_short.weight", short_factor), ("rope_factors_long.weight", long_factor)]
    {
        let values: Vec<f32> = factors.iter().map(|&factor| factor as f32).collect();
        let tensor = Tensor::from_vec(values, factors.len(), &Device::Cpu)?;
        tensors.push((name.to_owned(), Arc::new(QTensor::quantize(&tensor, GgmlDType::F32)?)));
    }
    Ok(tensors)
}

fn theirs(full: &str, prefix: &str) -> Result<String> {
    let ours = full.strip_prefix(prefix).unwrap_or(full);
    gguf_name(ours).ok_or_else(|| Error::Gguf(format!("llama.cpp has no place for {full:?}")))
}

fn write(
    path: &Path,
    metadata: &[(String, gguf_file::Value)],
    tensors: &[(String, Arc<QTensor>)],
) -> Result<()> {
    let io = |source| Error::Io { path: path.to_owned(), source };
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut temporary = tempfile::Builder::new();
    // As any file that a program creates: readable as the user's mask says, not by the user alone.
    #[cfg(unix)]
    temporary.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = temporary.tempfile_in(folder).map_err(io)?;
    let metadata: Vec<(&str, &gguf_file::Value)> =
        metadata.iter().map(|(key, value)| (key.as_str(), value)).collect();
    let tensors: Vec<(&str, &QTensor)> =
        tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.as_ref())).collect();
    let mut out: BufWriter<&File> = BufWriter::new(file.as_file());
    gguf_file::write(&mut out, &metadata, &tensors)?;
    out.flush().map_err(io)?;
    drop(out);
    file.as_file().sync_all().map_err(io)?;
    file.persist_noclobber(path).map_err(|error| io(error.error))?;
    Ok(())
}
