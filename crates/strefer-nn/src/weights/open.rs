//! Opens a folder of safetensors, a single file, or a torch pickle, and hands out tensors by name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use candle_core::pickle::PthTensors;
use candle_core::safetensors::{Load, MmapedSafetensors};
use candle_core::{DType, Device, Tensor};

use super::save::little_endian;
use crate::error::{Error, Result};

/// Where one tensor's values lie.
#[derive(Clone)]
enum Source {
    Safetensors(Arc<MmapedSafetensors>),
    Pickle(Arc<PthTensors>),
    Memory(Tensor),
    /// A weight and the two matrices of a low-rank update.
    Update {
        base: Box<Entry>,
        lora_a: Box<Entry>,
        lora_b: Box<Entry>,
        scale: f64,
    },
    /// The mean of several tensors of one shape.
    Mean(Vec<Entry>),
}

#[derive(Clone)]
struct Entry {
    source: Source,
    /// The name inside the source, which renaming leaves alone.
    stored_name: String,
    shape: Vec<usize>,
    dtype: DType,
}

impl Entry {
    /// The values as `dtype` on the CPU; none if the source does not hold them after all.
    fn read(&self, dtype: DType) -> candle_core::Result<Option<Tensor>> {
        let tensor = match &self.source {
            Source::Safetensors(file) => file.get(&self.stored_name)?.load(&Device::Cpu)?,
            Source::Pickle(file) => match file.get(&self.stored_name)? {
                Some(tensor) => tensor,
                None => return Ok(None),
            },
            Source::Memory(tensor) => tensor.clone(),
            Source::Update { base, lora_a, lora_b, scale } => {
                let parts = (base.read(DType::F32)?, lora_a.read(DType::F32)?, lora_b.read(DType::F32)?);
                let (Some(base), Some(lora_a), Some(lora_b)) = parts else { return Ok(None) };
                (base + (lora_b.matmul(&lora_a)? * *scale)?)?
            }
            Source::Mean(entries) => {
                let mut sum: Option<Tensor> = None;
                for entry in entries {
                    let Some(tensor) = entry.read(DType::F64)? else { return Ok(None) };
                    sum = Some(match sum {
                        Some(sum) => (sum + tensor)?,
                        None => tensor,
                    });
                }
                let Some(sum) = sum else { return Ok(None) };
                (sum / entries.len() as f64)?
            }
        };
        tensor.to_dtype(dtype).map(Some)
    }
}

/// Named tensors, most of them not read yet. Safetensors are mapped into memory, so opening is cheap.
#[derive(Clone)]
pub struct Weights {
    origin: String,
    entries: BTreeMap<String, Entry>,
}

impl std::fmt::Debug for Weights {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Weights({}, {} tensors)", self.origin, self.entries.len())
    }
}

