//! Why there is no answer.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::question::Usage;

/// Result of what has to do with files and settings.
pub type Result<T> = std::result::Result<T, Error>;

/// A question without an answer, and why. Cheap to copy: it goes into a ledger, and to whoever asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Fault {
    /// The server could not be reached or did not answer, again and again.
    #[error("{endpoint}: no answer after {tries} tries, the last: {reason}")]
    Unavailable {
        /// Its address.
        endpoint: String,
        /// How often it was tried.
        tries: u32,
        /// What happened last.
        reason: String,
    },
    /// The time for one question is over.
    #[error("{endpoint}: no answer within {seconds:.0} s, the last try: {reason}")]
    Late {
        /// Its address.
        endpoint: String,
        /// The time it had.
        seconds: f64,
        /// What happened last.
        reason: String,
    },
    /// The server does not take the question.
    #[error("{endpoint}: refused with {status}: {message}")]
    Refused {
        /// Its address.
        endpoint: String,
        /// The HTTP status.
        status: u16,
        /// What it says, cut short.
        message: String,
    },
    /// The answer does not end within the tokens that it may have.
    #[error("{model}: the answer does not end within {max_tokens} tokens")]
    Unfinished {
        /// The model.
        model: String,
        /// The limit.
        max_tokens: u32,
        /// What it took.
        usage: Usage,
    },
    /// The answer has not the form asked for.
    #[error("{model}: the answer has another form than asked for: {reason}: {said:?}")]
    Form {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
        /// The answer, cut short.
        said: String,
        /// What it took, tries before it included.
        usage: Usage,
    },
    /// The question is larger than may be sent.
    #[error("the question has {bytes} bytes, more than the {limit} that may be sent")]
    TooLarge {
        /// Its size.
        bytes: usize,
        /// The limit.
        limit: usize,
    },
    /// Nothing more may be spent.
    #[error("the budget is spent: {0}")]
    Budget(String),
    /// No such answer was recorded.
    #[error("{folder}: no answer of {model} to the question {key} was recorded")]
    NotRecorded {
        /// The folder of answers.
        folder: PathBuf,
        /// The model.
        model: String,
        /// The question.
        key: String,
    },
    /// Answers cannot be read or kept.
    #[error(transparent)]
    Store(#[from] Arc<Error>),
    /// A model in this process that cannot be loaded: nothing can be asked of it.
    #[error("{model} cannot be loaded: {reason}")]
    NotLoaded {
        /// The model.
        model: String,
        /// Why not.
        reason: String,
    },
    /// A model or rule in this process that failed.
    #[error("{model}: {reason}")]
    Own {
        /// The model.
        model: String,
        /// What is wrong.
        reason: String,
    },
}

impl Fault {
    /// Tokens that were spent all the same.
    pub fn usage(&self) -> Usage {
        match self {
            Self::Unfinished { usage, .. } | Self::Form { usage, .. } => *usage,
            _ => Usage::default(),
        }
    }

    /// The same with other tokens.
    pub(crate) fn after(mut self, total: Usage) -> Self {
        if let Self::Unfinished { usage, .. } | Self::Form { usage, .. } = &mut self {
            *usage = total;
        }
        self
    }

    /// A short name, for counting.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "unavailable",
            Self::Late { .. } => "late",
            Self::Refused { .. } => "refused",
            Self::Unfinished { .. } => "unfinished",
            Self::Form { .. } => "form",
            Self::TooLarge { .. } => "too_large",
            Self::Budget(_) => "budget",
            Self::NotRecorded { .. } => "not_recorded",
            Self::Store(_) => "store",
            Self::NotLoaded { .. } => "not_loaded",
            Self::Own { .. } => "own",
        }
    }
}

/// Files or settings that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A file that is not what it should be.
    #[error("{path}{}: {reason}", line.map_or_else(String::new, |line| format!(", line {line}")))]
    Content {
        /// The file.
        path: PathBuf,
        /// Counted from 1, in files of lines.
        line: Option<usize>,
        /// What is wrong.
        reason: String,
    },
    /// Settings of an endpoint that cannot be meant.
    #[error("endpoint {url}: {reason}")]
    Settings {
        /// Its address.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// A schema that is none.
    #[error("the schema of an answer is none: {0}")]
    Schema(String),
}

pub(crate) fn io(path: &Path) -> impl Fn(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

/// The beginning of a text, for messages.
pub(crate) fn beginning(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}
