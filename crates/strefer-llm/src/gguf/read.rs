//! Reading.

use std::fs::File;
use std::io::{BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::Device;
use candle_core::quantized::{QTensor, gguf_file};

use super::names::{architecture, gguf_name};
use crate::decoder::DecoderConfig;
use crate::error::{Error, Result};

/// An open GGUF file. Only its header is in memory.
#[derive(Debug)]
pub struct Gguf {
    path: PathBuf,
    content: gguf_file::Content,
    file: Mutex<BufReader<File>>,
}

impl Gguf {
    /// Reads the header.
    ///
    /// # Errors
    /// A file that is not there, or whose header is damaged or says more than the file holds.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let io = |source| Error::Io { path: path.clone(), source };
        let mut file = BufReader::new(File::open(&path).map_err(io)?);
        let content = gguf_file::Content::read(&mut file)
            .map_err(|error| Error::Gguf(format!("{}: {}", path.display(), first_line(&error))))?;
        let length = file.seek(SeekFrom::End(0)).map_err(io)?;
        for (name, info) in &content.tensor_infos {
            let bytes = info.shape.elem_count() / info.ggml_dtype.block_size() * info.ggml_dtype.type_size();
            let end = content.tensor_data_offset.saturating_add(info.offset).saturating_add(bytes as u64);
            if end > length {
                let reason = format!("{}: {name:?} ends beyond the file, which is cut off", path.display());
                return Err(Error::Gguf(reason));
            }
        }
        Ok(Self { path, content, file: Mutex::new(file) })
    }

    /// Fails unless the file holds a decoder of `cfg`.
    pub fn check(&self, cfg: &DecoderConfig) -> Result<()> {
        let bad = |reason: String| Err(Error::Gguf(format!("{}: {reason}", self.path.display())));
        let wanted = architecture(cfg.layout);
        let found = self.content.metadata.get("general.architecture");
        let found = found.and_then(|value| value.to_string().ok()).map_or("nothing", String::as_str);
        if found != wanted {
            return bad(format!("the architecture is {found:?}, the model's {wanted:?}"));
        }
        for (key, wanted) in [
            ("block_count", cfg.num_hidden_layers),
            ("embedding_length", cfg.hidden_size),
            ("feed_forward_length", cfg.intermediate_size),
            ("attention.head_count", cfg.num_attention_heads),
            ("attention.head_count_kv", cfg.num_key_value_heads),
        ] {
            let key = format!("{found}.{key}");
            let value = self.content.metadata.get(&key).and_then(|value| value.to_u32().ok());
            if value != u32::try_from(wanted).ok() {
                return bad(format!("{key} is {value:?}, the model's {wanted}"));
            }
        }
        Ok(())
    }

    /// Whether the file has a matrix for one of our decoder's parameters.
    pub fn has_matrix(&self, ours: &str) -> bool {
        let info = gguf_name(ours).and_then(|theirs| self.content.tensor_infos.get(&theirs));
        info.is_some_and(|info| info.shape.rank() == 2)
    }

    /// The tensor of one of our decoder's parameters, as it lies in the file.
    ///
    /// # Errors
    /// There is none, or it cannot be read.
    pub fn tensor(&self, ours: &str, device: &Device) -> Result<Arc<QTensor>> {
        let bad = |reason: String| Error::Gguf(format!("{}: {reason}", self.path.display()));
        let theirs = gguf_name(ours).filter(|theirs| self.content.tensor_infos.contains_key(theirs));
        let theirs = theirs.ok_or_else(|| bad(format!("there is no tensor for {ours:?}")))?;
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let tensor = self.content.tensor(&mut *file, &theirs, device);
        tensor.map(Arc::new).map_err(|error| bad(format!("{theirs:?}: {}", first_line(&error))))
    }
}

/// What went wrong, without the trace that candle may put below it.
fn first_line(error: &candle_core::Error) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}
