//! Putting questions to a model: threads that decode ahead, lanes that answer, an answer a line on disk.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::Run;
use super::claims::Claims;
use super::log::{AnswerLine, Journal, Log};
use super::plan::Portion;
use crate::answer::{Answerer, Ask};
use crate::bench::View;
use crate::error::Result;

/// How work is spread over threads and processes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Threads that decode.
    pub readers: usize,
    /// Questions that are ready beyond those being answered; the memory for them is needed.
    pub ahead: usize,
    /// A process that says nothing for so long is dead to the others.
    pub lease: Duration,
    /// How often a process without work looks whether the others have finished, or left some.
    pub look: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self { readers: cores, ahead: 8, lease: Duration::from_secs(60), look: Duration::from_millis(200) }
    }
}

/// What is told as work goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Questions that are over, whoever answered them.
    pub over: usize,
    /// Of how many.
    pub of: usize,
}

/// What this process did.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Worked {
    /// Questions that it answered.
    pub answered: usize,
    /// Questions that it could not get an answer to.
    pub failed: usize,
    /// Seconds in which its lanes answered.
    pub answering_s: f64,
    /// Seconds in which they waited for the next question, the first not counted.
    pub waiting_s: f64,
    /// How often a lane that was ready for the next question found none.
    pub empty_handed: usize,
    /// Whether every question of the run is over, whoever answered it.
    pub complete: bool,
}

/// A question that is ready, or why it cannot be put.
struct Ready<P> {
    view: View,
    item: usize,
    prepared: Result<P>,
}

/// What a reader is to do next.
enum Next {
    /// Open items of a portion that is this process' now.
    Portion(View, Vec<usize>),
    /// Others work on all that is open.
    Wait,
    /// Nothing is open.
    Over,
}

/// What a lane takes at a time.
struct Taken<P> {
    ready: Ready<P>,
    /// How long it was waited for, where it had to be.
    waited: Option<Duration>,
}

/// What readers share.
struct Feeder<'a> {
    /// Portions that may have open questions, by number.
    open: VecDeque<(usize, &'a Portion)>,
    log: Log,
}

/// What lanes share.
struct Answers {
    journal: Journal,
    worked: Worked,
}

struct Job<'a, A: Answerer> {
    run: &'a Run<'a>,
    answerer: &'a A,
    pace: Pace,
    claims: Claims,
    feeder: Mutex<Feeder<'a>>,
    answers: Mutex<Answers>,
    /// The first thing that ends all work.
    failure: Mutex<Option<crate::Error>>,
    stop: &'a AtomicBool,
    /// Whether the work is over, for threads that wait.
    over: Mutex<bool>,
    woken: Condvar,
    progress: &'a (dyn Fn(Progress) + Sync),
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Answers what is open in a run, beside other processes that do the same, until nothing is open or `stop` is set.
///
/// # Errors
/// A folder that cannot be read or written. Questions without an answer are lines of their own.
pub fn work<A: Answerer>(
    run: &Run<'_>,
    answerer: &A,
    pace: Pace,
    stop: &AtomicBool,
    progress: &(dyn Fn(Progress) + Sync),
) -> Result<Worked> {
    let dir = run.folder.path("");
    let claims = Claims::join(&dir, pace.lease)?;
    let log = Log::open(&dir, |name| claims.lives(name))?;
    let journal = Journal::create(&dir, claims.own())?;
    let job = Job {
        run,
        answerer,
        pace,
        claims,
        feeder: Mutex::new(Feeder { open: run.plan.portions.iter().enumerate().collect(), log }),
        answers: Mutex::new(Answers { journal, worked: Worked::default() }),
        failure: Mutex::new(None),
        stop,
        over: Mutex::new(false),
        woken: Condvar::new(),
        progress,
    };
    job.tell();
    let (sender, receiver) = sync_channel(pace.ahead.max(1));
    let receiver = Mutex::new(receiver);
    std::thread::scope(|scope| {
        let job = &job;
        let heart = scope.spawn(move || job.keep_alive());
        let mut threads = Vec::new();
        for _ in 0..pace.readers.max(1) {
            let sender = sender.clone();
            threads.push(scope.spawn(move || job.read(&sender)));
        }
        drop(sender);
        for _ in 0..answerer.lanes().max(1) {
            let receiver = &receiver;
            threads.push(scope.spawn(move || job.answer(receiver)));
        }
        for thread in threads {
            if let Err(panic) = thread.join() {
                job.end();
                std::panic::resume_unwind(panic);
            }
        }
        job.end();
        heart.join().expect("the heart beats without a panic");
    });
    if let Some(error) = locked(&job.failure).take() {
        return Err(error);
    }
    let mut worked = locked(&job.answers).worked;
    worked.complete = locked(&job.feeder).open.is_empty() && !stop.load(Ordering::Relaxed);
    Ok(worked)
}

