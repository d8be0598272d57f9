//! Why a model of the hub cannot be had, and what to do about it.

use std::path::PathBuf;

/// Result of everything in this crate.
pub type Result<T> = std::result::Result<T, Error>;

/// A failure that names the model or file, and the way out where there is one.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A text that names no model.
    #[error("{text:?} names no model of the hub ({reason}): expected OWNER/NAME or OWNER/NAME@REVISION")]
    Name {
        /// The text.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Nothing says where the cache is.
    #[error("no folder for downloaded models is known: set HF_HUB_CACHE or HF_HOME")]
    NoCache,
    /// An https address, and a program without https.
    #[error("{endpoint} needs https, which this program was built without (feature `tls` of strefer-hub)")]
    NoTls {
        /// The hub's address.
        endpoint: String,
    },
    /// The model does not exist, or not for us.
    #[error(
        "{model}: {endpoint} has no such model, or does not show it: check the name, and for a private model set \
         HF_TOKEN to a token that may read it"
    )]
    NoModel {
        /// The model.
        model: String,
        /// The hub's address.
        endpoint: String,
    },
    /// The model has no such revision.
    #[error("{model}: no revision {revision:?}; name one of its branches, tags or commits")]
    NoRevision {
        /// The model.
        model: String,
        /// What was asked for.
        revision: String,
    },
    /// The model is there, but its files are not for everybody.
    #[error(
        "{model}: its files are not open to everybody: ask for access at {page}, then set HF_TOKEN to a token of that \
         account"
    )]
    Gated {
        /// The model.
        model: String,
        /// Its page.
        page: String,
    },
    /// A token that the hub does not know.
    #[error(
        "{model}: the hub does not accept the token: renew the one in HF_TOKEN (or that of `hf auth login`)"
    )]
    Token {
        /// The model.
        model: String,
    },
    /// The model lacks a file that it cannot be opened without.
    #[error(
        "{model}: it has no file {file}, without which it cannot be opened: check name and revision, or complete a local \
         copy and name its folder"
    )]
    NoFile {
        /// The model.
        model: String,
        /// The file.
        file: String,
    },
    /// The model has no weights in a form that is read.
    #[error(
        "{model}: it has no weights that can be read, neither model*.safetensors nor pytorch_model*.bin: name a model \
         that has them"
    )]
    NoWeights {
        /// The model.
        model: String,
    },
    /// Nothing may be downloaded, and the cache does not have it.
    #[error(
        "{model}: {missing} is not in the cache {cache}, and nothing is downloaded offline: run it once without \
         HF_HUB_OFFLINE and without --offline"
    )]
    NotCached {
        /// The model.
        model: String,
        /// The revision or file.
        missing: String,
        /// The folder of the model in the cache.
        cache: PathBuf,
    },
    /// The hub cannot be reached, or cannot answer now.
    #[error("no answer from {url}: {reason}; check the connection, and try again")]
    Unavailable {
        /// What was asked.
        url: String,
        /// What happened.
        reason: String,
    },
    /// An answer that we have no other word for.
    #[error("{url} answers {status}: {message}")]
    Status {
        /// What was asked.
        url: String,
        /// HTTP's number.
        status: u16,
        /// What the server says.
        message: String,
    },
    /// An answer that cannot be meant.
    #[error("{url} answers what cannot be meant ({reason}): is HF_ENDPOINT a hub?")]
    Answer {
        /// What was asked.
        url: String,
        /// What is wrong.
        reason: String,
    },
    /// The connection broke within a file. What has come is kept.
    #[error(
        "{model}: the download of {file} broke after {received} of {size} bytes ({reason}); try again, it goes on there"
    )]
    Broken {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Bytes that lie here now.
        received: u64,
        /// Bytes of the whole file.
        size: u64,
        /// What happened.
        reason: String,
    },
    /// A file of another size than the hub says. Nothing of it is kept.
    #[error("{model}: {file} comes with {found} bytes, the hub says {expected}; try again")]
    Size {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Its size in bytes as the hub says.
        expected: u64,
        /// Bytes that came, or were announced.
        found: u64,
    },
    /// A file of another digest than the hub says. Nothing of it is kept.
    #[error(
        "{model}: {file} has the SHA-256 {found}, the hub says {expected}; it was thrown away, try again"
    )]
    Checksum {
        /// The model.
        model: String,
        /// The file.
        file: String,
        /// Its digest as the hub says, in hexadecimal.
        expected: String,
        /// That of what came.
        found: String,
    },
    /// Another program downloads the same file.
    #[error("{model}: {file} is being downloaded by another program; wait for it, then try again")]
    Busy {
        /// The model.
        model: String,
        /// The file.
        file: String,
    },
    /// An index of weights that cannot be read.
    #[error("{model}: {file} is no index of weights ({reason}): try another revision")]
    Index {
        /// The model.
        model: String,
        /// The index.
        file: String,
        /// What is wrong.
        reason: String,
    },
    /// The cache cannot be read or written.
    #[error("{path}: {source}")]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
}

impl Error {
    /// Whether the same call may succeed after a pause.
    pub(crate) fn is_passing(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Broken { .. })
    }
}

/// An [`Error::Io`] about `path`.
pub(crate) fn io(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
    let path = path.into();
    move |source| Error::Io { path, source }
}
