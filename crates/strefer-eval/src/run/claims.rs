//! Who works on what, told by files alone: no server, no locks, no collectives.
//!
//! A process has a file in `holders/` that it writes again and again; a claim is a file in `claims/` that names its holder.
//! A holder whose file is gone, is not written for as long as a lease, or whose process on this machine has ended, is
//! dead, and its claims are taken over. Ages are differences of times that the file system gave, so clocks of machines
//! need not agree.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::error::{Error, Result};

/// This process among those that share a run.
#[derive(Debug)]
pub(super) struct Claims {
    dir: PathBuf,
    own: String,
    lease: Duration,
    beats: AtomicU64,
}

fn io(path: &Path) -> impl FnOnce(std::io::Error) -> Error + '_ {
    move |source| Error::Io { path: path.to_owned(), source }
}

/// The machine's name, as far as file names can have it.
fn machine() -> String {
    let name =
        fs::read_to_string("/proc/sys/kernel/hostname").ok().or_else(|| std::env::var("HOSTNAME").ok());
    let name = name.unwrap_or_else(|| "machine".to_owned());
    name.trim().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect()
}

impl Claims {
    /// Joins the run in `dir`.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn join(dir: &Path, lease: Duration) -> Result<Self> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let own = format!("{}-{}-{:x}", machine(), std::process::id(), now.as_nanos());
        let claims = Self { dir: dir.to_owned(), own, lease, beats: AtomicU64::new(0) };
        claims.beat()?;
        Ok(claims)
    }

    /// This process' name.
    pub fn own(&self) -> &str {
        &self.own
    }

    /// How often [`Claims::beat`] is to be called.
    pub fn pace(&self) -> Duration {
        self.lease / 4
    }

    fn holder(&self, name: &str) -> PathBuf {
        self.dir.join("holders").join(name)
    }

    /// Says that this process lives.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn beat(&self) -> Result<()> {
        let (path, beat) = (self.holder(&self.own), self.beats.fetch_add(1, Ordering::Relaxed));
        fs::write(&path, beat.to_string()).map_err(io(&path))
    }

    /// Whether a process lives, as far as can be told.
    pub fn lives(&self, name: &str) -> bool {
        if name == self.own {
            return true;
        }
        let mut parts = name.split('-');
        if let (Some(host), Some(process)) = (parts.next(), parts.next())
            && host == machine()
            && Path::new("/proc/self").exists()
            && !Path::new("/proc").join(process).exists()
        {
            return false;
        }
        let written = |name: &str| fs::metadata(self.holder(name)).and_then(|meta| meta.modified());
        let Ok(theirs) = written(name) else { return false };
        match written(&self.own) {
            // Ours is a beat old at most.
            Ok(ours) => ours.duration_since(theirs).unwrap_or_default() < self.lease,
            Err(_) => true,
        }
    }

    /// Claims a portion, from nobody or from a process that is dead; tells whether it is ours now.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn take(&self, portion: usize) -> Result<bool> {
        let claims = self.dir.join("claims");
        let (claim, part) =
            (claims.join(portion.to_string()), claims.join(format!(".{}.{portion}", self.own)));
        fs::write(&part, &self.own).map_err(io(&part))?;
        let taken = self.link(&part, &claim);
        fs::remove_file(&part).map_err(io(&part))?;
        taken
    }

    fn link(&self, part: &Path, claim: &Path) -> Result<bool> {
        loop {
            match fs::hard_link(part, claim) {
                Ok(()) => return Ok(true),
                Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
                Err(error) => return Err(io(claim)(error)),
            }
            match fs::read_to_string(claim) {
                Ok(name) if name == self.own => return Ok(true),
                Ok(name) if self.lives(&name) => return Ok(false),
                Ok(_) => {
                    // Of several that find a dead claim one moves it away. Should that be a new claim already, two do
                    // the same work.
                    let over = part.with_extension("over");
                    if fs::rename(claim, &over).is_ok() {
                        let _ = fs::remove_file(&over);
                    }
                }
                // Somebody moved it away.
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                Err(error) => return Err(io(claim)(error)),
            }
        }
    }
}

impl Drop for Claims {
    fn drop(&mut self) {
        // What is unfinished is free at once; without this it is free after the lease.
        let _ = fs::remove_file(self.holder(&self.own));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for part in ["claims", "holders"] {
            fs::create_dir(dir.path().join(part)).unwrap();
        }
        dir
    }

    #[test]
    fn a_portion_is_one_processs_until_that_ends() {
        let dir = folder();
        let first = Claims::join(dir.path(), Duration::from_secs(60)).unwrap();
        let second = Claims::join(dir.path(), Duration::from_secs(60)).unwrap();
        assert!(first.take(0).unwrap() && first.take(0).unwrap());
        assert!(!second.take(0).unwrap() && second.take(1).unwrap());
        drop(first);
        assert!(second.take(0).unwrap());
        assert_eq!(fs::read_dir(dir.path().join("claims")).unwrap().count(), 2, "nothing else is left");
    }

    #[test]
    fn portions_of_the_dead_are_taken_over() {
        let dir = folder();
        let living = Claims::join(dir.path(), Duration::from_millis(1)).unwrap();
        // On another machine: written once, then no more.
        let silent = "elsewhere-1-0";
        fs::write(dir.path().join("holders").join(silent), "0").unwrap();
        fs::write(dir.path().join("claims/0"), silent).unwrap();
        // On this machine, and its process has ended. No process has this number.
        let ended = format!("{}-4294967295-0", machine());
        fs::write(dir.path().join("holders").join(&ended), "0").unwrap();
        fs::write(dir.path().join("claims/1"), &ended).unwrap();
        assert!(!living.lives(&ended));
        assert!(living.take(1).unwrap());
        while living.lives(silent) {
            living.beat().unwrap();
        }
        assert!(living.take(0).unwrap());
    }
}
