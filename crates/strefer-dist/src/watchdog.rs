//! Names the rank and the values where ranks wait for each other too long.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use candle_core::{Device, Result, Tensor};

use crate::communicator::Communicator;

/// A wait that is too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stall {
    /// The rank that waits.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// What it wants to compute with the others.
    pub what: String,
    /// How long it has waited.
    pub waited: Duration,
}

impl std::fmt::Display for Stall {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { rank, size, what, waited } = self;
        write!(f, "rank {rank} of {size} has waited {:.0} s for the others: {what}", waited.as_secs_f64())
    }
}

#[derive(Debug, Default)]
struct Wait {
    of: Mutex<Option<(String, Instant)>>,
    over: AtomicBool,
    woken: Condvar,
}

/// Looks at how long one rank waits for the others, one wait at a time.
#[derive(Debug)]
pub struct Watch {
    wait: Arc<Wait>,
    thread: Option<JoinHandle<()>>,
}

impl Watch {
    /// `on_stall` hears once of each wait of `rank` that is longer than `limit`; it can end the process, since no collective can
    /// be called off.
    pub fn new(
        rank: usize,
        size: usize,
        limit: Duration,
        on_stall: impl Fn(&Stall) + Send + 'static,
    ) -> Self {
        let wait = Arc::new(Wait::default());
        let watched = Arc::clone(&wait);
        let thread = std::thread::spawn(move || {
            let mut told = None;
            let nap = (limit / 4).clamp(Duration::from_millis(1), Duration::from_secs(5));
            loop {
                let of = watched.of.lock().unwrap_or_else(PoisonError::into_inner);
                if watched.over.load(Ordering::Relaxed) {
                    return;
                }
                let of =
                    watched.woken.wait_timeout(of, nap).unwrap_or_else(PoisonError::into_inner).0.clone();
                if let Some((what, since)) = of
                    && since.elapsed() > limit
                    && told != Some(since)
                {
                    told = Some(since);
                    on_stall(&Stall { rank, size, what, waited: since.elapsed() });
                }
            }
        });
        Self { wait, thread: Some(thread) }
    }

    /// Watches `work`, which waits for the other ranks for `what`.
    pub fn during<T>(&self, what: &str, work: impl FnOnce() -> T) -> T {
        let set = |value| *self.wait.of.lock().unwrap_or_else(PoisonError::into_inner) = value;
        set(Some((what.to_owned(), Instant::now())));
        let result = work();
        set(None);
        result
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        {
            // Under the lock: the watcher has either not looked yet or waits to be woken.
            let _of = self.wait.of.lock().unwrap_or_else(PoisonError::into_inner);
            self.wait.over.store(true, Ordering::Relaxed);
        }
        self.wait.woken.notify_all();
        if let Some(thread) = self.thread.take() {
            // A watcher that panicked has nothing left to tell.
            let _ = thread.join();
        }
    }
}

/// Ranks whose exchanges are under watch.
#[derive(Debug)]
pub struct Watched {
    ranks: Arc<dyn Communicator>,
    watch: Watch,
}

impl Watched {
    /// Has `watch` look at all exchanges of `ranks`.
    pub fn new(ranks: Arc<dyn Communicator>, watch: Watch) -> Self {
        Self { ranks, watch }
    }
}

impl Communicator for Watched {
    fn rank(&self) -> usize {
        self.ranks.rank()
    }

    fn size(&self) -> usize {
        self.ranks.size()
    }

    fn device(&self) -> Device {
        self.ranks.device()
    }

    fn all_reduce(&self, what: &str, values: &Tensor) -> Result<Tensor> {
        self.watch.during(what, || self.ranks.all_reduce(what, values))
    }

    fn all_gather(&self, what: &str, part: &Tensor) -> Result<Tensor> {
        self.watch.during(what, || self.ranks.all_gather(what, part))
    }

    fn broadcast(&self, what: &str, values: &Tensor, root: usize) -> Result<Tensor> {
        self.watch.during(what, || self.ranks.broadcast(what, values, root))
    }

    fn reduce(&self, what: &str, values: &Tensor, root: usize) -> Result<Option<Tensor>> {
        self.watch.during(what, || self.ranks.reduce(what, values, root))
    }
}
