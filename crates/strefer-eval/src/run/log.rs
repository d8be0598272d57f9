//! Answers as they come: each process appends to a file of its own, all read each other's.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::answer::Said;
use crate::bench::View;
use crate::error::{Error, Result};

/// What became of one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AnswerLine {
    pub view: View,
    pub id: String,
    /// What the model read, as far as it is words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub prompt: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub frame_indices: Vec<usize>,
    /// What was said; absent when nothing was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
    /// Why nothing was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

impl AnswerLine {
    pub fn new(view: View, id: &str, said: Result<Said>) -> Self {
        let line = |prompt, frame_indices, text, error| Self {
            view,
            id: id.to_owned(),
            prompt,
            frame_indices,
            text,
            error,
        };
        match said {
            Ok(said) => line(said.prompt, said.frame_indices, Some(said.text), None),
            Err(error) => line(String::new(), Vec::new(), None, Some(error.to_string())),
        }
    }
}

/// All answers of a run, as far as they were read.
#[derive(Debug)]
pub(super) struct Log {
    dir: PathBuf,
    /// How far each file was read.
    read: HashMap<PathBuf, u64>,
    /// Questions that are over: answered, or failed while this process was there.
    over: HashSet<(View, String)>,
    answered: usize,
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

/// The whole lines of a file behind a place, and the place behind them. A last line that was cut off is not read.
fn lines_from(path: &Path, from: u64) -> Result<(Vec<AnswerLine>, u64)> {
    let mut file = File::open(path).map_err(io(path))?;
    let mut bytes = Vec::new();
    file.seek(SeekFrom::Start(from)).and_then(|_| file.read_to_end(&mut bytes)).map_err(io(path))?;
    let whole = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
    let mut lines = Vec::new();
    for line in bytes[..whole].split(|&byte| byte == b'\n').filter(|line| !line.is_empty()) {
        let line = serde_json::from_slice(line).map_err(|error| Error::Record {
            path: path.to_owned(),
            record: String::from_utf8_lossy(&line[..line.len().min(80)]).into_owned(),
            reason: error.to_string(),
        })?;
        lines.push(line);
    }
    Ok((lines, from + whole as u64))
}

impl Log {
    /// Reads what there is. What failed in processes that are gone is asked again.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn open(dir: &Path, lives: impl Fn(&str) -> bool) -> Result<Self> {
        let mut log =
            Self { dir: dir.join("answers"), read: HashMap::new(), over: HashSet::new(), answered: 0 };
        log.refresh(|path| {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            lives(&name)
        })?;
        Ok(log)
    }

    /// Reads what was added, by this process and by others. Failures in files that `counts` refuses are not over.
    ///
    /// # Errors
    /// A file that cannot be read.
    pub fn refresh(&mut self, counts: impl Fn(&Path) -> bool) -> Result<()> {
        let entries = fs::read_dir(&self.dir).map_err(io(&self.dir))?;
        for entry in entries {
            let path = entry.map_err(io(&self.dir))?.path();
            if path.extension().is_none_or(|ending| ending != "jsonl") {
                continue;
            }
            let from = self.read.get(&path).copied().unwrap_or(0);
            if fs::metadata(&path).map_err(io(&path))?.len() <= from {
                continue;
            }
            let (lines, to) = lines_from(&path, from)?;
            let counts = counts(&path);
            for line in lines.into_iter().filter(|line| line.text.is_some() || counts) {
                if self.over.insert((line.view, line.id)) {
                    self.answered += 1;
                }
            }
            self.read.insert(path, to);
        }
        Ok(())
    }

    /// Whether a question is over.
    pub fn is_over(&self, view: View, id: &str) -> bool {
        // A key of borrowed parts would need a type of its own.
        self.over.contains(&(view, id.to_owned()))
    }

    /// How many questions are over.
    pub fn n_over(&self) -> usize {
        self.answered
    }
}

/// This process' file of answers.
pub(super) struct Journal {
    path: PathBuf,
    file: File,
}

impl Journal {
    /// A new file for a process.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn create(dir: &Path, own: &str) -> Result<Self> {
        let path = dir.join("answers").join(format!("{own}.jsonl"));
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io(&path))?;
        Ok(Self { path, file })
    }

    /// Adds lines with one write: after a kill all but the last are whole.
    ///
    /// # Errors
    /// A disk that is full.
    pub fn append(&mut self, lines: &[AnswerLine]) -> Result<()> {
        let mut bytes = Vec::new();
        for line in lines {
            serde_json::to_writer(&mut bytes, line).expect("a line is plain JSON");
            bytes.push(b'\n');
        }
        self.file.write_all(&bytes).map_err(io(&self.path))
    }
}

/// What became of every question: of several answers the first by name of file, a failure where there is no answer.
///
/// # Errors
/// A file that cannot be read.
pub(super) fn read_all(dir: &Path) -> Result<HashMap<(View, String), AnswerLine>> {
    let dir = dir.join("answers");
    let entries = fs::read_dir(&dir).and_then(Iterator::collect::<std::io::Result<Vec<_>>>);
    let mut paths: Vec<PathBuf> = entries.map_err(io(&dir))?.iter().map(fs::DirEntry::path).collect();
    paths.retain(|path| path.extension().is_some_and(|ending| ending == "jsonl"));
    paths.sort();
    let mut all: HashMap<(View, String), AnswerLine> = HashMap::new();
    for path in paths {
        for line in lines_from(&path, 0)?.0 {
            let key = (line.view, line.id.clone());
            let known = all.get(&key);
            if known.is_none_or(|known| known.text.is_none()) {
                all.insert(key, line);
            }
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, text: Option<&str>) -> AnswerLine {
        let said = text.map(|text| Said { prompt: "p".into(), text: text.into(), frame_indices: vec![0] });
        let failed = || Error::NoAnswer { id: id.to_owned(), reason: "why".to_owned() };
        AnswerLine::new(View::Real, id, said.ok_or_else(failed))
    }

    #[test]
    fn a_line_that_was_cut_off_is_asked_again_and_failures_of_the_dead_too() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("answers")).unwrap();
        let mut journal = Journal::create(dir.path(), "dead").unwrap();
        journal.append(&[line("a", Some("yes")), line("b", None)]).unwrap();
        journal.file.write_all(b"{\"view\":\"real\",\"id\":\"c\",\"te").unwrap();
        let mut log = Log::open(dir.path(), |_| false).unwrap();
        let over = |log: &Log| ["a", "b", "c"].map(|id| log.is_over(View::Real, id));
        assert_eq!(over(&log), [true, false, false]);
        let mut again = Journal::create(dir.path(), "living").unwrap();
        again.append(&[line("b", None), line("c", Some("no"))]).unwrap();
        log.refresh(|_| true).unwrap();
        assert_eq!((over(&log), log.n_over()), ([true, true, true], 3));
        let all = read_all(dir.path()).unwrap();
        assert_eq!(all[&(View::Real, "b".to_owned())].error.as_deref(), Some("item b: why"));
        assert_eq!(all[&(View::Real, "c".to_owned())].text.as_deref(), Some("no"));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("answers")).unwrap();
        fs::write(dir.path().join("answers/a.jsonl"), "{\"view\":\"sideways\",\"id\":\"a\"}\n").unwrap();
        let error = Log::open(dir.path(), |_| true).unwrap_err().to_string();
        assert!(error.contains("a.jsonl") && error.contains("sideways"), "{error}");
    }
}
