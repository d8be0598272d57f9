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
/// There is no thread behind it: whoever waits for an answer takes steps for all, until its own is there. A card has to be one that
/// threads share ([`strefer_nn::open_card`]).
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
        let rows = Some(Rows::new(&decoder));
        let desk = Desk { next: 0, waiting: VecDeque::new(), rows, done: BTreeMap::new() };
        Self { decoder, at_once: at_once.max(1), desk: Mutex::new(desk), changed: Condvar::new() }
    }

    /// Continues a prompt as [`generate`](super::generate) does, or, with a guide, [`generate_guided`](super::generate_guided).
    /// Many threads may call it at once; what goes wrong with one prompt ends that one alone. A thread of a rayon pool has its prompt
    /// continued alone: if it waited for others, what they wait for might be its to do.
    ///
    /// # Shapes
    /// - `prompt_embeds`: `(1, s, d)`
    ///
    /// # Errors
    /// A prompt that does not fit the model, settings that cannot be meant, logits that are no numbers; and
    /// [`Error::Panicked`] when a step that this answer was a part of, of another thread, ended in a panic.
    pub fn generate(
        &self,
        prompt_embeds: &Tensor,
        cfg: &GenerationConfig,
        guide: Option<Guide>,
    ) -> Result<Vec<u32>> {
        let cache = Held::Own(Box::new(KvCache::new(self.decoder.config())));
        let row = Row::new(&self.decoder, cache, prompt_embeds, cfg, guide)?;
        if rayon::current_thread_index().is_some() {
            return self.alone(row);
        }
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

    fn alone(&self, row: Row<'static>) -> Result<Vec<u32>> {
        let mut rows = Rows::new(&self.decoder);
        rows.join(0, row);
        loop {
            if let Some((_, answer)) = rows.step(&self.decoder, go_on).pop() {
                return answer;
            }
        }
    }

    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Lets rows join as far as there is room, and takes a step for all, for the caller that waits for `own`.
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
        let mut turn = Turn { batcher: self, own, others: Some(others) };
        let ended = rows.step(&self.decoder, go_on);
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

fn go_on(_row: usize, _token: u32, _logits: &[f32]) -> Result<ControlFlow<()>> {
    Ok(ControlFlow::Continue(()))
}

/// A step that a thread takes. If it ends in a panic, the answers that were part of it are over, and the others go on.
struct Turn<'a> {
    batcher: &'a Batcher,
    /// The thread's own answer.
    own: usize,
    /// Those that other threads wait for, until the step is done.
    others: Option<Vec<usize>>,
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        let Some(others) = self.others.take() else { return };
        let mut desk = self.batcher.desk();
        desk.rows = Some(Rows::new(&self.batcher.decoder));
        // Nobody comes for the answer of the thread itself.
        desk.waiting.retain(|(at, _)| *at != self.own);
        desk.done.extend(others.into_iter().map(|at| (at, Err(Error::Panicked))));
        self.batcher.changed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};
    use strefer_nn::ParamStore;
    use strefer_nn::testing::randn;

    use super::*;
    use crate::decoder::DecoderConfig;

    fn batcher() -> Batcher {
        let store = ParamStore::new(5, &Device::Cpu, DType::F32);
        Batcher::new(Decoder::new(&DecoderConfig::tiny(40), store.var_builder()).unwrap(), 2)
    }

    #[test]
    fn a_step_that_ends_in_a_panic_takes_its_answers_along_and_no_others() {
        let batcher = batcher();
        let cfg = GenerationConfig { max_new_tokens: 3, ..GenerationConfig::default() };
        let row = || {
            let cache = Held::Own(Box::new(KvCache::new(batcher.decoder.config())));
            Row::new(&batcher.decoder, cache, &randn(1, &[1, 3, 128]), &cfg, None).unwrap()
        };
        {
            let mut desk = batcher.desk();
            desk.next = 3;
            desk.waiting.extend([(1, row()), (2, row())]);
            desk.rows = None;
        }
        // As a thread leaves that waits for answer 1 and had 0 under way.
        drop(Turn { batcher: &batcher, own: 1, others: Some(vec![0]) });
        let desk = batcher.desk();
        assert!(desk.rows.as_ref().is_some_and(Rows::is_empty));
        assert_eq!(desk.waiting.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [2]);
        assert!(matches!(desk.done[&0], Err(Error::Panicked)) && desk.done.len() == 1);
        drop(desk);
        let answer = batcher.generate(&randn(1, &[1, 3, 128]), &cfg, None).unwrap();
        assert_eq!(answer.len(), 3);
    }

    #[test]
    fn threads_of_a_pool_do_not_wait_for_each_other() {
        use rayon::prelude::*;
        let batcher = batcher();
        let cfg = GenerationConfig { max_new_tokens: 3, ..GenerationConfig::default() };
        let ask = |at: usize| batcher.generate(&randn(at as u64, &[1, 1 + at, 128]), &cfg, None).unwrap();
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let together: Vec<Vec<u32>> = pool.install(|| (0..8).into_par_iter().map(ask).collect());
        assert_eq!(together, (0..8).map(ask).collect::<Vec<_>>());
    }
}
