//! Files of benchmarks: read whole, checked record by record, every fault named.

use std::collections::HashMap;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use strefer_core::jsonl;

use crate::error::{Error, Result};

/// A record of a benchmark's file.
pub trait BenchRecord: DeserializeOwned {
    /// Whether a key may come once only in a file.
    const UNIQUE: bool = true;

    /// What it is called in messages, and matched by.
    fn key(&self) -> String;

    /// What makes it unusable, if anything.
    fn fault(&self) -> Option<String>;
}

/// What a model says to a question, also as `strefer infer` writes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The question.
    #[serde(deserialize_with = "id")]
    pub id: String,
    /// As the model said it.
    #[serde(alias = "answer", alias = "prediction_text")]
    pub text: String,
}

impl BenchRecord for Reply {
    fn key(&self) -> String {
        self.id.clone()
    }

    fn fault(&self) -> Option<String> {
        None
    }
}

/// An id that is written as a string or as an integer.
pub(crate) fn id<'de, D: Deserializer<'de>>(deserializer: D) -> std::result::Result<String, D::Error> {
    match Value::deserialize(deserializer)? {
        Value::String(text) => Ok(text),
        Value::Number(number) if number.is_i64() || number.is_u64() => Ok(number.to_string()),
        other => Err(D::Error::custom(format!("{other} is no id: expected a string or an integer"))),
    }
}

/// All records of a file of JSON Lines.
///
/// # Errors
/// A line that is no such record, a record that contradicts itself, or a key that comes twice where it may not.
pub fn read_lines<R: BenchRecord>(path: &Path) -> Result<Vec<R>> {
    let mut reader = jsonl::Reader::<R>::open(path)?;
    let mut records = Vec::new();
    while let Some(record) = reader.next() {
        records.push((record?, Some(reader.line())));
    }
    checked(path, records)
}

/// All records of a file that is one JSON array.
///
/// # Errors
/// As [`read_lines`].
pub fn read_array<R: BenchRecord>(path: &Path) -> Result<Vec<R>> {
    let records: Vec<R> = read_json(path)?;
    checked(path, records.into_iter().map(|record| (record, None)))
}

/// A file that is one JSON value.
///
/// # Errors
/// A file that cannot be read or holds something else.
pub(crate) fn read_json<T: DeserializeOwned>(path: &Path) -> Result<T> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let value = serde_json::from_slice(&bytes).map_err(|source| strefer_core::Error::Json {
        path: path.to_owned(),
        line: source.line(),
        source,
    })?;
    Ok(value)
}

/// The records, each with its line where it has one, if all can be used and none comes twice that may not.
pub(crate) fn checked<R: BenchRecord>(
    path: &Path,
    records: impl IntoIterator<Item = (R, Option<usize>)>,
) -> Result<Vec<R>> {
    let mut lines: HashMap<String, Option<usize>> = HashMap::new();
    let (mut good, mut twice) = (Vec::new(), Vec::new());
    for (record, line) in records {
        let key = record.key();
        if let Some(reason) = record.fault() {
            let place = line.map(|line| format!(" on line {line}")).unwrap_or_default();
            return Err(Error::Record { path: path.to_owned(), record: format!("{key}{place}"), reason });
        }
        if let Some(before) = lines.insert(key.clone(), line)
            && R::UNIQUE
        {
            let places = before.zip(line).map(|(first, again)| format!(" on lines {first} and {again}"));
            twice.push(format!("record {key}{}", places.unwrap_or_default()));
        }
        good.push(record);
    }
    if twice.is_empty() { Ok(good) } else { Err(Error::Twice { path: path.to_owned(), records: twice }) }
}
