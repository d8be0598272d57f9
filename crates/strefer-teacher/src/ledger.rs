//! What was asked, and what it took.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Error, Result, io};
use crate::question::{PromptId, Usage};

/// One ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// The question.
    pub key: String,
    /// Who was asked.
    pub model: String,
    /// The prompt.
    pub prompt: PromptId,
    /// `answered`, or what kind of fault there was.
    pub outcome: String,
    /// The fault in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Tokens.
    pub usage: Usage,
    /// How long it took.
    pub seconds: f64,
    /// What it cost.
    pub cost: f64,
    /// When it ended, in seconds since 1970.
    pub at: u64,
}

/// What an entry says of an ask that was answered.
pub(crate) const ANSWERED: &str = "answered";

/// What all asks took together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Spent {
    /// Asks.
    pub asks: u64,
    /// Those that were answered.
    pub answered: u64,
    /// Tokens.
    pub usage: Usage,
    /// Seconds, as if they had been asked one after the other.
    pub seconds: f64,
    /// Cost.
    pub cost: f64,
}

impl Spent {
    fn add(&mut self, entry: &Entry) {
        self.asks += 1;
        self.answered += u64::from(entry.outcome == ANSWERED);
        self.usage.prompt_tokens += entry.usage.prompt_tokens;
        self.usage.completion_tokens += entry.usage.completion_tokens;
        self.seconds += entry.seconds;
        self.cost += entry.cost;
    }
}

/// The most that may be spent; asks that are under way when it is reached are finished.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// Asks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub asks: Option<u64>,
    /// Tokens, read and written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tokens: Option<u64>,
    /// Cost, in the unit of the prices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
}

impl Budget {
    /// What is used up, if anything is.
    pub fn reached(&self, spent: &Spent) -> Option<String> {
        let tokens = spent.usage.prompt_tokens + spent.usage.completion_tokens;
        let over = |what: &str, spent: f64, most: Option<f64>| {
            most.filter(|most| spent >= *most).map(|most| format!("{spent} of {most} {what}"))
        };
        over("asks", spent.asks as f64, self.asks.map(|most| most as f64))
            .or_else(|| over("tokens", tokens as f64, self.tokens.map(|most| most as f64)))
            .or_else(|| over("units of money", spent.cost, self.cost))
    }
}

/// A file of entries that only grows. Several processes may write it: each reads what the others add.
#[derive(Debug)]
pub(crate) struct Ledger {
    path: PathBuf,
    file: File,
    /// Bytes that are read, and the lines in them.
    read: (u64, usize),
    spent: Spent,
    /// By the name of the prompt.
    by_prompt: BTreeMap<String, Spent>,
}

/// A file that others may not change meanwhile. Where the file system has no locks, whoever shares it has none either.
pub(crate) struct Locked<'a>(&'a File);

impl<'a> Locked<'a> {
    pub(crate) fn of(file: &'a File) -> std::io::Result<Self> {
        match file.lock() {
            Err(error) if error.kind() != std::io::ErrorKind::Unsupported => Err(error),
            _ => Ok(Self(file)),
        }
    }
}

impl Drop for Locked<'_> {
    fn drop(&mut self) {
        let _ = self.0.unlock();
    }
}

impl Ledger {
    /// Opens or begins one. A last line that a kill cut off is taken away.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let file = OpenOptions::new().read(true).append(true).create(true).open(path).map_err(io(path))?;
        let mut ledger = Self {
            path: path.to_owned(),
            file: file.try_clone().map_err(io(path))?,
            read: (0, 0),
            spent: Spent::default(),
            by_prompt: BTreeMap::new(),
        };
        let _locked = Locked::of(&file).map_err(io(path))?;
        ledger.catch_up()?;
        // Whoever wrote what comes after the last whole line is gone: it would hold the lock.
        file.set_len(ledger.read.0).map_err(io(path))?;
        Ok(ledger)
    }

    /// Reads what was added since.
    fn catch_up(&mut self) -> Result<()> {
        let io = io(&self.path);
        if self.file.metadata().map_err(&io)?.len() <= self.read.0 {
            return Ok(());
        }
        let mut input = BufReader::new(&self.file);
        input.seek(SeekFrom::Start(self.read.0)).map_err(&io)?;
        let mut line = String::new();
        loop {
            line.clear();
            let read = input.read_line(&mut line).map_err(&io)?;
            if !line.ends_with('\n') {
                return Ok(());
            }
            let entry: Entry = serde_json::from_str(&line).map_err(|error| Error::Content {
                path: self.path.clone(),
                line: Some(self.read.1 + 1),
                reason: error.to_string(),
            })?;
            self.read = (self.read.0 + read as u64, self.read.1 + 1);
            self.spent.add(&entry);
            self.by_prompt.entry(entry.prompt.name.clone()).or_default().add(&entry);
        }
    }

    pub(crate) fn add(&mut self, entry: &Entry) -> Result<()> {
        let mut line = serde_json::to_vec(entry).map_err(|error| io(&self.path)(error.into()))?;
        line.push(b'\n');
        let file = self.file.try_clone().map_err(io(&self.path))?;
        let _locked = Locked::of(&file).map_err(io(&self.path))?;
        (&file).write_all(&line).map_err(io(&self.path))?;
        self.catch_up()
    }

    /// What all processes spent.
    pub(crate) fn spent(&mut self) -> Spent {
        if let Err(error) = self.catch_up() {
            tracing::warn!("{error}");
        }
        self.spent
    }

    /// What was spent on questions of a prompt.
    pub(crate) fn spent_on(&mut self, prompt: &str) -> Spent {
        self.spent();
        self.by_prompt.get(prompt).copied().unwrap_or_default()
    }
}
