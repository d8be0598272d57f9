//! Where files go that belong together: a folder, or an address.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::error::{Error, Result, io};
use crate::location::is_address;
use crate::shelf::Shelf;

/// Says of what lies beside it at an address that it is not all there yet.
pub(crate) const INCOMPLETE: &str = ".incomplete";

/// Files that are all there or none: a folder has its name when everything is in it; at an address a file `.incomplete` lies there
/// until then, and what lies beside one is not read.
pub(crate) struct Target {
    name: PathBuf,
    /// Where files are written.
    path: PathBuf,
    kind: Kind,
}

enum Kind {
    Folder,
    Address { shelf: Arc<Shelf>, _folder: TempDir },
}

impl Target {
    /// A folder, or an address by way of `shelf`. What an earlier call left unfinished at an address goes, and nothing else does.
    ///
    /// # Errors
    /// It is there already, unless it was not written to the end; at an address lies what such a call never writes.
    pub(crate) fn new(name: &Path, shelf: &Arc<Shelf>) -> Result<Self> {
        let name = name.to_owned();
        if is_address(&name) {
            let address = folder_address(&name);
            let marker = format!("{address}{INCOMPLETE}");
            let there = shelf.list_below(&address)?;
            let (marked, left): (Vec<_>, Vec<_>) = there.into_iter().partition(|found| *found == marker);
            let is_ours = left.iter().all(|found| is_packed(&found[address.len()..]));
            if !left.is_empty() && (marked.is_empty() || !is_ours) {
                return Err(Error::Exists { path: name });
            }
            let folder = tempfile::Builder::new().prefix("strefer-out-").tempdir();
            let folder = folder.map_err(io(&std::env::temp_dir()))?;
            shelf.put_bytes(&marker, Vec::new())?;
            left.iter().try_for_each(|old| shelf.remove(old))?;
            let path = folder.path().to_owned();
            return Ok(Self {
                name,
                path,
                kind: Kind::Address { shelf: Arc::clone(shelf), _folder: folder },
            });
        }
        if name.exists() {
            return Err(Error::Exists { path: name });
        }
        let last = name.file_name().unwrap_or_default().to_string_lossy();
        let path = name.with_file_name(format!(".{last}.{}.tmp", std::process::id()));
        std::fs::create_dir_all(&path).map_err(io(&path))?;
        Ok(Self { name, path, kind: Kind::Folder })
    }

    /// Where files are written.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A file right in it is whole: at an address it goes there now, and takes no room here any more.
    pub(crate) fn whole(&self, file: &Path) -> Result<()> {
        let Kind::Address { shelf, .. } = &self.kind else { return Ok(()) };
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        shelf.put(file, &format!("{}{name}", folder_address(&self.name)))?;
        std::fs::remove_file(file).map_err(io(file))
    }

    /// Everything is there.
    pub(crate) fn finish(self) -> Result<()> {
        match &self.kind {
            Kind::Folder => std::fs::rename(&self.path, &self.name).map_err(io(&self.name)),
            Kind::Address { shelf, .. } => {
                shelf.remove(&format!("{}{INCOMPLETE}", folder_address(&self.name)))
            }
        }
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // After `finish` it has another name; otherwise what is half written must go.
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

/// Whether a name below an address is one that packing gives: a number of six digits or more, and the ending of samples.
fn is_packed(name: &str) -> bool {
    let (number, ending) = name.split_once('.').unwrap_or((name, ""));
    let is_number = number.len() >= 6 && number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && ["tar", "parquet", "jsonl.zst"].contains(&ending)
}

/// An address with the `/` at its end that makes it a folder's.
pub(crate) fn folder_address(address: &Path) -> String {
    format!("{}/", address.to_string_lossy().trim_end_matches('/'))
}

/// Puts files at an address, under their own names. What was there under these names is replaced; a file `.incomplete` says that
/// not all are new yet.
///
/// # Errors
/// A file that cannot be read, a store that does not take it. The call may be made again.
pub fn publish(files: &[PathBuf], address: &Path, shelf: &Arc<Shelf>) -> Result<()> {
    let address = folder_address(address);
    let marker = format!("{address}{INCOMPLETE}");
    shelf.put_bytes(&marker, Vec::new())?;
    for file in files {
        let name = file.file_name().unwrap_or_default().to_string_lossy();
        shelf.put(file, &format!("{address}{name}"))?;
    }
    shelf.remove(&marker)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_packing_gives_may_be_taken_away() {
        assert!(["000000.tar", "000012.parquet", "1000000.jsonl.zst"].into_iter().all(is_packed));
        for other in
            ["samples.jsonl", "samples.jsonl.zst", "videos/000001.tar", "00001.tar", "000001.mp4", "000001"]
        {
            assert!(!is_packed(other), "{other}");
        }
    }
}
