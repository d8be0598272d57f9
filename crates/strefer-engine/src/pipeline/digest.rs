//! Digests of contents: what keys are made of.

use std::fs::File;
use std::path::{Path, PathBuf};

use blake3::Hasher;
use serde::{Deserialize, Serialize};
use strefer_core::jsonl::Writer;

use crate::error::{Error, Result};

fn io(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

/// Of a file's bytes, or of the names and bytes of all files in a folder (without those in folders inside it).
///
/// # Errors
/// A file that cannot be read.
pub fn of_path(path: &Path) -> Result<String> {
    let mut hasher = Hasher::new();
    if path.is_dir() {
        for file in files(path)? {
            hasher.update(file.file_name().unwrap_or_default().as_encoded_bytes());
            hasher.update(of_path(&file)?.as_bytes());
        }
    } else {
        let file = File::open(path).map_err(io(path))?;
        hasher.update_reader(file).map_err(io(path))?;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// The files of a folder, by name; hidden ones do not count.
fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(io(dir))? {
        let path = entry.map_err(io(dir))?.path();
        let hidden = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.'));
        if path.is_file() && !hidden {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Of anything that is written as JSON.
///
/// # Errors
/// What cannot be written so.
pub fn of_value<T: Serialize + ?Sized>(value: &T) -> Result<String> {
    let text = serde_json::to_vec(value).map_err(|error| Error::Config(error.to_string()))?;
    Ok(blake3::hash(&text).to_hex().to_string())
}

/// Size and time of the last change of a file, or of all files in a folder: whether a digest has to be taken again.
///
/// # Errors
/// A file that cannot be looked at.
pub fn state_of(path: &Path) -> Result<String> {
    let one = |path: &Path| {
        let facts = std::fs::metadata(path).map_err(io(path))?;
        let changed = facts.modified().ok().and_then(|at| at.duration_since(std::time::UNIX_EPOCH).ok());
        Ok((facts.len(), changed.map_or(0, |since| since.as_nanos())))
    };
    if path.is_dir() {
        let states = files(path)?.iter().map(|file| one(file)).collect::<Result<Vec<_>>>()?;
        let names = files(path)?;
        return of_value(&(names, states));
    }
    of_value(&one(path)?)
}

/// Digests of files and folders, remembered below a folder: what did not change since is not read again.
#[derive(Debug, Clone)]
pub struct Digests {
    dir: PathBuf,
}

#[derive(Serialize, Deserialize)]
struct Remembered {
    state: String,
    digest: String,
}

impl Digests {
    /// Remembers below `dir`.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// As [`of_path`].
    ///
    /// # Errors
    /// A file that cannot be read, or cannot be written down.
    pub fn of_path(&self, path: &Path) -> Result<String> {
        let state = state_of(path)?;
        let name = blake3::hash(path.as_os_str().as_encoded_bytes()).to_hex();
        let file = self.dir.join(&name[..2]).join(format!("{}.json", &name[..24]));
        let known =
            std::fs::read(&file).ok().and_then(|text| serde_json::from_slice::<Remembered>(&text).ok());
        if let Some(known) = known.filter(|known| known.state == state) {
            return Ok(known.digest);
        }
        let digest = of_path(path)?;
        let parent = file.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(parent).map_err(io(parent))?;
        let mut writer = Writer::create(&file)?;
        writer.write(&Remembered { state, digest: digest.clone() })?;
        writer.finish()?;
        Ok(digest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_is_remembered_until_the_file_changes() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("table.json");
        std::fs::write(&file, "one").unwrap();
        let digests = Digests::new(dir.path().join("digests"));
        let first = digests.of_path(&file).unwrap();
        assert_eq!(
            (digests.of_path(&file).unwrap(), of_path(&file).unwrap()),
            (first.clone(), first.clone())
        );
        std::fs::write(&file, "another").unwrap();
        assert_ne!(digests.of_path(&file).unwrap(), first);
        assert!(digests.of_path(&dir.path().join("nowhere")).is_err());
    }
}
