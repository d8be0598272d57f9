//! The folder of a run, and what says what it is of.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::bench::{BenchId, View};
use crate::error::{Error, Result};
use crate::records::read_json;

const RECORD: &str = "run.json";

/// Everything that the answers of a run depend on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// The version of this file.
    pub format: RunFormat,
    /// The program's version.
    pub program: String,
    /// The benchmark.
    pub benchmark: BenchId,
    /// As people know it.
    pub title: String,
    /// Where its files lay. They may lie elsewhere when the run is continued.
    pub root: PathBuf,
    /// Which of its files; the usual one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub split: Option<String>,
    /// How questions are put.
    pub questions: Value,
    /// How many items are asked.
    pub items: usize,
    /// SHA-256 of their ids, words, objects, moments and truths.
    pub items_sha256: String,
    /// Ways in which each is put.
    pub views: Vec<View>,
    /// Who answers, and how.
    pub answers: Value,
    /// Seed of everything that is drawn.
    pub seed: u64,
}

/// Versions of `run.json`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum RunFormat {
    /// The only one so far.
    #[default]
    #[serde(rename = "strefer-eval/1")]
    V1,
}

/// The folder of a run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    dir: PathBuf,
}

impl RunFolder {
    /// Begins a run, or goes on with the same one. Several processes may do so at once.
    ///
    /// # Errors
    /// A folder that holds something else, or a run of other questions or another model; the difference is named.
    pub fn open(dir: &Path, record: &RunRecord) -> Result<Self> {
        let folder = Self { dir: dir.to_owned() };
        let file = folder.path(RECORD);
        if !file.exists() {
            let occupied = dir.exists() && folder.io(dir, std::fs::read_dir(dir))?.next().is_some();
            // Another process may have begun the same run in between.
            if occupied && !file.exists() && !folder.path("answers").exists() {
                return Err(folder.refuse("it holds no run; name a new folder".to_owned()));
            }
            for part in ["answers", "claims", "holders"] {
                let part = folder.path(part);
                folder.io(&part, std::fs::create_dir_all(&part))?;
            }
            let text = serde_json::to_string_pretty(record).expect("a record is plain JSON");
            folder.write(RECORD, &format!("{text}\n"))?;
        }
        let there: RunRecord = read_json(&file)?;
        match difference(&there, record) {
            None => Ok(folder),
            Some(name) => Err(folder.refuse(format!(
                "its run differs in {name}; name a new folder, or give the same settings as before"
            ))),
        }
    }

    /// The record of a run that was begun before.
    ///
    /// # Errors
    /// A folder without one, or one of another version.
    pub fn read(dir: &Path) -> Result<(Self, RunRecord)> {
        let folder = Self { dir: dir.to_owned() };
        let record = read_json(&folder.path(RECORD))?;
        Ok((folder, record))
    }

    /// A file of the run.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// Writes a file whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn write(&self, name: &str, text: &str) -> Result<()> {
        static WRITTEN: AtomicU64 = AtomicU64::new(0);
        let nth = WRITTEN.fetch_add(1, Ordering::Relaxed);
        let (path, part) = (self.path(name), self.path(&format!(".{name}.{}.{nth}", std::process::id())));
        self.io(&path, std::fs::write(&part, text).and_then(|()| std::fs::rename(&part, &path)))
    }

    pub(super) fn io<T>(&self, path: &Path, result: std::io::Result<T>) -> Result<T> {
        result.map_err(|source| Error::Io { path: path.to_owned(), source })
    }

    fn refuse(&self, reason: String) -> Error {
        Error::Run { dir: self.dir.clone(), reason }
    }
}

/// The first field in which two runs differ, but for where files lay.
fn difference(there: &RunRecord, now: &RunRecord) -> Option<String> {
    let fields = |record: &RunRecord| {
        let value = serde_json::to_value(record).expect("a record is plain JSON");
        let Value::Object(fields) = value else { unreachable!("a record is an object") };
        fields
    };
    let (there, now) = (fields(there), fields(now));
    let names = there.keys().chain(now.keys());
    names.filter(|name| *name != "root").find(|name| there.get(*name) != now.get(*name)).cloned()
}