impl Weights {
    /// Opens a folder (an index, `model*.safetensors`, `pytorch_model*.bin` or its only `.pt`), a `.safetensors` file, or
    /// a torch `.bin`, `.pt` or `.pth` file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let meta = std::fs::metadata(path).map_err(Error::io(path))?;
        let files = if meta.is_dir() { weight_files(path)? } else { vec![path.to_path_buf()] };
        let mut entries = BTreeMap::new();
        for file in &files {
            let pickled = file.extension().is_some_and(|e| ["bin", "pt", "pth"].iter().any(|x| e == *x));
            for (name, entry) in if pickled { open_pickle(file)? } else { open_safetensors(file)? } {
                if entries.insert(name.clone(), entry).is_some() {
                    return Err(Error::DuplicateTensor { origin: path.display().to_string(), name });
                }
            }
        }
        Ok(Self { origin: path.display().to_string(), entries })
    }

    /// Weights that are in memory already.
    pub fn from_tensors(origin: impl Into<String>, tensors: BTreeMap<String, Tensor>) -> Self {
        let entry = |(name, tensor): (String, Tensor)| {
            let (shape, dtype) = (tensor.dims().to_vec(), tensor.dtype());
            let source = Source::Memory(tensor.detach());
            (name.clone(), Entry { source, stored_name: name, shape, dtype })
        };
        Self { origin: origin.into(), entries: tensors.into_iter().map(entry).collect() }
    }

    /// Where the weights come from, for messages.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// All names in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.entries.keys().map(String::as_str)
    }

    /// Whether `name` is there.
    pub fn contains(&self, name: &str) -> bool {
        self.entries.contains_key(name)
    }

    /// The shape of `name`, read from the header alone.
    pub fn shape(&self, name: &str) -> Option<&[usize]> {
        self.entries.get(name).map(|entry| entry.shape.as_slice())
    }

    /// The type in which `name` is stored.
    pub fn dtype(&self, name: &str) -> Option<DType> {
        self.entries.get(name).map(|entry| entry.dtype)
    }

    /// Renames every tensor; `None` leaves it out. Two tensors may not get the same name.
    pub fn renamed(self, rename: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let mut entries = BTreeMap::new();
        for (name, entry) in self.entries {
            let Some(name) = rename(&name) else { continue };
            if entries.insert(name.clone(), entry).is_some() {
                return Err(Error::DuplicateTensor { origin: self.origin, name });
            }
        }
        Ok(Self { origin: self.origin, entries })
    }

    /// Both sets together, for a model whose parts come from several places. A name may occur only once.
    pub fn joined(mut self, other: Self) -> Result<Self> {
        self.origin = format!("{} + {}", self.origin, other.origin);
        for (name, entry) in other.entries {
            if self.entries.insert(name.clone(), entry).is_some() {
                return Err(Error::DuplicateTensor { origin: self.origin, name });
            }
        }
        Ok(self)
    }

    /// The same tensors, those of floating-point numbers as `dtype`.
    pub fn cast(mut self, dtype: DType) -> Self {
        for entry in self.entries.values_mut().filter(|entry| entry.dtype.is_float()) {
            entry.dtype = dtype;
        }
        self
    }

    /// Folds low-rank updates into the weights they belong to, each when it is read: what is left has the names and
    /// shapes of the plain model. `alpha` is that of the [`LoraConfig`](crate::LoraConfig).
    ///
    /// # Errors
    /// An update of which a part or its weight is missing.
    pub fn merge_lora(mut self, alpha: f64) -> Result<Self> {
        let (updates, mut plain): (BTreeMap<_, _>, BTreeMap<_, _>) =
            self.entries.into_iter().partition(|(name, _)| name.contains(".lora_"));
        let missing = |name: String| Error::MissingTensor { origin: self.origin.clone(), name };
        for name in updates.keys() {
            let base = name.split_once(".lora_").map_or(name.as_str(), |(base, _)| base);
            let part = |which: &str| {
                let name = format!("{base}.lora_{which}.weight");
                updates.get(&name).cloned().map(Box::new).ok_or_else(|| missing(name))
            };
            let (lora_a, lora_b) = (part("A")?, part("B")?);
            // Both matrices lead here; the second time the update is there already.
            let weight = format!("{base}.weight");
            let plain = plain.get_mut(&weight).ok_or_else(|| missing(weight))?;
            if !matches!(plain.source, Source::Update { .. }) {
                let scale = alpha / lora_a.shape.first().copied().unwrap_or_default().max(1) as f64;
                let base = Box::new(plain.clone());
                plain.source = Source::Update { base, lora_a, lora_b, scale };
            }
        }
        self.entries = plain;
        Ok(self)
    }

    /// The mean of these weights and others of the same model, each tensor when it is read; every set counts alike (a
    /// uniform model soup, arXiv 2203.05482). Types are those of these weights.
    ///
    /// # Errors
    /// The sets do not hold tensors of the same names and shapes.
    pub fn mean(mut self, others: impl IntoIterator<Item = Self>) -> Result<Self> {
        let mut sets: BTreeMap<String, Vec<Entry>> =
            self.entries.iter().map(|(name, entry)| (name.clone(), vec![entry.clone()])).collect();
        for other in others {
            let lacking = |name: &&String| !other.entries.contains_key(*name);
            if let Some(name) = self.entries.keys().find(lacking) {
                return Err(Error::MissingTensor { origin: other.origin, name: name.clone() });
            }
            for (name, entry) in other.entries {
                let Some(set) = sets.get_mut(&name) else {
                    return Err(Error::MissingTensor { origin: self.origin, name });
                };
                if entry.shape != set[0].shape {
                    let (found, wanted) = (entry.shape, set[0].shape.clone());
                    return Err(Error::Shape { origin: other.origin, name, found, wanted });
                }
                set.push(entry);
            }
        }
        for (name, set) in sets {
            let (shape, dtype) = (set[0].shape.clone(), set[0].dtype);
            let entry = Entry { source: Source::Mean(set), stored_name: name.clone(), shape, dtype };
            self.entries.insert(name, entry);
        }
        Ok(self)
    }

    /// Reads one tensor, converted to `dtype` on `device`.
    pub fn load(&self, name: &str, dtype: DType, device: &Device) -> Result<Tensor> {
        let missing = || Error::MissingTensor { origin: self.origin.clone(), name: name.to_string() };
        let tensor = self.entries.get(name).ok_or_else(missing)?.read(dtype)?.ok_or_else(missing)?;
        Ok(tensor.to_device(device)?.contiguous()?)
    }

    /// Reads one tensor as it is stored, as the bytes that safetensors hold.
    pub fn bytes(&self, name: &str) -> Result<Vec<u8>> {
        Ok(little_endian(&self.load(name, self.dtype(name).unwrap_or(DType::F32), &Device::Cpu)?)?)
    }

    /// Bytes of a tensor as it is stored; none where there is no such tensor.
    pub fn size(&self, name: &str) -> usize {
        let size = |entry: &Entry| entry.shape.iter().product::<usize>() * entry.dtype.size_in_bytes();
        self.entries.get(name).map_or(0, size)
    }

    /// Reads one tensor that must have the shape `wanted`.
    pub fn load_shaped(&self, name: &str, wanted: &[usize], dtype: DType, device: &Device) -> Result<Tensor> {
        let found = self.shape(name).unwrap_or(wanted);
        if found != wanted {
            return Err(Error::Shape {
                origin: self.origin.clone(),
                name: name.to_string(),
                found: found.to_vec(),
                wanted: wanted.to_vec(),
            });
        }
        self.load(name, dtype, device)
    }
}

