//! Answers are kept, so that nothing is asked twice.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use crate::Teacher;
use crate::fault::{Error, Fault, Result, io};
use crate::ledger::{ANSWERED, Budget, Entry, Ledger, Locked, Spent};
use crate::question::{Answer, PromptId, Question, Usage};

/// An answer in its file.
#[derive(Debug, Serialize, Deserialize)]
struct Kept {
    key: String,
    model: String,
    prompt: PromptId,
    answer: Answer,
}

fn file_of(folder: &Path, key: &str) -> PathBuf {
    folder.join("answers").join(&key[..2]).join(format!("{key}.json"))
}

/// The answer that is kept by a key, if there is one.
pub(crate) fn kept(folder: &Path, key: &str) -> Result<Option<Answer>> {
    let path = file_of(folder, key);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io(&path)(error)),
    };
    let kept: Kept = serde_json::from_str(&text).map_err(|error| Error::Content {
        path,
        line: None,
        reason: error.to_string(),
    })?;
    Ok(Some(kept.answer))
}

/// Asks another teacher what was not asked before, and keeps its answers in a folder: `answers/AB/KEY.json` and `ledger.jsonl`.
/// Threads and processes that ask the same at once wait for one of them. A kill leaves no half answer.
#[derive(Debug)]
pub struct Recorded<T> {
    folder: PathBuf,
    teacher: T,
    budget: Budget,
    ledger: Mutex<Ledger>,
    /// Questions that are under way.
    open: Mutex<HashSet<String>>,
    closed: Condvar,
}

/// A file whose lock says that a question is under way.
fn lock_file(path: &Path) -> Result<File> {
    let parent = path.parent().unwrap_or(Path::new(""));
    fs::create_dir_all(parent).map_err(io(parent))?;
    OpenOptions::new().write(true).create(true).truncate(false).open(path).map_err(io(path))
}

/// A question that is under way.
struct Open<'a> {
    open: &'a Mutex<HashSet<String>>,
    closed: &'a Condvar,
    key: &'a str,
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).remove(self.key);
        self.closed.notify_all();
    }
}

impl<T: Teacher> Recorded<T> {
    /// Opens or begins a folder of answers.
    ///
    /// # Errors
    /// A folder that cannot be written, a ledger that is none.
    pub fn open(folder: impl Into<PathBuf>, teacher: T, budget: Budget) -> Result<Self> {
        let folder = folder.into();
        fs::create_dir_all(&folder).map_err(io(&folder))?;
        let ledger = Mutex::new(Ledger::open(&folder.join("ledger.jsonl"))?);
        Ok(Self { folder, teacher, budget, ledger, open: Mutex::default(), closed: Condvar::new() })
    }

    /// What was spent, in earlier runs and by other processes with the same folder as well.
    pub fn spent(&self) -> Spent {
        self.ledger().spent()
    }

    /// What was spent on questions of a prompt, by its name.
    pub fn spent_on(&self, prompt: &str) -> Spent {
        self.ledger().spent_on(prompt)
    }

    /// The folder of answers.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until nobody else asks this.
    fn begin<'a>(&'a self, key: &'a str) -> Open<'a> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        while !open.insert(key.to_owned()) {
            open = self.closed.wait(open).unwrap_or_else(PoisonError::into_inner);
        }
        Open { open: &self.open, closed: &self.closed, key }
    }

    /// Keeps an answer that came in another way, and enters it.
    pub(crate) fn keep(&self, question: &Question, answer: &Answer, seconds: f64) -> Result<()> {
        let key = question.key(self.model());
        self.write(&key, question, answer)?;
        self.enter(key, question, None, answer.usage, seconds)
    }

    fn write(&self, key: &str, question: &Question, answer: &Answer) -> Result<()> {
        let path = file_of(&self.folder, key);
        let parent = path.parent().unwrap_or(&self.folder);
        fs::create_dir_all(parent).map_err(io(parent))?;
        let kept = Kept {
            key: key.to_owned(),
            model: self.model().to_owned(),
            prompt: question.prompt.clone(),
            answer: answer.clone(),
        };
        let text = serde_json::to_vec_pretty(&kept).map_err(|error| io(&path)(error.into()))?;
        let temporary = path.with_extension(format!("{}.tmp", std::process::id()));
        fs::write(&temporary, text).and_then(|()| fs::rename(&temporary, &path)).map_err(|error| {
            // Half an answer is none.
            let _ = fs::remove_file(&temporary);
            io(&path)(error)
        })
    }

    fn enter(
        &self,
        key: String,
        question: &Question,
        fault: Option<&Fault>,
        usage: Usage,
        seconds: f64,
    ) -> Result<()> {
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        self.ledger().add(&Entry {
            key,
            model: self.model().to_owned(),
            prompt: question.prompt.clone(),
            outcome: fault.map_or(ANSWERED, Fault::kind).to_owned(),
            reason: fault.map(ToString::to_string),
            usage,
            seconds,
            cost: self.teacher.cost(usage),
            at,
        })
    }
}

impl<T: Teacher> Teacher for Recorded<T> {
    fn model(&self) -> &str {
        self.teacher.model()
    }

    fn ask(&self, question: &Question) -> std::result::Result<Answer, Fault> {
        let key = question.key(self.model());
        let _open = self.begin(&key);
        if let Some(answer) = kept(&self.folder, &key).map_err(Arc::new)? {
            return Ok(answer);
        }
        // Other processes wait here; the system frees what a dead one held.
        let path = self.folder.join("asking").join(format!("{key}.lock"));
        let file = lock_file(&path).map_err(Arc::new)?;
        let _locked = Locked::of(&file).map_err(|error| Arc::new(io(&path)(error)))?;
        if let Some(answer) = kept(&self.folder, &key).map_err(Arc::new)? {
            let _ = fs::remove_file(&path);
            return Ok(answer);
        }
        // Only now: others may have spent what was left meanwhile.
        if let Some(reached) = self.budget.reached(&self.spent()) {
            return Err(Fault::Budget(reached));
        }
        let begun = Instant::now();
        let answer = self.teacher.ask(question);
        let seconds = begun.elapsed().as_secs_f64();
        // First the answer: what stands in the ledger must not be asked again.
        let usage = match &answer {
            Ok(answer) => {
                self.write(&key, question, answer).map_err(Arc::new)?;
                answer.usage
            }
            Err(fault) => fault.usage(),
        };
        self.enter(key.clone(), question, answer.as_ref().err(), usage, seconds).map_err(Arc::new)?;
        if answer.is_ok() {
            // Whoever still waits for it, or makes it anew, finds the answer.
            let _ = fs::remove_file(&path);
        }
        answer
    }

    fn cost(&self, usage: Usage) -> f64 {
        self.teacher.cost(usage)
    }
}
