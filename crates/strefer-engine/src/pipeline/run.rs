//! Many videos, several at a time, until nothing is left.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use strefer_video::Limits;

use super::at_hand::Desk;
use super::chain::{Chain, Crew, Failed};
use super::failures::Failures;
use super::fault::{Failure, Fault};
use super::folder::RunFolder;
use super::input::Input;
use super::keys::Keys;
use super::stage::Stage;
use super::store::Store;
use super::watch::Watch;
use crate::config::EngineConfig;
use crate::error::Result;
use crate::queue::{Outcome, Take, WorkQueue};

/// How long a worker waits before it asks again for what others hold.
const PAUSE: Duration = Duration::from_millis(100);

/// A run ends when so many videos for each worker found a server away, one after the other.
const AWAY: usize = 3;

/// What happens in a run.
#[derive(Debug)]
pub enum Event<'a> {
    /// A stage of a video ended well.
    Stage {
        /// The video.
        video_id: &'a str,
        /// The stage.
        stage: Stage,
        /// Seconds it took.
        seconds: f64,
        /// Whether its output was there already.
        kept: bool,
    },
    /// A video came to nothing this time.
    Failed(&'a Failure),
    /// Nothing more is done about a video.
    Settled(&'a str),
}

/// What a run did.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct Summary {
    /// Videos in the files.
    pub videos: usize,
    /// Videos that were finished before.
    pub kept: usize,
    /// Samples in the files.
    pub samples: usize,
    /// Questions and answers in them.
    pub turns: usize,
    /// Videos that are parked: tried so often as is allowed, to no end.
    pub parked: usize,
    /// Videos that wait for an earlier stage, where one stage is run alone.
    pub waiting: usize,
    /// Videos that are left for another run.
    pub left: usize,
    /// Why this one ended before its time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub stopped: Option<String>,
}

/// A run in its folder.
pub struct Run<'a> {
    /// The configuration.
    pub cfg: &'a EngineConfig,
    /// Who is asked.
    pub crew: &'a Crew,
    /// The run's folder.
    pub folder: &'a RunFolder,
    /// The only stage that is run, where it is one.
    pub only: Option<Stage>,
    /// Whether parked videos are tried again.
    pub retry: bool,
    /// Set from outside, the run ends after the steps in hand; the run sets it when nothing more can be done.
    pub stop: &'a AtomicBool,
    /// Hears what happens, from several threads.
    pub observer: &'a (dyn Fn(&Event<'_>) + Sync),
}

#[derive(Default)]
struct Tally {
    kept: usize,
    settled: BTreeSet<usize>,
    parked: usize,
    waiting: usize,
    stopped: Option<String>,
    /// The queue has nothing left, whoever worked on it.
    emptied: bool,
    /// Videos in a row that found a teacher's server away.
    away: usize,
}

/// What became of one video.
enum End {
    Kept,
    Made,
    Parked(Option<Fault>),
    Waits,
    Again(Fault),
    /// The run cannot go on.
    Over(Fault),
}

