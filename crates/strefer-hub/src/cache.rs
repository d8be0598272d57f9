//! The folder of one model in the cache, laid out as the hub's own programs lay it out, so that both find what the
//! other has downloaded:
//!
//! ```text
//! models--OWNER--NAME/blobs/DIGEST              a whole file
//! models--OWNER--NAME/blobs/DIGEST.incomplete   the beginning of one
//! models--OWNER--NAME/refs/main                 the commit that a branch or tag stood for
//! models--OWNER--NAME/snapshots/COMMIT/FILE     a link to the blob
//! .locks/models--OWNER--NAME/DIGEST.lock        held while a blob is downloaded
//! ```

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{Result, io};
use crate::listing::RemoteFile;
use crate::model::{HubModel, is_commit};

/// Where the files of a model are.
#[derive(Debug)]
pub(crate) struct ModelCache {
    root: PathBuf,
    locks: PathBuf,
}

impl ModelCache {
    pub fn new(cache: &Path, model: &HubModel) -> Self {
        let folder = format!("models--{}--{}", model.owner(), model.name());
        Self { locks: cache.join(".locks").join(&folder), root: cache.join(folder) }
    }

    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Where a whole file lies.
    pub fn blob(&self, file: &RemoteFile) -> PathBuf {
        self.root.join("blobs").join(&file.blob)
    }

    /// Where it grows.
    pub fn partial(&self, file: &RemoteFile) -> PathBuf {
        self.root.join("blobs").join(format!("{}.incomplete", file.blob))
    }

    /// The folder that a commit is opened as.
    pub fn snapshot(&self, commit: &str) -> PathBuf {
        self.root.join("snapshots").join(commit)
    }

    /// Whether the commit's folder has the whole file.
    pub fn holds(&self, commit: &str, file: &RemoteFile) -> bool {
        is_whole(&self.snapshot(commit).join(&file.name), file)
    }

    /// The commit that a revision stood for when it was last downloaded.
    pub fn commit(&self, model: &HubModel) -> Option<String> {
        if model.is_pinned() {
            return Some(model.revision().to_owned());
        }
        let commit = fs::read_to_string(self.root.join("refs").join(model.revision())).ok()?;
        Some(commit.trim().to_owned()).filter(|commit| is_commit(commit))
    }

    /// Notes the commit that a revision stands for; a commit stands for itself.
    pub fn set_commit(&self, model: &HubModel, commit: &str) -> Result<()> {
        if model.is_pinned() || self.commit(model).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.root.join("refs").join(model.revision());
        make_parent(&path)?;
        let mut temporary = path.clone().into_os_string();
        temporary.push(format!(".{}.tmp", std::process::id()));
        fs::write(&temporary, commit).and_then(|()| fs::rename(&temporary, &path)).map_err(io(path))
    }

    /// Makes a file's blob appear in the commit's folder.
    pub fn link(&self, commit: &str, file: &RemoteFile) -> Result<()> {
        let path = self.snapshot(commit).join(&file.name);
        make_parent(&path)?;
        match fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(path)(error)),
            _ => {}
        }
        match link(&self.blob(file), &up_to_blobs(&file.name).join(&file.blob), &path) {
            // Another program was faster.
            Err(_) if is_whole(&path, file) => Ok(()),
            linked => linked.map_err(io(path)),
        }
    }

    /// Keeps other programs from downloading the same blob until the file is dropped; none where one of them does.
    pub fn lock(&self, file: &RemoteFile) -> Result<Option<File>> {
        let path = self.locks.join(format!("{}.lock", file.blob));
        make_parent(&path)?;
        let lock = File::options().create(true).append(true).open(&path).map_err(io(&path))?;
        match lock.try_lock() {
            Ok(()) => Ok(Some(lock)),
            Err(TryLockError::WouldBlock) => Ok(None),
            // Some network file systems have no locks.
            Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(Some(lock)),
            Err(TryLockError::Error(error)) => Err(io(path)(error)),
        }
    }
}

/// Whether a file lies at `path` in its full size.
pub(crate) fn is_whole(path: &Path, file: &RemoteFile) -> bool {
    fs::metadata(path).is_ok_and(|facts| facts.is_file() && facts.len() == file.size)
}

/// Makes the folder that a file is to lie in.
pub(crate) fn make_parent(path: &Path) -> Result<()> {
    let parent = path.parent().unwrap_or(path);
    fs::create_dir_all(parent).map_err(io(parent))
}

/// The way from a file of a snapshot to the blobs.
fn up_to_blobs(name: &str) -> PathBuf {
    let mut way = PathBuf::from("../..");
    way.extend(name.matches('/').map(|_| ".."));
    way.join("blobs")
}

#[cfg(unix)]
fn link(_blob: &Path, relative: &Path, path: &Path) -> std::io::Result<()> {
    std::os::unix::fs::symlink(relative, path)
}

/// Symbolic links need a privilege on Windows.
#[cfg(not(unix))]
fn link(blob: &Path, _relative: &Path, path: &Path) -> std::io::Result<()> {
    fs::hard_link(blob, path)
}
