//! Who works on which video.
//!
//! A queue gives each item to one worker at a time, in this process or another. What is made is written once under its
//! key, so that an item worked on twice, after a worker was taken for dead, does no harm.
//!
//! [`FolderQueue`] is for the processes of one machine, and needs nothing but a folder. `SqlQueue` (feature `sql`) is for those of
//! many, over PostgreSQL, or over SQLite where a file system has no locks.

mod folder;
#[cfg(feature = "sql")]
mod sql;

pub use folder::FolderQueue;
#[cfg(feature = "sql")]
pub use sql::SqlQueue;

use crate::error::Result;

/// What a worker is to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Take {
    /// Work on this item, by its place in the list; it is nobody else's until it is finished.
    Item(usize),
    /// Others hold what is left, and may give it back. Ask again in a while.
    Later,
    /// Nothing is left.
    Empty,
}

/// What became of an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It needs no more work, here or anywhere.
    Settled,
    /// It goes to the end, to be tried again.
    Again,
}

/// A queue of items that many workers share.
pub trait WorkQueue: Send + Sync {
    /// The next item.
    ///
    /// # Errors
    /// A queue that cannot be asked.
    fn take(&self) -> Result<Take>;

    /// Gives an item back that was taken.
    ///
    /// # Errors
    /// A queue that cannot be told.
    fn finish(&self, place: usize, outcome: Outcome) -> Result<()>;
}
