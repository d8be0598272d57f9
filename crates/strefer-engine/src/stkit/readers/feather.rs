//! Tables in Feather files (Arrow IPC), by column.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use arrow_array::cast::AsArray;
use arrow_array::types::{
    Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, UInt8Type, UInt16Type, UInt32Type,
    UInt64Type,
};
use arrow_array::{Array, ArrayRef, RecordBatch};
use arrow_ipc::reader::FileReader;
use arrow_schema::DataType;

use crate::error::{Error, Result};

/// A table in memory.
pub(super) struct Table {
    path: PathBuf,
    batches: Vec<RecordBatch>,
}

impl Table {
    /// Reads a file whole: those of one log are small.
    pub fn open(path: &Path) -> Result<Self> {
        let bad = |reason: String| Error::BadFile { path: path.to_owned(), reason };
        let file = File::open(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let reader = FileReader::try_new(BufReader::new(file), None)
            .map_err(|error| bad(format!("is no Feather file of version 2: {error}")))?;
        let batches =
            reader.collect::<std::result::Result<_, _>>().map_err(|error| bad(error.to_string()))?;
        Ok(Self { path: path.to_owned(), batches })
    }

    /// Says what is wrong with a row, counted from 0.
    pub fn bad_row(&self, row: usize, reason: impl Into<String>) -> Error {
        Error::BadRow { path: self.path.clone(), row: row.to_string(), reason: reason.into() }
    }

    /// A column of numbers.
    pub fn numbers(&self, name: &str) -> Result<Vec<f64>> {
        self.column(name, "a number", |column| |at| number(column, at))
    }

    /// A column of whole numbers.
    pub fn integers(&self, name: &str) -> Result<Vec<i64>> {
        self.column(name, "a whole number", |column| |at| integer(column, at))
    }

    /// A column of texts.
    pub fn texts(&self, name: &str) -> Result<Vec<String>> {
        self.column(name, "a text", |column| {
            // A dictionary's keys are looked up once.
            let dictionary = column.as_any_dictionary_opt();
            let keys = dictionary.map(|dictionary| dictionary.normalized_keys());
            move |at| match (dictionary, &keys) {
                (Some(dictionary), Some(keys)) => text(dictionary.values(), *keys.get(at)?),
                _ => text(column, at),
            }
        })
    }

    fn column<'a, T, F: Fn(usize) -> Option<T>>(
        &'a self,
        name: &str,
        what: &str,
        cells: impl Fn(&'a ArrayRef) -> F,
    ) -> Result<Vec<T>> {
        let mut found = Vec::new();
        for batch in &self.batches {
            let missing =
                || Error::BadFile { path: self.path.clone(), reason: format!("has no column {name}") };
            let column = batch.column_by_name(name).ok_or_else(missing)?;
            let cell = cells(column);
            for at in 0..column.len() {
                let value = Some(at).filter(|&at| column.is_valid(at)).and_then(&cell);
                found.push(value.ok_or_else(|| self.bad_row(found.len(), format!("{name} is not {what}")))?);
            }
        }
        Ok(found)
    }
}

fn integer(column: &ArrayRef, at: usize) -> Option<i64> {
    Some(match column.data_type() {
        DataType::Int8 => column.as_primitive::<Int8Type>().value(at).into(),
        DataType::Int16 => column.as_primitive::<Int16Type>().value(at).into(),
        DataType::Int32 => column.as_primitive::<Int32Type>().value(at).into(),
        DataType::Int64 => column.as_primitive::<Int64Type>().value(at),
        DataType::UInt8 => column.as_primitive::<UInt8Type>().value(at).into(),
        DataType::UInt16 => column.as_primitive::<UInt16Type>().value(at).into(),
        DataType::UInt32 => column.as_primitive::<UInt32Type>().value(at).into(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(at).try_into().ok()?,
        _ => return None,
    })
}

fn number(column: &ArrayRef, at: usize) -> Option<f64> {
    let value = match column.data_type() {
        DataType::Float64 => column.as_primitive::<Float64Type>().value(at),
        DataType::Float32 => column.as_primitive::<Float32Type>().value(at).into(),
        _ => integer(column, at)? as f64,
    };
    value.is_finite().then_some(value)
}

/// Texts as they are, or of a dictionary, as categories of pandas are written.
fn text(column: &ArrayRef, at: usize) -> Option<String> {
    let text = match column.data_type() {
        DataType::Utf8 => column.as_string::<i32>().value(at),
        DataType::LargeUtf8 => column.as_string::<i64>().value(at),
        DataType::Utf8View => column.as_string_view().value(at),
        _ => return None,
    };
    Some(text.to_owned())
}
