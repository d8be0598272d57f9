//! Local copies of what must be a file to be read, within bounds.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tempfile::TempDir;

use crate::error::{Result, io};
use crate::remote::Remote;

/// A folder of copies that goes away with its owner. Copies that nobody holds leave, the least recently used first, when there
/// are more bytes than room; those that are held stay, and so it may hold more for a while.
#[derive(Debug)]
pub struct Shelf {
    folder: TempDir,
    room: u64,
    state: Mutex<State>,
    changed: Condvar,
    pub(crate) remote: Remote,
}

#[derive(Debug, Default)]
struct State {
    copies: HashMap<String, Copy>,
    /// Counts uses.
    clock: u64,
}

#[derive(Debug)]
struct Copy {
    path: PathBuf,
    /// None while it is being made.
    bytes: Option<u64>,
    holders: usize,
    used: u64,
}

/// A copy that stays on its shelf until this is dropped.
#[derive(Debug)]
pub struct Held {
    shelf: Arc<Shelf>,
    key: String,
    path: PathBuf,
}

impl Held {
    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.shelf.state();
        if let Some(copy) = state.copies.get_mut(&self.key) {
            copy.holders -= 1;
        }
        self.shelf.clear(&mut state);
    }
}

impl Shelf {
    /// An empty one among the system's temporary folders (`TMPDIR`), with room for so many bytes; fetching one copy from
    /// elsewhere may take `deadline`.
    ///
    /// # Errors
    /// The folder cannot be made.
    pub fn new(room: u64, deadline: Duration) -> Result<Arc<Self>> {
        let folder = tempfile::Builder::new().prefix("strefer-").tempdir();
        let folder = folder.map_err(io(&std::env::temp_dir()))?;
        Ok(Arc::new(Self {
            folder,
            room,
            state: Mutex::default(),
            changed: Condvar::new(),
            remote: Remote::new(deadline),
        }))
    }

    /// The copy with this key, which `make` writes where it is not there yet. `name` gives its ending. The path of a key is
    /// always the same. Several threads that ask for one key wait for the first.
    ///
    /// # Errors
    /// Those of `make`; nothing is left of a copy that failed.
    pub fn copy(
        self: &Arc<Self>,
        key: &str,
        name: &str,
        make: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Held> {
        let held = |path: PathBuf| Held { shelf: Arc::clone(self), key: key.to_owned(), path };
        let mut state = self.state();
        loop {
            state.clock += 1;
            let clock = state.clock;
            match state.copies.get_mut(key) {
                Some(copy) if copy.bytes.is_some() => {
                    copy.holders += 1;
                    copy.used = clock;
                    return Ok(held(copy.path.clone()));
                }
                Some(_) => state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner),
                None => break,
            }
        }
        let ending = Path::new(name).extension().map(|ending| format!(".{}", ending.to_string_lossy()));
        let file = format!("{}{}", blake3::hash(key.as_bytes()).to_hex(), ending.unwrap_or_default());
        let path = self.folder.path().join(file);
        let used = state.clock;
        state.copies.insert(key.to_owned(), Copy { path: path.clone(), bytes: None, holders: 1, used });
        drop(state);
        let being = Being { shelf: self, key, path: &path, done: false };
        make(&path)?;
        let bytes = path.metadata().map_err(io(&path))?.len();
        being.finish(bytes);
        Ok(held(path))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets go what there is no room for.
    fn clear(&self, state: &mut State) {
        let mut all: u64 = state.copies.values().filter_map(|copy| copy.bytes).sum();
        while all > self.room {
            let idle = state.copies.iter().filter(|(_, copy)| copy.holders == 0 && copy.bytes.is_some());
            let Some((key, _)) = idle.min_by_key(|(_, copy)| copy.used) else { return };
            let key = key.clone();
            if let Some(copy) = state.copies.remove(&key) {
                all -= copy.bytes.unwrap_or_default();
                // What cannot be removed now goes with the folder.
                let _ = std::fs::remove_file(copy.path);
            }
        }
    }
}

/// A copy that is being made: gone if that fails.
struct Being<'a> {
    shelf: &'a Shelf,
    key: &'a str,
    path: &'a Path,
    done: bool,
}

impl Being<'_> {
    fn finish(mut self, bytes: u64) {
        self.done = true;
        let mut state = self.shelf.state();
        if let Some(copy) = state.copies.get_mut(self.key) {
            copy.bytes = Some(bytes);
        }
        self.shelf.clear(&mut state);
    }
}

impl Drop for Being<'_> {
    fn drop(&mut self) {
        if !self.done {
            self.shelf.state().copies.remove(self.key);
            let _ = std::fs::remove_file(self.path);
        }
        self.shelf.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;
    use crate::error::Error;

    fn shelf(room: u64) -> Arc<Shelf> {
        Shelf::new(room, Duration::from_secs(1)).unwrap()
    }

    fn ten(path: &Path) -> Result<()> {
        std::fs::write(path, [0; 10]).map_err(io(path))
    }

    #[test]
    fn copies_are_made_once_and_the_oldest_that_nobody_holds_leaves() {
        let shelf = shelf(25);
        let first = shelf.copy("a", "a.mp4", ten).unwrap();
        assert!(first.path().extension().is_some_and(|ending| ending == "mp4"));
        let path = |key: &str| shelf.copy(key, "x", ten).unwrap().path().to_owned();
        let second = path("b");
        path("a");
        let third = path("c");
        assert!(first.path().exists() && !second.exists() && third.exists());
        assert_eq!(shelf.copy("a", "a.mp4", |_| panic!("it is there")).unwrap().path(), first.path());
        let folder = first.path().parent().unwrap().to_owned();
        drop(first);
        path("d");
        path("e");
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 2);
        drop(shelf);
        assert!(!folder.exists());
    }

    #[test]
    fn what_is_held_stays_beyond_the_room() {
        let shelf = shelf(5);
        let held: Vec<Held> = ["a", "b"].map(|key| shelf.copy(key, "x", ten).unwrap()).into();
        assert!(held.iter().all(|copy| copy.path().exists()));
        let paths: Vec<PathBuf> = held.iter().map(|copy| copy.path().to_owned()).collect();
        drop(held);
        assert!(paths.iter().all(|path| !path.exists()));
    }

    #[test]
    fn a_copy_that_fails_leaves_nothing_and_may_be_tried_again() {
        let shelf = shelf(100);
        let fail = |path: &Path| {
            ten(path)?;
            Err(Error::NoFiles { path: path.to_owned() })
        };
        let error = shelf.copy("a", "x", fail).unwrap_err();
        let Error::NoFiles { path } = error else { panic!("{error}") };
        assert!(!path.exists());
        assert_eq!(shelf.copy("a", "x", ten).unwrap().path(), path);
    }

    #[test]
    fn threads_that_want_the_same_copy_wait_for_the_first() {
        let (shelf, made) = (shelf(100), AtomicUsize::new(0));
        let make = |path: &Path| {
            made.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(Duration::from_millis(50));
            ten(path)
        };
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert!(shelf.copy("a", "x", make).unwrap().path().exists()));
            }
        });
        assert_eq!(made.into_inner(), 1);
    }
}
