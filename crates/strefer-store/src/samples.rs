//! Samples of one or many files, read one at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use strefer_core::Sample;

use crate::error::{Error, Result};
use crate::lines::Lines;
use crate::location::{Kind, below, expanded, in_folder, is_address};
use crate::shards::Shard;
use crate::shelf::{Held, Shelf};
use crate::target::INCOMPLETE;

/// The samples that a name stands for, in the order of their files.
#[derive(Debug)]
pub struct SampleSet {
    files: Vec<Opened>,
    /// Samples before each file, and all.
    starts: Vec<usize>,
    shelf: Arc<Shelf>,
    media_root: PathBuf,
}

#[derive(Debug)]
struct Opened {
    path: PathBuf,
    content: Content,
    /// A local copy stays as long as its samples are read.
    _copy: Option<Held>,
}

#[derive(Debug)]
enum Content {
    Lines(Lines),
    #[cfg(feature = "parquet")]
    Parquet(crate::parquet::Rows),
    Shard(Shard),
}

impl SampleSet {
    /// Finds the samples, at most `cap` of them; none is read yet. Media that are not beside them in a shard lie below
    /// `media_root`, or where the samples lie. Copies of what lies elsewhere stand on `shelf`.
    ///
    /// # Errors
    /// Files that are not there, of another kind, or damaged; addresses that do not answer.
    pub fn open(
        path: &Path,
        media_root: Option<&Path>,
        cap: Option<usize>,
        shelf: &Arc<Shelf>,
    ) -> Result<Self> {
        let (mut files, mut starts) = (Vec::new(), vec![0]);
        for file in files_of(path, shelf)? {
            let before = starts[starts.len() - 1];
            let most = cap.map_or(usize::MAX, |cap| cap - before);
            if most == 0 {
                break;
            }
            let opened = open(&file, most, shelf)?;
            starts.push(before + opened.content.len());
            files.push(opened);
        }
        let folder = || match is_folder(path) {
            true => path.to_owned(),
            false => path.parent().map_or_else(PathBuf::new, PathBuf::from),
        };
        let media_root = media_root.map_or_else(folder, Path::to_owned);
        Ok(Self { files, starts, shelf: Arc::clone(shelf), media_root })
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.starts[self.starts.len() - 1]
    }

    /// Whether media stand beside their samples, in shards.
    pub(crate) fn has_shards(&self) -> bool {
        self.files.iter().any(|file| matches!(file.content, Content::Shard(_)))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The folder that media are relative to, unless they are brought by [`SampleSet::bring`].
    pub fn media_root(&self) -> &Path {
        &self.media_root
    }

    /// Where copies stand.
    pub(crate) fn shelf(&self) -> &Arc<Shelf> {
        &self.shelf
    }

    fn place(&self, index: usize) -> (&Opened, usize) {
        let file = self.starts.partition_point(|&start| start <= index) - 1;
        (&self.files[file], index - self.starts[file])
    }

    /// Reads the sample at a position below [`SampleSet::len`].
    ///
    /// # Errors
    /// What is there is no sample.
    pub fn get(&self, index: usize) -> Result<Sample> {
        let (file, at) = self.place(index);
        match &file.content {
            Content::Lines(lines) => lines.get(at),
            #[cfg(feature = "parquet")]
            Content::Parquet(rows) => rows.get(at),
            Content::Shard(shard) => shard.get(at),
        }
    }

    /// Brings the media of the sample at a position that are no local files, and tells the sample where they are. The
    /// copies stay as long as what is returned.
    ///
    /// # Errors
    /// A medium that cannot be had.
    pub fn bring(&self, index: usize, sample: &mut Sample) -> Result<Vec<Held>> {
        let (file, _) = self.place(index);
        let mut held = Vec::new();
        for medium in &mut sample.media {
            let copy = match &file.content {
                Content::Shard(shard) if shard.has(&medium.uri) => {
                    let key = format!("{}\0{}", file.path.display(), medium.uri);
                    self.shelf.copy(&key, &medium.uri, |to| shard.copy(&medium.uri, to))?
                }
                _ => match below(&self.media_root, &medium.uri) {
                    path if is_address(&path) => self.shelf.fetch(&path.to_string_lossy())?,
                    _ => continue,
                },
            };
            medium.uri = copy.path().to_string_lossy().into_owned();
            held.push(copy);
        }
        Ok(held)
    }
}

impl Content {
    fn len(&self) -> usize {
        match self {
            Self::Lines(lines) => lines.len(),
            #[cfg(feature = "parquet")]
            Self::Parquet(rows) => rows.len(),
            Self::Shard(shard) => shard.len(),
        }
    }
}

fn is_folder(path: &Path) -> bool {
    if is_address(path) { path.to_string_lossy().ends_with('/') } else { path.is_dir() }
}

fn files_of(path: &Path, shelf: &Arc<Shelf>) -> Result<Vec<PathBuf>> {
    let files = match is_folder(path) {
        true if is_address(path) => listed(shelf, path)?,
        true => in_folder(path)?,
        false => expanded(path)?,
    };
    if files.is_empty() {
        return Err(Error::NoFiles { path: path.to_owned() });
    }
    Ok(files)
}

fn open(path: &Path, most: usize, shelf: &Arc<Shelf>) -> Result<Opened> {
    let kind =
        Kind::of(&path.to_string_lossy()).ok_or_else(|| Error::UnknownKind { path: path.to_owned() })?;
    let copy = is_address(path).then(|| shelf.fetch(&path.to_string_lossy())).transpose()?;
    let file = copy.as_ref().map_or(path, Held::path);
    let content = match kind {
        Kind::Lines => Content::Lines(Lines::open(path, file, most)?),
        #[cfg(feature = "parquet")]
        Kind::Parquet => Content::Parquet(crate::parquet::Rows::open(path, file, most)?),
        #[cfg(not(feature = "parquet"))]
        Kind::Parquet => {
            return Err(Error::NotBuilt { what: path.display().to_string(), feature: "parquet" });
        }
        Kind::Shard => Content::Shard(Shard::open(path, file, most)?),
    };
    Ok(Opened { path: path.to_owned(), content, _copy: copy })
}

/// The files of samples right below an address.
fn listed(shelf: &Arc<Shelf>, address: &Path) -> Result<Vec<PathBuf>> {
    let mut files = shelf.remote.list(&address.to_string_lossy())?;
    if files.iter().any(|file| file.ends_with(INCOMPLETE)) {
        return Err(Error::Incomplete { address: address.to_string_lossy().into_owned() });
    }
    files.retain(|file| Kind::of(file).is_some());
    Ok(files.into_iter().map(PathBuf::from).collect())
}