impl<A: Answerer> Job<'_, A> {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed) || locked(&self.failure).is_some()
    }

    fn fail(&self, error: crate::Error) {
        locked(&self.failure).get_or_insert(error);
    }

    fn end(&self) {
        *locked(&self.over) = true;
        self.woken.notify_all();
    }

    /// Waits, or until the work is over; tells whether it is.
    fn rest(&self, time: Duration) -> bool {
        let over = locked(&self.over);
        let waited = self.woken.wait_timeout_while(over, time, |over| !*over);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn keep_alive(&self) {
        while !self.rest(self.claims.pace()) {
            if let Err(error) = self.claims.beat() {
                self.fail(error);
            }
        }
    }

    fn tell(&self) {
        let over = locked(&self.feeder).log.n_over();
        (self.progress)(Progress { over, of: self.run.plan.questions() });
    }

    fn id(&self, item: usize) -> &str {
        self.run.benchmark.items()[item].id()
    }

    /// A reader: claims portions and decodes what they show, in order.
    fn read(&self, sender: &SyncSender<Ready<A::Prepared>>) {
        while !self.stopped() {
            match self.claim() {
                Err(error) => self.fail(error),
                Ok(Next::Over) => return,
                Ok(Next::Wait) => {
                    self.tell();
                    if self.rest(self.pace.look) {
                        return;
                    }
                }
                Ok(Next::Portion(view, items)) => {
                    for item in items {
                        let prepared = self.prepare(view, item);
                        if self.stopped() || sender.send(Ready { view, item, prepared }).is_err() {
                            return;
                        }
                    }
                }
            }
        }
    }

    /// Claims the first portion with open questions that nobody works on.
    fn claim(&self) -> Result<Next> {
        let mut feeder = locked(&self.feeder);
        let Feeder { open, log } = &mut *feeder;
        log.refresh(|_| true)?;
        let items_of = |log: &Log, portion: &Portion| -> Vec<usize> {
            let is_open = |item: &usize| !log.is_over(portion.view, self.id(*item));
            portion.items.iter().copied().filter(is_open).collect()
        };
        open.retain(|(_, portion)| !items_of(log, portion).is_empty());
        let mut place = 0;
        while place < open.len() {
            let (number, portion) = open[place];
            if !self.claims.take(number)? {
                place += 1;
                continue;
            }
            open.remove(place);
            // Whoever had it before may have answered a part, or all.
            log.refresh(|_| true)?;
            let items = items_of(log, portion);
            if !items.is_empty() {
                return Ok(Next::Portion(portion.view, items));
            }
        }
        Ok(if open.is_empty() { Next::Over } else { Next::Wait })
    }

    fn prepare(&self, view: View, at: usize) -> Result<A::Prepared> {
        let item = &self.run.benchmark.items()[at];
        let put = self.run.views.put(view, at)?;
        self.answerer.prepare(Ask {
            id: item.id().to_owned(),
            put,
            max_new_tokens: item.max_new_tokens,
            offer: item.offer.clone(),
        })
    }

    /// A lane: answers what is ready, a question after the other.
    fn answer(&self, receiver: &Mutex<Receiver<Ready<A::Prepared>>>) {
        let mut is_first = true;
        while let Ok(Taken { ready, waited }) = next(receiver) {
            if let Some(waited) = waited.filter(|_| !is_first) {
                let worked = &mut locked(&self.answers).worked;
                worked.waiting_s += waited.as_secs_f64();
                worked.empty_handed += 1;
            }
            is_first = false;
            if let Err(error) = self.answer_one(ready) {
                self.fail(error);
            }
            self.tell();
        }
    }

    fn answer_one(&self, Ready { view, item, prepared }: Ready<A::Prepared>) -> Result<()> {
        let begun = Instant::now();
        let said = prepared.and_then(|prepared| self.answerer.answer(prepared));
        let answering = begun.elapsed();
        let line = AnswerLine::new(view, self.id(item), said);
        let mut answers = locked(&self.answers);
        answers.journal.append(std::slice::from_ref(&line))?;
        match line.text {
            Some(_) => answers.worked.answered += 1,
            None => answers.worked.failed += 1,
        }
        answers.worked.answering_s += answering.as_secs_f64();
        drop(answers);
        locked(&self.feeder).log.refresh(|_| true)
    }
}

/// The next question; an error when there are no more.
fn next<P>(receiver: &Mutex<Receiver<Ready<P>>>) -> std::result::Result<Taken<P>, RecvError> {
    let receiver = locked(receiver);
    match receiver.try_recv() {
        Ok(ready) => Ok(Taken { ready, waited: None }),
        Err(TryRecvError::Disconnected) => Err(RecvError),
        Err(TryRecvError::Empty) => {
            let begun = Instant::now();
            let ready = receiver.recv()?;
            Ok(Taken { ready, waited: Some(begun.elapsed()) })
        }
    }
}
