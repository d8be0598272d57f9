//! A cache in a temporary folder, and what a test wants to know of it.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use strefer_hub::{Event, Hub, Result, Settings};

use crate::stand_in::{WEIGHTS, digest};

/// A cache, and a way to fetch into it.
pub struct Desk {
    pub dir: tempfile::TempDir,
    pub settings: Settings,
}

impl Desk {
    pub fn new(endpoint: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let settings = Settings {
            endpoint: endpoint.to_owned(),
            attempts: 1,
            pause: Duration::ZERO,
            ..Settings::new(dir.path())
        };
        Self { dir, settings }
    }

    pub fn fetch(&self, model: &str) -> Result<PathBuf> {
        self.watch(model, &mut |_| {})
    }

    pub fn watch(&self, model: &str, observe: &mut dyn FnMut(Event<'_>)) -> Result<PathBuf> {
        Hub::new(self.settings.clone())?.fetch(&model.parse()?, observe)
    }

    /// The folder of the model in the cache.
    pub fn model(&self) -> PathBuf {
        self.dir.path().join("models--a--b")
    }

    /// Where the blob of a text lies.
    pub fn blob(&self, name: &str, text: &str) -> PathBuf {
        self.model().join("blobs").join(digest(name, text))
    }

    /// Names of the files in the cache's blobs, digests of weights replaced by a word.
    pub fn blobs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.model().join("blobs")) else { return Vec::new() };
        let weights = digest("model.safetensors", WEIGHTS);
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        let mut names: Vec<String> = names.map(|name| name.replace(&weights, "WEIGHTS")).collect();
        names.sort();
        names
    }
}

/// Texts of all files below a folder, by their paths.
pub fn read_all(folder: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            found.extend(read_all(&path).into_iter().map(|(inner, text)| (format!("{name}/{inner}"), text)));
        } else {
            found.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    found
}
