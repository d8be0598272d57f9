//! Ranks that are threads of one process.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use candle_core::{Result, Tensor, bail};

use crate::communicator::{Communicator, check_root, check_summable};

/// How long a rank waits for the others before it gives up: in a test, one of them has failed by then.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Default)]
struct Meeting {
    round: u64,
    /// What the ranks of this round have brought so far: name and values.
    brought: Vec<Option<(String, Tensor)>>,
    arrived: usize,
    /// What all had brought in the round before.
    last: Arc<Vec<Tensor>>,
    fault: Option<String>,
}

#[derive(Debug)]
struct Room {
    meeting: Mutex<Meeting>,
    met: Condvar,
}

/// One of several threads that compute together.
#[derive(Debug)]
pub struct ThreadRank {
    rank: usize,
    size: usize,
    room: Arc<Room>,
}

impl ThreadRank {
    /// As many ranks as `size`, one for each thread.
    pub fn group(size: usize) -> Vec<Self> {
        let meeting = Meeting { brought: vec![None; size], ..Meeting::default() };
        let room = Arc::new(Room { meeting: Mutex::new(meeting), met: Condvar::new() });
        (0..size).map(|rank| Self { rank, size, room: Arc::clone(&room) }).collect()
    }

    /// What all ranks bring, in their order.
    fn exchange(&self, what: &str, own: &Tensor) -> Result<Arc<Vec<Tensor>>> {
        let mut meeting = self.room.meeting.lock().unwrap_or_else(PoisonError::into_inner);
        let round = meeting.round;
        meeting.brought[self.rank] = Some((what.to_owned(), own.detach()));
        meeting.arrived += 1;
        if meeting.arrived == self.size {
            let brought: Vec<(String, Tensor)> =
                meeting.brought.iter_mut().filter_map(Option::take).collect();
            let (first, values) = &brought[0];
            let other = brought.iter().find(|(name, other)| {
                name != first || other.shape() != values.shape() || other.dtype() != values.dtype()
            });
            meeting.fault = other.map(|(name, other)| {
                format!("one rank brings {first} {:?}, another {name} {:?}", values.shape(), other.shape())
            });
            meeting.last = Arc::new(brought.into_iter().map(|(_, values)| values).collect());
            meeting.round += 1;
            meeting.arrived = 0;
            self.room.met.notify_all();
        }
        let until = Instant::now() + PATIENCE;
        while meeting.round == round {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                bail!("rank {} of {}: the others do not come to {what}", self.rank, self.size);
            }
            let waited = self.room.met.wait_timeout(meeting, left);
            meeting = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        match &meeting.fault {
            Some(fault) => bail!("{fault}"),
            None => Ok(Arc::clone(&meeting.last)),
        }
    }
}

impl Communicator for ThreadRank {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.size
    }

    fn all_reduce(&self, what: &str, values: &Tensor) -> Result<Tensor> {
        check_summable(what, values)?;
        let all = self.exchange(what, values)?;
        let (first, rest) = all.split_first().expect("this rank is among them");
        rest.iter().try_fold(first.clone(), |sum, values| sum + values)
    }

    fn all_gather(&self, what: &str, part: &Tensor) -> Result<Tensor> {
        Tensor::cat(&self.exchange(what, part)?[..], 0)
    }

    fn broadcast(&self, what: &str, values: &Tensor, root: usize) -> Result<Tensor> {
        check_root(what, root, self.size)?;
        Ok(self.exchange(what, values)?[root].clone())
    }

    fn reduce(&self, what: &str, values: &Tensor, root: usize) -> Result<Option<Tensor>> {
        check_root(what, root, self.size)?;
        let sums = self.all_reduce(what, values)?;
        Ok((self.rank == root).then_some(sums))
    }
}
