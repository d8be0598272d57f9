//! Files of benchmarks: read whole, checked record by record, every fault named.

use std::collections::HashSet;
use std::path::Path;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
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

/// What a model says to a question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reply {
    /// The question.
    pub id: String,
    /// As the model said it.
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

/// All records of a file of JSON Lines.
///
/// # Errors
/// A line that is no such record, a record that contradicts itself, or a key that comes twice where it may not.
pub fn read_lines<R: BenchRecord>(path: &Path) -> Result<Vec<R>> {
    checked(path, jsonl::Reader::<R>::open(path)?.collect::<strefer_core::Result<_>>()?)
}

/// All records of a file that is one JSON array.
///
/// # Errors
/// As [`read_lines`].
pub fn read_array<R: BenchRecord>(path: &Path) -> Result<Vec<R>> {
    let bytes = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let records = serde_json::from_slice(&bytes).map_err(|source| strefer_core::Error::Json {
        path: path.to_owned(),
        line: source.line(),
        source,
    })?;
    checked(path, records)
}

fn checked<R: BenchRecord>(path: &Path, records: Vec<R>) -> Result<Vec<R>> {
    let bad = |key: String, reason| Error::Record { path: path.to_owned(), record: key, reason };
    let mut keys = HashSet::new();
    for record in &records {
        if let Some(reason) = record.fault() {
            return Err(bad(record.key(), reason));
        }
        if !keys.insert(record.key()) && R::UNIQUE {
            return Err(bad(record.key(), "comes twice".to_owned()));
        }
    }
    Ok(records)
}
