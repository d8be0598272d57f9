//! The published folder that a checkpoint came from: what besides tensors is needed to write such a folder again.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::checkpoint::{Checkpoint, read_json};
use crate::error::{Error, Result};
use crate::family::{Family, Layout};

/// The folder inside ours that keeps the published one's small files.
pub(crate) const FOLDER: &str = "origin";

/// Our note among them: how the tensors were named.
const NOTE: &str = "strefer.json";

/// Endings of files that hold weights.
const WEIGHTS: [&str; 10] =
    ["safetensors", "bin", "pt", "pth", "gguf", "h5", "msgpack", "onnx", "ot", "index.json"];

/// Larger files are not kept: nothing that describes a model has that size.
const LARGEST_BYTES: u64 = 64 << 20;

/// Configuration, tokenizer files and naming of a published folder.
#[derive(Debug, Clone)]
pub struct Origin {
    dir: PathBuf,
    /// How its tensors are named.
    pub layout: &'static Layout,
}

impl Origin {
    /// The origin of a checkpoint: itself, for a family's folder; what our folder keeps of one; none for a model that
    /// began as ours.
    ///
    /// # Errors
    /// Files that our folder should have kept cannot be read.
    pub fn of(checkpoint: &Checkpoint) -> Result<Option<Self>> {
        if let Some(layout) = checkpoint.layout()? {
            return Ok(Some(Self { dir: checkpoint.dir().to_owned(), layout }));
        }
        let dir = checkpoint.dir().join(FOLDER);
        if !dir.is_dir() {
            return Ok(None);
        }
        let family = Family::recognise(&read_json(&dir.join("config.json"))?);
        let path = dir.join(NOTE);
        let note = read_json(&path)?;
        let named = |layout: &&'static Layout| note["layout"].as_str() == Some(layout.name);
        match family.and_then(|family| family.layouts().iter().find(named)) {
            Some(layout) => Ok(Some(Self { dir, layout })),
            None => Err(Error::Config { path, reason: "it names no layout of the family beside it".into() }),
        }
    }

    /// Keeps its files in a folder of ours.
    pub(crate) fn keep_in(&self, checkpoint: &Path) -> Result<()> {
        let target = checkpoint.join(FOLDER);
        self.copy_to(&target, None)?;
        let path = target.join(NOTE);
        let note = json!({"layout": self.layout.name});
        fs::write(&path, format!("{note:#}\n")).map_err(io(&path))
    }

    /// Copies its files, `config.json` with the element type that the weights have now where it names one.
    pub(crate) fn copy_to(&self, target: &Path, dtype: Option<&str>) -> Result<()> {
        fs::create_dir_all(target).map_err(io(target))?;
        for entry in fs::read_dir(&self.dir).map_err(io(&self.dir))? {
            let entry = entry.map_err(io(&self.dir))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let facts = fs::metadata(entry.path()).map_err(io(&entry.path()))?;
            let describes = !WEIGHTS.iter().any(|ending| name.ends_with(ending)) && name != NOTE;
            if facts.is_file() && describes && facts.len() <= LARGEST_BYTES {
                fs::copy(entry.path(), target.join(&name)).map_err(io(&entry.path()))?;
            }
        }
        match dtype {
            Some(dtype) => rename_type(&target.join("config.json"), dtype),
            None => Ok(()),
        }
    }
}

/// Writes another element type where `config.json` names one.
fn rename_type(path: &Path, dtype: &str) -> Result<()> {
    let mut json: Value = read_json(path)?;
    for key in ["torch_dtype", "dtype"] {
        if let Some(named) = json.get_mut(key) {
            *named = dtype.into();
        }
    }
    fs::write(path, format!("{json:#}\n")).map_err(io(path))
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}
