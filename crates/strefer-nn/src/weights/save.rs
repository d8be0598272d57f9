//! Saves tensors as safetensors, whole or in shards, in such a way that a failure leaves the previous files alone. One
//! tensor is read at a time, so weights that are not in memory need not fit there.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor};
use serde_json::json;

use super::Weights;
use crate::error::{Error, Result};

/// Opens the file that a shard is written to. Tests put writers here that fail.
type Create<'a> = &'a dyn Fn(&Path) -> std::io::Result<Box<dyn SyncWrite>>;

/// A writer that can also push its bytes to the disk.
pub trait SyncWrite: Write {
    /// Waits until everything written lies on the disk.
    fn sync(&mut self) -> std::io::Result<()>;
}

impl SyncWrite for BufWriter<File> {
    fn sync(&mut self) -> std::io::Result<()> {
        self.flush()?;
        self.get_ref().sync_all()
    }
}

/// Writes `dir/name.safetensors`, or shards of at most `max_shard_bytes` with an index beside them, and returns the
/// files. Everything goes to temporary files first, which take the final names after all of them lie on the disk.
pub fn save_safetensors(
    dir: impl AsRef<Path>,
    name: &str,
    tensors: &Weights,
    max_shard_bytes: usize,
    metadata: &BTreeMap<String, String>,
) -> Result<Vec<PathBuf>> {
    save_safetensors_with(dir.as_ref(), name, tensors, max_shard_bytes, metadata, &|path| {
        Ok(Box::new(BufWriter::with_capacity(1 << 20, File::create(path)?)))
    })
}

/// As [`save_safetensors`], with `create` opening the temporary files.
pub fn save_safetensors_with(
    dir: &Path,
    name: &str,
    tensors: &Weights,
    max_shard_bytes: usize,
    metadata: &BTreeMap<String, String>,
    create: Create<'_>,
) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(dir).map_err(Error::io(dir))?;
    let shards = split(tensors, max_shard_bytes);
    let count = shards.len();
    let mut written: Vec<(PathBuf, PathBuf)> = Vec::new();
    let result = (|| {
        let mut weight_map = serde_json::Map::new();
        let mut total_size = 0;
        for (at, shard) in shards.iter().enumerate() {
            let file = if count == 1 {
                format!("{name}.safetensors")
            } else {
                format!("{name}-{:05}-of-{count:05}.safetensors", at + 1)
            };
            let path = temporary(dir, &file);
            written.push((path.clone(), dir.join(&file)));
            let mut out = create(&path).map_err(Error::io(&path))?;
            write_shard(&mut *out, &path, tensors, shard, metadata)?;
            out.sync().map_err(Error::io(&path))?;
            for tensor_name in shard {
                weight_map.insert((*tensor_name).to_owned(), json!(file));
                total_size += tensors.size(tensor_name);
            }
        }
        let index = format!("{name}.safetensors.index.json");
        if count > 1 {
            let path = temporary(dir, &index);
            written.push((path.clone(), dir.join(&index)));
            let body = json!({"metadata": {"total_size": total_size}, "weight_map": weight_map});
            let mut out = create(&path).map_err(Error::io(&path))?;
            let text = format!("{body:#}\n");
            out.write_all(text.as_bytes()).and_then(|()| out.sync()).map_err(Error::io(&path))?;
        }
        for (from, to) in &written {
            std::fs::rename(from, to).map_err(Error::io(to))?;
        }
        if count == 1 {
            // An index of an earlier, larger save would hide the file just written.
            remove_if_there(&dir.join(&index))?;
        }
        File::open(dir).and_then(|d| d.sync_all()).map_err(Error::io(dir))
    })();
    if let Err(error) = result {
        for (path, _) in &written {
            let _ = std::fs::remove_file(path);
        }
        return Err(error);
    }
    Ok(written.into_iter().map(|(_, path)| path).collect())
}

fn temporary(dir: &Path, file: &str) -> PathBuf {
    dir.join(format!(".{file}.{}.tmp", std::process::id()))
}

fn remove_if_there(path: &Path) -> Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(Error::io(path)(error)),
        _ => Ok(()),
    }
}

/// Cuts the tensors, in order of their names, into groups of at most `limit` bytes (a larger tensor stands alone).
fn split(tensors: &Weights, limit: usize) -> Vec<Vec<&str>> {
    let mut shards: Vec<Vec<&str>> = vec![Vec::new()];
    let mut filled = 0;
    for name in tensors.names() {
        let size = tensors.size(name);
        if filled > 0 && filled + size > limit {
            shards.push(Vec::new());
            filled = 0;
        }
        filled += size;
        if let Some(last) = shards.last_mut() {
            last.push(name);
        }
    }
    shards
}

/// One file: length of the header, header, then the values, widest types first so that all of them are aligned.
fn write_shard(
    out: &mut dyn SyncWrite,
    path: &Path,
    tensors: &Weights,
    shard: &[&str],
    metadata: &BTreeMap<String, String>,
) -> Result<()> {
    let dtype = |name: &str| tensors.dtype(name).unwrap_or(DType::F32);
    let mut shard = shard.to_vec();
    shard.sort_by_key(|name| (std::cmp::Reverse(dtype(name).size_in_bytes()), *name));
    let mut header = serde_json::Map::new();
    if !metadata.is_empty() {
        header.insert("__metadata__".into(), json!(metadata));
    }
    let mut offset = 0;
    for &name in &shard {
        let end = offset + tensors.size(name);
        let dtype: safetensors::Dtype = dtype(name).into();
        let dtype = serde_json::to_value(dtype)
            .map_err(|error| Error::Malformed { path: path.to_path_buf(), reason: error.to_string() })?;
        header.insert(
            name.to_owned(),
            json!({"dtype": dtype, "shape": tensors.shape(name), "data_offsets": [offset, end]}),
        );
        offset = end;
    }
    let mut header = serde_json::Value::Object(header).to_string().into_bytes();
    header.resize(header.len().next_multiple_of(8), b' ');
    out.write_all(&(header.len() as u64).to_le_bytes()).map_err(Error::io(path))?;
    out.write_all(&header).map_err(Error::io(path))?;
    for name in &shard {
        out.write_all(&tensors.bytes(name)?).map_err(Error::io(path))?;
    }
    Ok(())
}

/// The values as they stand in a file.
pub(super) fn little_endian(tensor: &Tensor) -> candle_core::Result<Vec<u8>> {
    let flat = tensor.to_device(&Device::Cpu)?.flatten_all()?;
    fn bytes<T: candle_core::WithDType, const N: usize>(
        flat: &Tensor,
        to: impl Fn(T) -> [u8; N],
    ) -> candle_core::Result<Vec<u8>> {
        Ok(flat.to_vec1::<T>()?.into_iter().flat_map(to).collect())
    }
    match flat.dtype() {
        DType::U8 => flat.to_vec1::<u8>(),
        DType::U32 => bytes(&flat, u32::to_le_bytes),
        DType::I16 => bytes(&flat, i16::to_le_bytes),
        DType::I32 => bytes(&flat, i32::to_le_bytes),
        DType::I64 => bytes(&flat, i64::to_le_bytes),
        DType::BF16 => bytes(&flat, half::bf16::to_le_bytes),
        DType::F16 => bytes(&flat, half::f16::to_le_bytes),
        DType::F32 => bytes(&flat, f32::to_le_bytes),
        DType::F64 => bytes(&flat, f64::to_le_bytes),
        other => candle_core::bail!("tensors of type {other:?} cannot be saved"),
    }
}
