//! Recordings become clips, several at a time, each kept when it is made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::Serialize;

use super::config::StkitRunConfig;
use super::source::Source;
use crate::error::{Error, Result};
use crate::pipeline::digest::Digests;
use crate::pipeline::failures::Failures;
use crate::pipeline::store::{Output, Store};
use crate::pipeline::{Failure, Fault, RunFolder};
use crate::queue::{FolderQueue, Outcome, Take, WorkQueue};
use crate::stkit::clip::Clip;

/// How long a worker waits before it asks again for what others hold.
const PAUSE: Duration = Duration::from_millis(100);

/// The folder of clips in the store.
pub(super) const STAGE: &str = "stkit";

/// What happens in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A recording is done with.
    Recording(&'a str),
    /// A recording came to nothing.
    Failed(&'a Failure),
    /// All recordings are done with; frames of so many clips are to be marked.
    Marking(usize),
    /// Those of one clip are.
    Marked(&'a str),
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Summary {
    /// Recordings in all.
    pub recordings: usize,
    /// Those whose clip was there already.
    pub kept: usize,
    /// Those that came to nothing, refused ones among them.
    pub failed: usize,
    /// Clips that are asked about.
    pub clips: usize,
    /// Questions.
    pub samples: usize,
    /// Recordings, or clips whose frames are to be marked, that are left for another run.
    pub left: usize,
}

/// A run in its folder.
pub struct StkitRun<'a> {
    /// The configuration.
    pub cfg: &'a StkitRunConfig,
    /// Its sources, in its order.
    pub sources: &'a [Source],
    /// The run's folder.
    pub folder: &'a RunFolder,
    /// Set from outside, the run ends after the recordings in hand.
    pub stop: &'a AtomicBool,
    /// Hears what happens, from several threads.
    pub observer: &'a (dyn Fn(&Event<'_>) + Sync),
}

/// What was kept of a recording.
pub(super) enum Kept {
    Made(Output<Clip>),
    Failed(Failure),
}

impl StkitRun<'_> {
    /// The number of recordings.
    pub fn len(&self) -> usize {
        self.sources.iter().map(Source::len).sum()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All recordings: which of its source's.
    pub(super) fn items(&self) -> impl Iterator<Item = (&Source, usize)> {
        self.sources.iter().flat_map(|source| (0..source.len()).map(move |place| (source, place)))
    }

    fn store(&self) -> Store {
        Store::new(self.folder.path("stages"))
    }

    fn digests(&self) -> Digests {
        Digests::new(self.folder.path("digests"))
    }

    fn failures(&self) -> Failures {
        Failures::new(self.folder.path("failed"), self.folder.hash(), None)
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    /// Reads the recordings whose clips are not kept yet. What goes wrong with one is recorded, and the others go on.
    ///
    /// # Errors
    /// A folder that cannot be written.
    pub fn collect(&self) -> Result<Summary> {
        let items: Vec<(&Source, usize)> = self.items().collect();
        let failures = self.failures();
        let names = items.iter().map(|(source, place)| failures.name(&source.name(*place))).collect();
        let queue = FolderQueue::open(self.folder.path("leases"), names)?;
        let workers = self.cfg.work.workers.min(items.len()).max(1);
        let done: Vec<Result<Summary>> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(|| self.work(&items, &queue))).collect();
            let joined = threads.into_iter().map(std::thread::ScopedJoinHandle::join);
            joined.map(|ended| ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
        });
        let mut summary = Summary { recordings: items.len(), ..Summary::default() };
        for part in done {
            let part = part?;
            summary.kept += part.kept;
            summary.failed += part.failed;
            summary.left += part.left;
        }
        if self.is_stopped() {
            // Those of other processes count as theirs.
            let (store, digests) = (self.store(), self.digests());
            let is_left = |(source, place): &&(&Source, usize)| {
                let failed = failures.read(&source.name(*place)).is_some();
                !failed && !source.key(*place, &digests).is_ok_and(|key| store.has(STAGE, &key))
            };
            summary.left = items.iter().filter(is_left).count();
        }
        Ok(summary)
    }

    fn work(&self, items: &[(&Source, usize)], queue: &FolderQueue) -> Result<Summary> {
        let (store, digests, failures) = (self.store(), self.digests(), self.failures());
        let mut summary = Summary::default();
        while !self.is_stopped() {
            let place = match queue.take()? {
                Take::Item(place) => place,
                Take::Later => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Take::Empty => break,
            };
            let (source, recording) = items[place];
            let name = source.name(recording);
            match self.one(source, recording, &store, &digests) {
                Ok(was_there) => {
                    summary.kept += usize::from(was_there);
                    failures.forget(&name);
                }
                Err(error) => {
                    let failure = failure(&name, &error);
                    if failure.fault.ends_the_run() {
                        return Err(error);
                    }
                    summary.failed += 1;
                    failures.write(&failure)?;
                    (self.observer)(&Event::Failed(&failure));
                }
            }
            (self.observer)(&Event::Recording(&name));
            queue.finish(place, Outcome::Settled)?;
        }
        Ok(summary)
    }

    /// Makes and keeps one recording's clip; whether it was there already.
    fn one(&self, source: &Source, recording: usize, store: &Store, digests: &Digests) -> Result<bool> {
        let key = source.key(recording, digests)?;
        if store.has(STAGE, &key) {
            return Ok(true);
        }
        let made = source.read(recording)?;
        let output = Output { records: made.clip.into_iter().collect(), notes: made.notes };
        store.write(STAGE, &key, &output)?;
        Ok(false)
    }

    /// What is kept of a recording, or why nothing is.
    pub(super) fn kept(&self, source: &Source, recording: usize) -> Kept {
        let name = source.name(recording);
        let read =
            source.key(recording, &self.digests()).and_then(|key| self.store().read::<Clip>(STAGE, &key));
        match read {
            Ok(Some(output)) => Kept::Made(output),
            Ok(None) => Kept::Failed(self.failures().read(&name).unwrap_or_else(|| {
                let reason = "nothing was made of it".to_owned();
                failure(&name, &Error::BadVideo { video_id: name.clone(), reason })
            })),
            Err(error) => Kept::Failed(self.failures().read(&name).unwrap_or_else(|| failure(&name, &error))),
        }
    }
}

/// A recording that came to nothing.
pub(super) fn failure(name: &str, error: &Error) -> Failure {
    let fault = match error {
        Error::Video(_) => Fault::Unreadable { reason: error.to_string() },
        _ => match Fault::of_disk(error) {
            full @ Fault::Disk { full: true, .. } => full,
            _ => Fault::Records { reason: error.to_string() },
        },
    };
    Failure { video_id: name.to_owned(), stage: None, fault, tries: 1, parked: true }
}
