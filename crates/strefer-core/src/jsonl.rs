//! JSON Lines, plain or zstd (by the ending `.zst`), read as a stream and written whole or not at all.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Write};
use std::marker::PhantomData;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::records::{LineRecord, Record};

/// The longest line that is read (256 MiB).
pub const MAX_LINE_BYTES: usize = 1 << 28;

fn io_error(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

pub(crate) fn is_zstd(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ending == "zst")
}

/// The bytes of a file, unpacked where it is zstd.
pub(crate) fn open(path: &Path) -> Result<Box<dyn BufRead + Send>> {
    let file = File::open(path).map_err(io_error(path))?;
    Ok(if is_zstd(path) {
        Box::new(BufReader::new(zstd::Decoder::new(file).map_err(io_error(path))?))
    } else {
        Box::new(BufReader::new(file))
    })
}

/// Reads one value a line; blank lines are skipped.
pub struct Reader<T> {
    path: PathBuf,
    input: Box<dyn BufRead + Send>,
    line: usize,
    buffer: Vec<u8>,
    _value: PhantomData<T>,
}

impl<T: DeserializeOwned> Reader<T> {
    /// Opens a file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Ok(Self::of(path, open(path)?))
    }

    /// Reads what is open already; `path` is for messages.
    pub(crate) fn of(path: &Path, input: Box<dyn BufRead + Send>) -> Self {
        Self { path: path.to_owned(), input, line: 0, buffer: Vec::new(), _value: PhantomData }
    }

    /// The number of the line last read, counted from 1.
    pub fn line(&self) -> usize {
        self.line
    }

    fn read_line(&mut self) -> Result<bool> {
        self.buffer.clear();
        self.line += 1;
        let limit = MAX_LINE_BYTES as u64 + 1;
        let read = self.input.by_ref().take(limit).read_until(b'\n', &mut self.buffer);
        let read = read.map_err(io_error(&self.path))?;
        if self.buffer.len() > MAX_LINE_BYTES {
            return Err(Error::LineTooLong {
                path: self.path.clone(),
                line: self.line,
                limit: MAX_LINE_BYTES,
            });
        }
        Ok(read > 0)
    }
}

impl<T: DeserializeOwned> Iterator for Reader<T> {
    type Item = Result<T>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            match self.read_line() {
                Ok(false) => return None,
                Ok(true) if self.buffer.trim_ascii().is_empty() => {}
                Ok(true) => {
                    return Some(serde_json::from_slice(&self.buffer).map_err(|source| Error::Json {
                        path: self.path.clone(),
                        line: self.line,
                        source,
                    }));
                }
                Err(error) => return Some(Err(error)),
            }
        }
    }
}

/// All records of one type of a file that holds nothing else.
pub fn read_records<T: LineRecord>(path: impl AsRef<Path>) -> Result<impl Iterator<Item = Result<T>>> {
    let path = path.as_ref().to_owned();
    let mut reader = Reader::<Record>::open(&path)?;
    Ok(std::iter::from_fn(move || {
        let record = reader.next()?;
        Some(record.and_then(|record| {
            T::from_record(record).map_err(|found| Error::RecordType {
                path: path.clone(),
                line: reader.line(),
                expected: T::TYPE,
                found,
            })
        }))
    }))
}

/// Writes one value a line into a temporary file, which takes the target's name in [`Writer::finish`].
pub struct Writer {
    path: PathBuf,
    temporary: PathBuf,
    output: Option<Output>,
}

enum Output {
    Plain(BufWriter<File>),
    Zstd(zstd::Encoder<'static, BufWriter<File>>),
}

impl Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        match self {
            Self::Plain(output) => output.write_all(bytes),
            Self::Zstd(output) => output.write_all(bytes),
        }
    }

    fn close(self) -> std::io::Result<()> {
        let buffered = match self {
            Self::Plain(output) => output,
            Self::Zstd(output) => output.finish()?,
        };
        buffered.into_inner().map_err(|error| error.into_error())?.sync_all()
    }
}

impl Writer {
    /// Starts a file; nothing has the name `path` before [`Writer::finish`].
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref().to_owned();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        // Two writers of one path do not meet, in one process or two.
        static WRITERS: AtomicU64 = AtomicU64::new(0);
        let own = WRITERS.fetch_add(1, Ordering::Relaxed);
        let temporary = path.with_file_name(format!(".{name}.{}.{own}.tmp", std::process::id()));
        let file = BufWriter::new(File::create(&temporary).map_err(io_error(&path))?);
        let output = if is_zstd(&path) {
            Output::Zstd(zstd::Encoder::new(file, 3).map_err(io_error(&path))?)
        } else {
            Output::Plain(file)
        };
        Ok(Self { path, temporary, output: Some(output) })
    }

    /// Adds one line.
    pub fn write<T: Serialize>(&mut self, value: &T) -> Result<()> {
        let line = serde_json::to_vec(value).map_err(|error| io_error(&self.path)(error.into()))?;
        self.write_line(&line)
    }

    /// Adds one line that is JSON already, without its end.
    pub fn write_line(&mut self, line: &[u8]) -> Result<()> {
        let output = self.output.as_mut().expect("the output is there until finish takes it");
        output.write(line).and_then(|()| output.write(b"\n")).map_err(io_error(&self.path))
    }

    /// Flushes to disk and gives the file its name.
    pub fn finish(mut self) -> Result<()> {
        let output = self.output.take().expect("the output is there until finish takes it");
        let closed = output.close().and_then(|()| std::fs::rename(&self.temporary, &self.path));
        closed.map_err(io_error(&self.path))
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // After `finish` the temporary name is gone; otherwise the half-written file must go.
        let _ = std::fs::remove_file(&self.temporary);
    }
}

/// Writes all values into one file.
pub fn write_all<'a, T: Serialize + 'a>(
    path: impl AsRef<Path>,
    values: impl IntoIterator<Item = &'a T>,
) -> Result<()> {
    let mut writer = Writer::create(path)?;
    for value in values {
        writer.write(value)?;
    }
    writer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_compressed_files_give_the_values_back() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["a.jsonl", "a.jsonl.zst"] {
            let path = dir.path().join(name);
            let values: Vec<u32> = (0..1000).collect();
            write_all(&path, &values).unwrap();
            let read: Result<Vec<u32>> = Reader::open(&path).unwrap().collect();
            assert_eq!(read.unwrap(), values);
        }
    }

    #[test]
    fn an_error_names_file_and_line() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("b.jsonl");
        std::fs::write(&path, "1\n\n2\nthree\n").unwrap();
        let error = Reader::<u32>::open(&path).unwrap().find_map(Result::err).unwrap();
        assert!(error.to_string().contains("b.jsonl, line 4"), "{error}");
    }

    #[test]
    fn a_writer_that_is_dropped_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c.jsonl");
        std::fs::write(&path, "old").unwrap();
        let mut writer = Writer::create(&path).unwrap();
        writer.write(&1).unwrap();
        drop(writer);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_cut_zstd_file_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("d.jsonl.zst");
        let values: Vec<u64> = (0..100_000).map(|n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
        write_all(&path, &values).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        assert!(Reader::<u64>::open(&path).unwrap().any(|value| value.is_err()));
    }
}
