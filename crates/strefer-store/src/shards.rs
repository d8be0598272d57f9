//! WebDataset shards: tar files in which a sample's record (`KEY.json`) stands beside its media (`KEY.mp4`).

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufReader, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use strefer_core::Sample;
use strefer_core::records::{LineRecord, Record};

use crate::error::{Error, Result, io};

/// Bytes that are copied at a time.
const PORTION: usize = 1 << 20;

/// Where a member's bytes are.
#[derive(Debug, Clone, Copy)]
struct Place {
    start: u64,
    len: u64,
}

/// One shard. Its members are found once, by their headers; records and media are read when they are asked for.
#[derive(Debug)]
pub(crate) struct Shard {
    path: PathBuf,
    file: File,
    /// Records with their names, in the order of the file.
    records: Vec<(Box<str>, Place)>,
    /// Everything else.
    media: HashMap<Box<str>, Place>,
}

impl Shard {
    /// `path` is for messages.
    pub(crate) fn open(path: &Path, file: &Path, most: usize) -> Result<Self> {
        let file = File::open(file).map_err(io(path))?;
        let (mut records, mut media) = (Vec::new(), HashMap::new());
        let mut archive = tar::Archive::new(BufReader::new(&file));
        for entry in archive.entries_with_seek().map_err(io(path))? {
            let entry = entry.map_err(io(path))?;
            if !entry.header().entry_type().is_file() {
                continue;
            }
            let name: Box<str> = entry.path().map_err(io(path))?.to_string_lossy().into();
            let place = Place { start: entry.raw_file_position(), len: entry.size() };
            match name.ends_with(".json") {
                true if records.len() < most => records.push((name, place)),
                true => {}
                false => drop(media.insert(name, place)),
            }
        }
        let whole = file.metadata().map_err(io(path))?.len();
        let last = records.iter().map(|(name, place)| (name, place)).chain(&media);
        if let Some((name, _)) = last.into_iter().find(|(_, place)| place.start + place.len > whole) {
            let (member, reason) = (name.to_string(), "the shard ends within it".to_owned());
            return Err(Error::Member { path: path.to_owned(), member, reason });
        }
        Ok(Self { path: path.to_owned(), file, records, media })
    }

    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn get(&self, index: usize) -> Result<Sample> {
        let (name, place) = &self.records[index];
        let mut bytes = vec![0; place.len as usize];
        self.file.read_exact_at(&mut bytes, place.start).map_err(io(&self.path))?;
        let bad =
            |reason: String| Error::Member { path: self.path.clone(), member: name.to_string(), reason };
        let record: Record = serde_json::from_slice(&bytes).map_err(|error| bad(error.to_string()))?;
        Sample::from_record(record).map_err(|found| bad(format!("a record of type {found:?}, not a sample")))
    }

    /// Whether the shard holds this medium.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.media.contains_key(name)
    }

    /// Writes a medium to `file`.
    pub(crate) fn copy(&self, name: &str, file: &Path) -> Result<()> {
        let Some(place) = self.media.get(name) else {
            let (member, reason) = (name.to_owned(), "is not in the shard".to_owned());
            return Err(Error::Member { path: self.path.clone(), member, reason });
        };
        let mut out = File::create_new(file).map_err(io(file))?;
        let mut buffer = vec![0; PORTION.min(place.len as usize)];
        for from in (0..place.len).step_by(PORTION) {
            let portion = &mut buffer[..PORTION.min((place.len - from) as usize)];
            self.file.read_exact_at(portion, place.start + from).map_err(io(&self.path))?;
            out.write_all(portion).map_err(io(file))?;
        }
        Ok(())
    }
}