/// The files of a folder that together hold a model.
fn weight_files(dir: &Path) -> Result<Vec<PathBuf>> {
    for index_name in ["model.safetensors.index.json", "pytorch_model.bin.index.json"] {
        let index = dir.join(index_name);
        if index.is_file() {
            return indexed_files(dir, &index);
        }
    }
    let (mut safetensors, mut pickles, mut checkpoints) = (Vec::new(), Vec::new(), Vec::new());
    for item in std::fs::read_dir(dir).map_err(Error::io(dir))? {
        let path = item.map_err(Error::io(dir))?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if name.starts_with("model") && name.ends_with(".safetensors") {
            safetensors.push(path);
        } else if name.starts_with("pytorch_model") && name.ends_with(".bin") {
            pickles.push(path);
        } else if name.ends_with(".pt") || name.ends_with(".pth") {
            checkpoints.push(path);
        }
    }
    if safetensors.is_empty() && pickles.is_empty() && checkpoints.len() > 1 {
        let reason = format!("{} torch files, of which one must be named", checkpoints.len());
        return Err(Error::Malformed { path: dir.to_path_buf(), reason });
    }
    let mut files =
        [safetensors, pickles, checkpoints].into_iter().find(|files| !files.is_empty()).unwrap_or_default();
    files.sort();
    // A whole file beside shards without an index would hold everything twice.
    if let Some(whole) = files.iter().find(|f| f.ends_with("model.safetensors")).cloned() {
        files = vec![whole];
    }
    if files.is_empty() { Err(Error::NoWeights { path: dir.to_path_buf() }) } else { Ok(files) }
}

/// The files that an index names, which lie beside it.
fn indexed_files(dir: &Path, path: &Path) -> Result<Vec<PathBuf>> {
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let text = std::fs::read_to_string(path).map_err(Error::io(path))?;
    let index: Index = serde_json::from_str(&text)
        .map_err(|error| Error::Malformed { path: path.to_path_buf(), reason: error.to_string() })?;
    let mut names: Vec<String> = index.weight_map.into_values().collect();
    names.sort();
    names.dedup();
    let file = |name: String| {
        let beside = Path::new(&name).file_name().is_some_and(|last| last == name.as_str());
        if beside && dir.join(&name).is_file() {
            Ok(dir.join(name))
        } else {
            Err(Error::IndexedFile { index: path.to_path_buf(), file: name })
        }
    };
    names.into_iter().map(file).collect()
}

fn open_safetensors(path: &Path) -> Result<Vec<(String, Entry)>> {
    std::fs::metadata(path).map_err(Error::io(path))?;
    // SAFETY: the map is read-only; like every reader of mapped weights we rely on nobody truncating the file
    // while it is open. Our own writer replaces files by renaming, which leaves old maps intact.
    let file = unsafe { MmapedSafetensors::new(path) }
        .map_err(|error| Error::Malformed { path: path.to_path_buf(), reason: error.to_string() })?;
    let file = Arc::new(file);
    let entry = |(name, view): (String, safetensors::tensor::TensorView<'_>)| {
        let dtype = DType::try_from(view.dtype()).map_err(|error| Error::Malformed {
            path: path.to_path_buf(),
            reason: format!("{name}: {error}"),
        })?;
        let source = Source::Safetensors(file.clone());
        Ok((name.clone(), Entry { source, stored_name: name, shape: view.shape().to_vec(), dtype }))
    };
    file.tensors().into_iter().map(entry).collect()
}

fn open_pickle(path: &Path) -> Result<Vec<(String, Entry)>> {
    let malformed = |error: candle_core::Error| Error::Malformed {
        path: path.to_path_buf(),
        reason: format!("not a torch file: {error}"),
    };
    std::fs::metadata(path).map_err(Error::io(path))?;
    let mut file = PthTensors::new(path, None).map_err(malformed)?;
    // Training scripts wrap the weights in a dictionary.
    for key in ["model_state_dict", "state_dict", "model"] {
        if !file.tensor_infos().is_empty() {
            break;
        }
        if let Ok(inner) = PthTensors::new(path, Some(key)) {
            file = inner;
        }
    }
    if file.tensor_infos().is_empty() {
        return Err(Error::Malformed { path: path.to_path_buf(), reason: "holds no tensors".into() });
    }
    let file = Arc::new(file);
    let entry = |(name, info): (&String, &candle_core::pickle::TensorInfo)| {
        let source = Source::Pickle(file.clone());
        let shape = info.layout.dims().to_vec();
        (name.clone(), Entry { source, stored_name: name.clone(), shape, dtype: info.dtype })
    };
    Ok(file.tensor_infos().iter().map(entry).collect())
}
