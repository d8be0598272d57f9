//! Samples as lines of JSON.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use strefer_core::Sample;
use strefer_core::records::{LineRecord, Record};

use crate::error::{Result, io};

/// One file, read a line at a time by the positions of its lines.
#[derive(Debug)]
pub(crate) struct Lines {
    path: PathBuf,
    file: File,
    /// Start and length of every line that is not blank, with its number counted from 1.
    lines: Vec<(u64, usize, usize)>,
}

impl Lines {
    /// Finds the lines of `file`, at most `most` of them; `path` is for messages. What is packed with zstd is unpacked first,
    /// into a file without a name among the system's temporary ones (`TMPDIR`): samples are read in any order.
    pub(crate) fn open(path: &Path, file: &Path, most: usize) -> Result<Self> {
        let mut plain = File::open(file).map_err(io(path))?;
        if path.extension().is_some_and(|ending| ending == "zst") {
            plain = unpacked(plain).map_err(io(path))?;
        }
        let mut input = BufReader::with_capacity(1 << 20, &plain);
        let (mut lines, mut at, mut buffer) = (Vec::new(), 0u64, Vec::new());
        for number in 1.. {
            buffer.clear();
            let read = input.read_until(b'\n', &mut buffer).map_err(io(path))?;
            if read == 0 || lines.len() >= most {
                break;
            }
            if !buffer.trim_ascii().is_empty() {
                lines.push((at, read, number));
            }
            at += read as u64;
        }
        drop(input);
        Ok(Self { path: path.to_owned(), file: plain, lines })
    }

    pub(crate) fn len(&self) -> usize {
        self.lines.len()
    }

    pub(crate) fn get(&self, index: usize) -> Result<Sample> {
        let (at, len, line) = self.lines[index];
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, at).map_err(io(&self.path))?;
        let json = |source| strefer_core::Error::Json { path: self.path.clone(), line, source };
        let record: Record = serde_json::from_slice(&bytes).map_err(json)?;
        let other = |found| strefer_core::Error::RecordType {
            path: self.path.clone(),
            line,
            expected: Sample::TYPE,
            found,
        };
        Ok(Sample::from_record(record).map_err(other)?)
    }
}

/// The content of a file packed with zstd, in a file that goes away with the process.
fn unpacked(packed: File) -> std::io::Result<File> {
    let mut plain = tempfile::tempfile()?;
    zstd::stream::copy_decode(packed, &mut plain)?;
    plain.rewind()?;
    Ok(plain)
}
