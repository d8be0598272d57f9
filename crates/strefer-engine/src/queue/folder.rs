//! A queue for the processes of one machine: a locked file an item. The system gives a lock back when its holder dies, however
//! it dies.

use std::collections::{HashMap, VecDeque};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{Outcome, Take, WorkQueue};
use crate::error::{Error, Result};

/// Items named by files in a folder that all processes see. Each process brings the same list.
#[derive(Debug)]
pub struct FolderQueue {
    dir: PathBuf,
    names: Vec<String>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    open: VecDeque<usize>,
    /// Those of this process.
    held: HashMap<usize, File>,
    /// Those of others, when they were last looked at.
    elsewhere: VecDeque<usize>,
}

impl FolderQueue {
    /// All items are open; names are those of files.
    ///
    /// # Errors
    /// A folder that cannot be made.
    pub fn open(dir: impl Into<PathBuf>, names: Vec<String>) -> Result<Self> {
        let dir = dir.into();
        std::fs::create_dir_all(&dir).map_err(|source| Error::Io { path: dir.clone(), source })?;
        let state = State { open: (0..names.len()).collect(), ..State::default() };
        Ok(Self { dir, names, state: Mutex::new(state) })
    }

    /// The folder of locks.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self, place: usize) -> Result<Option<File>> {
        let path = self.dir.join(&self.names[place]);
        let io = |source| Error::Io { path: path.clone(), source };
        let open = || OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = match open() {
            // A process that found everything done has cleared the folder away.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                std::fs::create_dir_all(&self.dir).and_then(|()| open())
            }
            other => other,
        };
        let file = file.map_err(io)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(file)),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(io(error)),
        }
    }
}

impl WorkQueue for FolderQueue {
    fn take(&self) -> Result<Take> {
        let mut state = self.state();
        while let Some(place) = state.open.pop_front() {
            match self.lock(place) {
                Ok(Some(file)) => {
                    state.held.insert(place, file);
                    return Ok(Take::Item(place));
                }
                Ok(None) => state.elsewhere.push_back(place),
                Err(error) => {
                    state.open.push_front(place);
                    return Err(error);
                }
            }
        }
        if state.elsewhere.is_empty() && state.held.is_empty() {
            return Ok(Take::Empty);
        }
        state.open = std::mem::take(&mut state.elsewhere);
        Ok(Take::Later)
    }

    fn finish(&self, place: usize, outcome: Outcome) -> Result<()> {
        let mut state = self.state();
        state.held.remove(&place);
        if outcome == Outcome::Again {
            state.open.push_back(place);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_one_workers_at_a_time_and_the_next_ones_when_that_goes_away() {
        let dir = tempfile::tempdir().unwrap();
        let open = || FolderQueue::open(dir.path(), vec!["a".into(), "b".into()]).unwrap();
        let (one, other) = (open(), open());
        assert_eq!(one.take().unwrap(), Take::Item(0));
        assert_eq!(other.take().unwrap(), Take::Item(1));
        assert_eq!((one.take().unwrap(), other.take().unwrap()), (Take::Later, Take::Later));
        // It failed there and is to be tried again, by whoever comes first.
        other.finish(1, Outcome::Again).unwrap();
        assert_eq!(one.take().unwrap(), Take::Item(1));
        one.finish(1, Outcome::Settled).unwrap();
        // A process that is gone holds nothing.
        drop(one);
        let mut left = Vec::new();
        loop {
            match other.take().unwrap() {
                Take::Item(place) => {
                    left.push(place);
                    other.finish(place, Outcome::Settled).unwrap();
                }
                Take::Later => {}
                Take::Empty => break,
            }
        }
        left.sort_unstable();
        assert_eq!(left, [0, 1]);
    }

    #[test]
    fn a_folder_that_another_process_cleared_away_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let queue = FolderQueue::open(dir.path().join("leases"), vec!["a".into()]).unwrap();
        std::fs::remove_dir_all(queue.dir()).unwrap();
        assert_eq!(queue.take().unwrap(), Take::Item(0));
    }
}
