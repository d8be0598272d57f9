//! Where the files of a benchmark lie, and which of them are missing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::item::Item;
use crate::error::{Error, Result};

/// A benchmark's own folder below the root of all benchmarks.
#[derive(Debug, Clone)]
pub(super) struct Layout {
    benchmark: &'static str,
    root: PathBuf,
    folder: &'static str,
}

impl Layout {
    /// The folder `folder` below `root`.
    pub fn new(benchmark: &'static str, root: &Path, folder: &'static str) -> Self {
        Self { benchmark, root: root.to_owned(), folder }
    }

    /// Files or folders of these names, all of which must be there.
    ///
    /// # Errors
    /// Those that are missing, all at once.
    pub fn files<const N: usize>(&self, names: [&str; N]) -> Result<[PathBuf; N]> {
        let paths = names.map(|name| self.root.join(self.folder).join(name));
        let missing: Vec<PathBuf> = paths.iter().filter(|path| !path.exists()).cloned().collect();
        if missing.is_empty() {
            return Ok(paths);
        }
        Err(Error::MissingFiles { benchmark: self.benchmark.to_owned(), files: missing })
    }

    /// The first of `names` that is there.
    ///
    /// # Errors
    /// None is there; the first is named.
    pub fn first_file<const N: usize>(&self, names: [&str; N]) -> Result<PathBuf> {
        let mut paths = names.iter().map(|name| self.root.join(self.folder).join(name));
        let missing = || Error::MissingFiles {
            benchmark: self.benchmark.to_owned(),
            files: names.first().map(|name| self.root.join(self.folder).join(name)).into_iter().collect(),
        };
        paths.find(|path| path.exists()).ok_or_else(missing)
    }

    /// The path of a medium relative to the root.
    pub fn uri(&self, name: &str) -> String {
        format!("{}/{name}", self.folder)
    }

    /// The first of `names` that is there, or else the first of them, relative to the root.
    pub fn first_uri(&self, names: impl IntoIterator<Item = String>) -> String {
        let mut uris = names.into_iter().map(|name| self.uri(&name)).peekable();
        let first = uris.peek().cloned().unwrap_or_default();
        uris.find(|uri| self.root.join(uri).exists()).unwrap_or(first)
    }
}

/// Media of items that are not there, each once, relative to the root.
pub fn missing_media(items: &[Item], root: &Path) -> Vec<String> {
    let uris: BTreeSet<&str> =
        items.iter().flat_map(|item| &item.sample.media).map(|media| media.uri.as_str()).collect();
    uris.into_iter().filter(|uri| !root.join(uri).exists()).map(str::to_owned).collect()
}
