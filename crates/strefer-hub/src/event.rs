//! What a download tells while it runs.

use crate::error::Error;

/// Something that whoever waits may want to see.
#[derive(Debug)]
pub enum Event<'a> {
    /// The bytes of a file begin to come.
    Begin {
        /// Its name in the model's folder.
        file: &'a str,
        /// Its size in bytes.
        size: u64,
        /// So many of them lie here already.
        present: u64,
    },
    /// More of the file has come.
    Received {
        /// Bytes since the last event.
        bytes: u64,
    },
    /// The file is whole.
    End,
    /// The download broke and goes on after a pause.
    Retry {
        /// What broke it.
        error: &'a Error,
    },
    /// The hub does not answer; the model is as the cache has it.
    FromCache {
        /// Why it does not answer.
        error: &'a Error,
    },
}
