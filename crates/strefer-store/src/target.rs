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
    /// A folder, or an address by way of `shelf`.
    ///
    /// # Errors
    /// It is there already, unless it was not written to the end.
    pub(crate) fn new(name: &Path, shelf: &Arc<Shelf>) -> Result<Self> {
        let name = name.to_owned();
        if is_address(&name) {
            let target = |name: PathBuf| -> Result<Self> {
                let folder = tempfile::Builder::new().prefix("strefer-out-").tempdir();
                let folder = folder.map_err(io(&std::env::temp_dir()))?;
                let path = folder.path().to_owned();
                Ok(Self { name, path, kind: Kind::Address { shelf: Arc::clone(shelf), _folder: folder } })
            };
            let address = folder_address(&name);
            let there = shelf.list_below(&address)?;
            let is_incomplete = there.contains(&format!("{address}{INCOMPLETE}"));
            if !there.is_empty() && !is_incomplete {
                return Err(Error::Exists { path: name });
            }
            shelf.put_bytes(&format!("{address}{INCOMPLETE}"), Vec::new())?;
            for old in there.iter().filter(|old| !old.ends_with(INCOMPLETE)) {
                shelf.remove(old)?;
            }
            return target(name);
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
