//! Samples as rows of a parquet file.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::Type;
use parquet::column::reader::ColumnReader;
use parquet::data_type::ByteArray;
use parquet::errors::{ParquetError, Result as ParquetResult};
use parquet::file::reader::{ChunkReader, FileReader, Length};
use parquet::file::serialized_reader::{ReadOptionsBuilder, SerializedFileReader};
use strefer_core::Sample;
use strefer_core::records::{LineRecord, Record};

use crate::error::{Error, Result, io};

/// The column that holds records as JSON.
pub(crate) const COLUMN: &str = "sample";

/// One file, read a row at a time. Other columns are left alone.
pub(crate) struct Rows {
    path: PathBuf,
    reader: SerializedFileReader<Place>,
    column: usize,
    /// Rows before each row group, and all.
    starts: Vec<usize>,
    most: usize,
}

impl std::fmt::Debug for Rows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Rows({}, {})", self.path.display(), self.len())
    }
}

impl Rows {
    /// `path` is for messages.
    pub(crate) fn open(path: &Path, file: &Path, most: usize) -> Result<Self> {
        let file = File::open(file).map_err(io(path))?;
        let len = file.metadata().map_err(io(path))?.len();
        let bad = |reason: String| Error::Parquet { path: path.to_owned(), reason };
        // With the index of pages, a row is found without reading the pages before it.
        let options = ReadOptionsBuilder::new().with_page_index().build();
        let place = Place { file: Arc::new(file), len };
        let reader = SerializedFileReader::new_with_options(place, options);
        let reader = reader.map_err(|error| bad(error.to_string()))?;
        let schema = reader.metadata().file_metadata().schema_descr();
        let column = schema.columns().iter().position(|column| column.path().string() == COLUMN);
        let column = column.ok_or_else(|| bad(format!("has no column {COLUMN:?} with records as JSON")))?;
        let description = schema.column(column);
        if description.physical_type() != Type::BYTE_ARRAY || description.max_rep_level() > 0 {
            return Err(bad(format!("the column {COLUMN:?} is not of text")));
        }
        let mut starts = vec![0];
        for group in reader.metadata().row_groups() {
            starts.push(starts[starts.len() - 1] + group.num_rows() as usize);
        }
        Ok(Self { path: path.to_owned(), reader, column, starts, most })
    }

    pub(crate) fn len(&self) -> usize {
        self.starts[self.starts.len() - 1].min(self.most)
    }

    pub(crate) fn get(&self, index: usize) -> Result<Sample> {
        let bad = |reason: String| Error::Row { path: self.path.clone(), row: index, reason };
        let text = self.text(index).map_err(|error| bad(error.to_string()))?;
        let text = text.ok_or_else(|| bad("holds nothing".to_owned()))?;
        let record: Record = serde_json::from_slice(text.data()).map_err(|error| bad(error.to_string()))?;
        Sample::from_record(record).map_err(|found| bad(format!("a record of type {found:?}, not a sample")))
    }

    fn text(&self, index: usize) -> ParquetResult<Option<ByteArray>> {
        let group = self.starts.partition_point(|&start| start <= index) - 1;
        let group_reader = self.reader.get_row_group(group)?;
        let ColumnReader::ByteArrayColumnReader(mut column) = group_reader.get_column_reader(self.column)?
        else {
            return Err(ParquetError::General("is not of text".to_owned()));
        };
        column.skip_records(index - self.starts[group])?;
        let (mut levels, mut values) = (Vec::new(), Vec::new());
        column.read_records(1, Some(&mut levels), None, &mut values)?;
        Ok(values.pop())
    }
}

/// A file that is read at places, so that threads do not disturb each other.
struct Place {
    file: Arc<File>,
    len: u64,
}

impl Length for Place {
    fn len(&self) -> u64 {
        self.len
    }
}

impl ChunkReader for Place {
    type T = From;

    fn get_read(&self, start: u64) -> ParquetResult<From> {
        Ok(From { file: Arc::clone(&self.file), at: start })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, start)?;
        Ok(bytes.into())
    }
}

/// The bytes of a file from one place on.
struct From {
    file: Arc<File>,
    at: u64,
}

impl Read for From {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let read = self.file.read_at(out, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}
