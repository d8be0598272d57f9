//! Writes checkpoints beside the training: a rank hands over what it holds and goes on.

use std::path::PathBuf;
use std::thread::JoinHandle;

use crate::checkpoints::Checkpoints;
use crate::error::{Error, Result};
use crate::ranks::Ranks;
use crate::state::Snapshot;

/// The checkpoint under way, at most one. All ranks call the same functions at the same steps.
#[derive(Debug)]
pub(crate) struct Saver {
    checkpoints: Checkpoints,
    under_way: Option<UnderWay>,
}

#[derive(Debug)]
struct UnderWay {
    step: usize,
    /// The step of the best evaluation when it was begun.
    best: Option<usize>,
    written: JoinHandle<Result<()>>,
}

impl Saver {
    pub(crate) fn new(checkpoints: Checkpoints) -> Self {
        Self { checkpoints, under_way: None }
    }

    /// Whether this rank has written its part of the checkpoint under way, or there is none.
    pub(crate) fn is_written(&self) -> bool {
        self.under_way.as_ref().is_none_or(|under_way| under_way.written.is_finished())
    }

    /// Makes room for the checkpoint after `step` steps; not if it is there already.
    pub(crate) fn make_room(&self, ranks: &Ranks, step: usize) -> Result<bool> {
        let (first, what) = (ranks.is_first(), saving(step));
        let there = first && self.checkpoints.path(step).exists();
        let [there] = ranks.sum(&what, [f64::from(u8::from(there))])?;
        if there == 0.0 {
            ranks.together(&what, if first { self.checkpoints.begin(step) } else { Ok(()) })?;
        }
        Ok(there == 0.0)
    }

    /// Writes this rank's part beside what comes next. There is room for it, and nothing under way.
    pub(crate) fn write(&mut self, step: usize, best: Option<usize>, snapshot: Snapshot) {
        let dir = self.checkpoints.temporary(step);
        let written = std::thread::spawn(move || snapshot.write(&dir));
        self.under_way = Some(UnderWay { step, best, written });
    }

    /// Waits for the checkpoint under way and gives it its name.
    pub(crate) fn finish(&mut self, ranks: &Ranks) -> Result<Option<(usize, PathBuf)>> {
        let Some(UnderWay { step, best, written }) = self.under_way.take() else { return Ok(None) };
        let what = saving(step);
        let own = written.join().unwrap_or(Err(Error::WriterDied));
        let first = ranks.is_first();
        let outcome = ranks.together(&what, own).and_then(|()| {
            let published = if first { self.checkpoints.publish(step, best) } else { Ok(()) };
            ranks.together(&what, published)
        });
        if outcome.is_err() && first {
            self.checkpoints.abandon(step);
        }
        outcome.map(|()| Some((step, self.checkpoints.path(step))))
    }
}

impl Drop for Saver {
    fn drop(&mut self) {
        if let Some(under_way) = self.under_way.take() {
            // The run has failed: nobody would give the folder its name, and resuming removes it.
            let _ = under_way.written.join();
        }
    }
}

/// What ranks do together when they save.
pub(crate) fn saving(step: usize) -> String {
    format!("saving after {step} steps")
}
