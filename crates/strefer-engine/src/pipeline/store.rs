//! What stages made, one file a key, written once.

use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use strefer_core::Record;
use strefer_core::jsonl::{Reader, Writer};

use crate::error::{Error, Result};

const FORMAT: &str = "strefer-stage/1";

/// Something that a stage left out or found strange, as a line of `notes.jsonl`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Note {
    /// What it is about: an entity, a part, a sample; empty for the video.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub about: String,
    /// A short name, for counting.
    pub kind: String,
    /// In words.
    pub text: String,
}

impl Note {
    /// A note.
    pub fn new(kind: &str, about: impl Into<String>, text: impl Into<String>) -> Self {
        Self { about: about.into(), kind: kind.to_owned(), text: text.into() }
    }
}

/// What a stage made of one video.
#[derive(Debug, Clone, PartialEq)]
pub struct Output<T = Record> {
    /// Records; a stage before samples makes one.
    pub records: Vec<T>,
    /// Notes.
    pub notes: Vec<Note>,
}

/// The first line of a file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    format: String,
    stage: String,
    key: String,
    n_records: usize,
    #[serde(default)]
    notes: Vec<Note>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
enum Line<T> {
    Head(Head),
    Record(Box<T>),
}

/// The stages' files below a folder: `STAGE/AB/KEY.jsonl.zst`. A stage is one of [`Stage`](super::Stage), or a name of another's.
#[derive(Debug, Clone)]
pub struct Store {
    dir: PathBuf,
}

impl Store {
    /// Nothing is written yet.
    pub fn new(dir: impl Into<PathBuf>) -> Self {
        Self { dir: dir.into() }
    }

    /// Where an output lies, or would.
    pub fn path(&self, stage: impl Into<&'static str>, key: &str) -> PathBuf {
        self.dir.join(stage.into()).join(&key[..2]).join(format!("{key}.jsonl.zst"))
    }

    /// Whether an output is there.
    pub fn has(&self, stage: impl Into<&'static str>, key: &str) -> bool {
        self.path(stage, key).is_file()
    }

    /// An output, if it is there.
    ///
    /// # Errors
    /// A file that is cut off or holds something else; it is named, and made again once it is deleted.
    pub fn read<T: DeserializeOwned>(
        &self,
        stage: impl Into<&'static str>,
        key: &str,
    ) -> Result<Option<Output<T>>> {
        let path = self.path(stage, key);
        if !path.is_file() {
            return Ok(None);
        }
        let mut lines = Reader::<Line<T>>::open(&path)?;
        let bad = |reason: &str| Error::BadFile { path: path.clone(), reason: reason.to_owned() };
        let head = match lines.next().transpose()? {
            Some(Line::Head(head)) if head.format == FORMAT && head.key == key => head,
            _ => return Err(bad("is no output of a stage; delete it, and it is made again")),
        };
        let mut records = Vec::with_capacity(head.n_records);
        for line in lines {
            match line? {
                Line::Record(record) => records.push(*record),
                Line::Head(_) => return Err(bad("has two beginnings; delete it, and it is made again")),
            }
        }
        if records.len() != head.n_records {
            return Err(bad("is cut off; delete it, and it is made again"));
        }
        Ok(Some(Output { records, notes: head.notes }))
    }

    /// Keeps an output, whole or not at all.
    ///
    /// # Errors
    /// A file that cannot be written.
    pub fn write<T: Serialize>(
        &self,
        stage: impl Into<&'static str>,
        key: &str,
        output: &Output<T>,
    ) -> Result<()> {
        let stage = stage.into();
        let path = self.path(stage, key);
        let parent = path.parent().unwrap_or(Path::new(""));
        std::fs::create_dir_all(parent).map_err(|source| Error::Io { path: parent.to_owned(), source })?;
        let mut writer = Writer::create(&path)?;
        writer.write(&Head {
            format: FORMAT.to_owned(),
            stage: stage.to_owned(),
            key: key.to_owned(),
            n_records: output.records.len(),
            notes: output.notes.clone(),
        })?;
        for record in &output.records {
            writer.write(record)?;
        }
        Ok(writer.finish()?)
    }
}

#[cfg(test)]
mod tests {
    use strefer_core::records::Clips;

    use super::*;
    use crate::pipeline::Stage;

    #[test]
    fn outputs_come_back_whole_and_a_cut_one_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::new(dir.path());
        let clips =
            Clips { schema: Default::default(), video_id: "a".into(), provenance: None, items: vec![] };
        let output = Output {
            records: vec![Record::Clips(clips)],
            notes: vec![Note::new("dropped", "the cat", "it has no noun")],
        };
        assert_eq!(store.read::<Record>(Stage::Clips, "abcd").unwrap(), None);
        store.write(Stage::Clips, "abcd", &output).unwrap();
        assert_eq!(store.read(Stage::Clips, "abcd").unwrap(), Some(output.clone()));
        assert!(store.has(Stage::Clips, "abcd") && !store.has(Stage::Parse, "abcd"));
        let path = store.path(Stage::Clips, "abcd");
        let bytes = std::fs::read(&path).unwrap();
        std::fs::write(&path, &bytes[..bytes.len() - 9]).unwrap();
        assert!(
            store.read::<Record>(Stage::Clips, "abcd").unwrap_err().to_string().contains("abcd.jsonl.zst")
        );
        // A file where a folder should be.
        std::fs::write(dir.path().join("parse"), "").unwrap();
        let error = store.write(Stage::Parse, "abcd", &output).unwrap_err();
        assert!(error.to_string().contains("parse"), "{error}");
    }
}
