//! Masks of what QVHighlights' queries name, so that a model is asked about this object: a file of our own beside the
//! annotations, `highlight_val_release.objects.jsonl` beside `highlight_val_release.jsonl`. A line is
//! `{qid, query, annotation}`: the query with `<region>` where its object is named, and the objects as VideoRefer annotates
//! them. Queries without a line are asked in words alone.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use strefer_core::FrameKey;
use strefer_core::import::ForeignObject;
use strefer_core::sample::Region;

use super::catalogue::{Masks, ObjectForm};
use super::videorefer_q::{in_words, regions};
use crate::error::{Error, Result};
use crate::qvhighlights::Annotation;
use crate::records::{BenchRecord, read_lines};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    qid: u64,
    query: String,
    annotation: Vec<ForeignObject>,
}

impl BenchRecord for Line {
    fn key(&self) -> String {
        self.qid.to_string()
    }

    fn fault(&self) -> Option<String> {
        let (named, listed) = (self.query.matches("<region>").count(), self.annotation.len());
        (named == 0 || named != listed)
            .then(|| format!("{named} <region> in the query, {listed} objects annotated"))
    }
}

/// Queries with their objects, by the number of the query.
#[derive(Debug, Default)]
pub(super) struct Grounded(HashMap<u64, (String, Vec<Region>)>);

/// The file beside annotations.
pub(super) fn file_of(annotations: &Path) -> PathBuf {
    annotations.with_extension("objects.jsonl")
}

impl Grounded {
    /// Those of a file, each of which must be about one of `annotations`. An object gets all of its masks.
    ///
    /// # Errors
    /// A line that cannot be used.
    pub fn read(path: &Path, form: ObjectForm, annotations: &[Annotation]) -> Result<Self> {
        let asked: HashSet<u64> = annotations.iter().map(|annotation| annotation.qid).collect();
        let mut all = HashMap::new();
        for line in read_lines::<Line>(path)? {
            let Line { qid, query, annotation } = line;
            let refuse =
                |reason: String| Error::Record { path: path.to_owned(), record: qid.to_string(), reason };
            if !asked.contains(&qid) {
                return Err(refuse("no query has this number".to_owned()));
            }
            let objects = regions(&qid.to_string(), annotation, Masks::Multi, FrameKey(0)).map_err(refuse)?;
            all.insert(qid, (in_words(&query, form), objects));
        }
        Ok(Self(all))
    }

    /// How many queries have their objects.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// What a query says, and the objects it says it of.
    pub fn of<'a>(&'a self, annotation: &'a Annotation) -> (&'a str, &'a [Region]) {
        match self.0.get(&annotation.qid) {
            Some((query, objects)) => (query, objects),
            None => (&annotation.query, &[]),
        }
    }
}
