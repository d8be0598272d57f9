//! Continuous batching (Orca, OSDI 2022): answers of many threads go through the layers together.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::ops::ControlFlow;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use candle_core::Tensor;

use super::GenerationConfig;
use super::rows::{Held, Row, Rows};
use crate::decoder::{Decoder, KvCache};
use crate::error::{Error, Result};
use crate::guide::Guide;

/// Continues prompts of many threads, each with settings of its own. Every step reads the weights once for all answers under
/// way; a prompt joins between two steps and an answer leaves as soon as it has ended, so that none waits for a longer one.
///
/// There is no thread behind it: whoever waits for an answer takes steps for all, until its own is there.
///
/// What a prompt is answered with does not depend on its company but for rounding, which differs with the number of rows
/// that a product has.
pub struct Batcher {
    decoder: Decoder,
    at_once: usize,
    desk: Mutex<Desk>,
    changed: Condvar,
}

/// What the threads share.
struct Desk {
    next: usize,
    waiting: VecDeque<(usize, Row<'static>)>,
    /// Absent while a thread takes a step.
    rows: Option<Rows<'static>>,
    /// Answers that nobody has fetched yet.
    done: BTreeMap<usize, Result<Vec<u32>>>,
}

impl fmt::Debug for Batcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batcher").field("at_once", &self.at_once).finish_non_exhaustive()
    }
}

impl Batcher {
    /// At most `at_once` answers, at least one, are under way at the same time; others wait. Each holds a cache of keys and values.
    pub fn new(decoder: Decoder, at_once: usize) -> Self {
        let desk =
            Desk { next: 0, waiting: VecDeque::new(), rows: Some(Rows::default()), done: BTreeMap::new() };
        Self { decoder, at_once: at_once.max(1), desk: Mutex::new(desk), changed: Condvar::new() }
    }

    /// Continues a prompt as [`generate`](super::generate) does, or, with a guide, [`generate_guided`](super::generate_guided).
    /// Many threads may call it at once; what goes wrong with one prompt ends that one alone.
    ///
    /// # Shapes
    /// - `prompt_embeds`: `(1, s, d)`
    ///
    /// # Errors
    /// A prompt that does not fit the model, settings that cannot be meant, logits that are no numbers, and
    /// [`Error::Generation`] when another thread's step, which this answer was a part of, ended in a panic.
    pub fn generate(
        &self,
        prompt_embeds: &Tensor,
        cfg: &GenerationConfig,
        guide: Option<Guide>,
    ) -> Result<Vec<u32>> {
        let cache = Held::Own(Box::new(KvCache::new(self.decoder.config())));
        let row = Row::new(&self.decoder, cache, prompt_embeds, cfg, guide)?;
        let mut desk = self.desk();
        let own = desk.next;
        desk.next += 1;
        desk.waiting.push_back((own, row));
        loop {
            if let Some(answer) = desk.done.remove(&own) {
                // Whoever waits for one that is not there yet takes the next step.
                self.changed.notify_all();
                return answer;
            }
            desk = match desk.rows.take() {
                Some(rows) => self.step(desk, rows, own),
                None => self.changed.wait(desk).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets rows join as far as there is room, and takes a step for all, on behalf of who waits for `own`.
    fn step<'a>(
        &'a self,
        mut desk: MutexGuard<'a, Desk>,
        mut rows: Rows<'static>,
        own: usize,
    ) -> MutexGuard<'a, Desk> {
        while rows.numbers().len() < self.at_once
            && let Some((at, row)) = desk.waiting.pop_front()
        {
            rows.join(at, row);
        }
        drop(desk);
        let others = rows.numbers().filter(|at| *at != own).collect();
        let mut turn = Turn { batcher: self, others: Some(others) };
        let ended = rows.step(&self.decoder, |_, _, _| Ok(ControlFlow::Continue(())));
        turn.others = None;
        drop(turn);
        let mut desk = self.desk();
        desk.rows = Some(rows);
        if !ended.is_empty() {
            desk.done.extend(ended);
            self.changed.notify_all();
        }
        desk
    }
}

/// A step that a thread takes. If it ends in a panic, the answers that were part of it are over, and the others go on.
struct Turn<'a> {
    batcher: &'a Batcher,
    /// Those that other threads wait for, until the step is done.
    others: Option<Vec<usize>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(others) = self.others.take() else { return };
        let lost = || Error::Generation("another answer of the same step ended in a panic".to_owned());
        let mut desk = self.batcher.desk();
        desk.rows = Some(Rows::default());
        desk.done.extend(others.into_iter().map(|at| (at, Err(lost()))));
        self.batcher.changed.notify_all();
    }
}