impl Run<'_> {
    pub(super) fn store(&self) -> Store {
        Store::new(self.folder.path("stages"))
    }

    pub(super) fn desk(&self) -> Desk {
        let deadline = Duration::from_secs_f64(self.cfg.work.stage_s);
        // Several videos are read at once.
        let limits = Limits { deadline, threads: 1, ..Limits::default() };
        Desk::new(self.folder.path("videos"), limits)
    }

    pub(super) fn watch(&self) -> Watch<'_> {
        Watch::start(self.stop, self.cfg.work.video_s, self.cfg.work.stage_s)
    }

    fn failures(&self) -> Failures {
        Failures::new(self.folder.path("failed"), self.folder.hash(), self.only)
    }

    /// A name of each video's work for queues: workers that do something else have other names.
    pub fn work_names(&self, inputs: &[Input]) -> Vec<String> {
        let failures = self.failures();
        inputs.iter().map(|input| failures.name(&input.video_id)).collect()
    }

    /// Works on videos from a queue until it is empty or the run is stopped. Joins nothing.
    ///
    /// # Errors
    /// A queue that cannot be used. Whatever goes wrong with a video is recorded, and the others go on.
    pub fn over(&self, inputs: &[Input], queue: &dyn WorkQueue) -> Result<Summary> {
        let tally = Mutex::new(Tally::default());
        let store = self.store();
        let chain = Chain { cfg: self.cfg, crew: self.crew, store: &store, only: self.only };
        let workers = self.cfg.work.workers.min(inputs.len()).max(1);
        let results: Vec<Result<()>> = std::thread::scope(|scope| {
            let worker = || self.work(inputs, queue, &chain, &tally);
            let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
                .collect()
        });
        results.into_iter().collect::<Result<()>>()?;
        let tally = tally.into_inner().unwrap_or_else(PoisonError::into_inner);
        let stopped = tally
            .stopped
            .or_else(|| self.stop.load(Ordering::Relaxed).then(|| "it was asked to stop".to_owned()));
        Ok(Summary {
            kept: tally.kept,
            parked: tally.parked,
            waiting: tally.waiting,
            left: if tally.emptied { 0 } else { inputs.len() - tally.settled.len() },
            stopped,
            ..Summary::default()
        })
    }

    fn work(
        &self,
        inputs: &[Input],
        queue: &dyn WorkQueue,
        chain: &Chain<'_>,
        tally: &Mutex<Tally>,
    ) -> Result<()> {
        let (desk, failures) = (self.desk(), self.failures());
        while !self.stop.load(Ordering::Relaxed) {
            let place = match queue.take()? {
                Take::Item(place) => place,
                Take::Later => {
                    std::thread::sleep(PAUSE);
                    continue;
                }
                Take::Empty => {
                    tally.lock().unwrap_or_else(PoisonError::into_inner).emptied = true;
                    break;
                }
            };
            let input = &inputs[place];
            let end = self.one(input, chain, &desk, &failures);
            let mut tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
            match &end {
                End::Parked(Some(fault)) | End::Again(fault) if fault.is_away() => tally.away += 1,
                End::Parked(None) | End::Kept => {}
                _ => tally.away = 0,
            }
            if let End::Parked(Some(fault)) | End::Again(fault) = &end
                && tally.away >= AWAY * self.cfg.work.workers
            {
                tally.stopped.get_or_insert_with(|| fault.to_string());
                self.stop.store(true, Ordering::Relaxed);
            }
            match &end {
                End::Kept => tally.kept += 1,
                End::Parked(_) => tally.parked += 1,
                End::Waits => tally.waiting += 1,
                End::Over(fault) => {
                    if !matches!(fault, Fault::Stopped) && tally.stopped.is_none() {
                        tally.stopped = Some(fault.to_string());
                    }
                    self.stop.store(true, Ordering::Relaxed);
                }
                End::Made | End::Again(_) => {}
            }
            let outcome = match end {
                End::Again(_) | End::Over(_) => Outcome::Again,
                _ => Outcome::Settled,
            };
            if outcome == Outcome::Settled {
                tally.settled.insert(place);
                (self.observer)(&Event::Settled(&input.video_id));
            }
            drop(tally);
            queue.finish(place, outcome)?;
        }
        Ok(())
    }

    fn one(&self, input: &Input, chain: &Chain<'_>, desk: &Desk, failures: &Failures) -> End {
        let before = failures.read(&input.video_id);
        if before.as_ref().is_some_and(|failure| failure.parked) && !self.retry {
            return End::Parked(None);
        }
        let failed = match self.stages(input, chain, desk) {
            Ok(true) => return End::Kept,
            Ok(false) => {
                failures.forget(&input.video_id);
                return End::Made;
            }
            Err(failed) => failed,
        };
        let (stage, fault) = failed;
        if fault.ends_the_run() {
            return End::Over(fault);
        }
        if matches!(fault, Fault::Waits { .. }) {
            return End::Waits;
        }
        let tried = before.filter(|failure| !failure.parked).map_or(0, |failure| failure.tries);
        let tries = tried + 1;
        let parked = tries >= self.cfg.work.tries;
        let failure = Failure { video_id: input.video_id.clone(), stage, fault, tries, parked };
        (self.observer)(&Event::Failed(&failure));
        match failures.write(&failure) {
            Ok(()) if parked => End::Parked(Some(failure.fault)),
            Ok(()) => End::Again(failure.fault),
            // Without a record it would be tried for ever.
            Err(error) => End::Over(Fault::Disk { reason: error.to_string(), full: true }),
        }
    }

    /// Whether all was there already.
    fn stages(
        &self,
        input: &Input,
        chain: &Chain<'_>,
        desk: &Desk,
    ) -> std::result::Result<bool, (Option<Stage>, Fault)> {
        let unopened = |fault| (None, fault);
        let watch = self.watch();
        let at = desk.take(input, &watch).map_err(unopened)?;
        let keys = Keys::new(&at, self.cfg, self.crew).map_err(unopened)?;
        if chain.is_finished(&keys) {
            return Ok(true);
        }
        let ended = |stage, took: Duration, kept| {
            let seconds = took.as_secs_f64();
            (self.observer)(&Event::Stage { video_id: &input.video_id, stage, seconds, kept });
        };
        let ran: std::result::Result<(), Failed> = chain.run(&at, &keys, &watch, &ended);
        ran.map(|()| false).map_err(|(stage, fault)| (Some(stage), fault))
    }
}
