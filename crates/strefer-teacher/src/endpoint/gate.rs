//! So many at a time, so many a minute.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

#[derive(Debug)]
pub(super) struct Gate {
    room: usize,
    /// Between two that come in.
    apart: Duration,
    state: Mutex<State>,
    left: Condvar,
}

#[derive(Debug)]
struct State {
    inside: usize,
    next: Instant,
}

pub(super) struct Inside<'a>(&'a Gate);

impl Drop for Inside<'_> {
    fn drop(&mut self) {
        self.0.state().inside -= 1;
        self.0.left.notify_one();
    }
}

impl Gate {
    pub(super) fn new(room: usize, per_minute: Option<f64>) -> Self {
        let apart = per_minute.map_or(Duration::ZERO, |rate| Duration::from_secs_f64(60.0 / rate));
        Self {
            room,
            apart,
            state: Mutex::new(State { inside: 0, next: Instant::now() }),
            left: Condvar::new(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for room, and for its turn.
    pub(super) fn enter(&self) -> Inside<'_> {
        let mut state = self.state();
        while state.inside >= self.room {
            state = self.left.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.inside += 1;
        let turn = state.next.max(Instant::now());
        state.next = turn + self.apart;
        drop(state);
        std::thread::sleep(turn.saturating_duration_since(Instant::now()));
        Inside(self)
    }

    pub(super) fn inside(&self) -> usize {
        self.state().inside
    }
}
