//! Batches read ahead of the training step: which samples a step sees is a pure function of seed and step.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use candle_core::{Device, Tensor};
use strefer_core::mixture::{MixtureConfig, MixtureOrder, Place};
use strefer_core::{Rng, Sample};
use strefer_model::{FrameCache, Inputs, Processor, ProcessorOptions, Purpose};

use strefer_nn::Carrier;
use strefer_nn::ops::has_kernels;
use strefer_store::{SampleSet, Shelf};
use strefer_video::Limits;

use crate::config::{DataConfig, Passes};
use crate::error::{Error, Result};

/// Batches that one reader may be ahead.
pub(crate) const AHEAD: usize = 2;

/// One sample of a pass.
#[derive(Debug)]
pub struct Row {
    /// What the model sees.
    pub inputs: Inputs,
    /// Position of its source in the mixture.
    pub source: usize,
    /// The group of tasks that it names.
    pub group: Option<String>,
}

/// The samples of one pass through the model.
#[derive(Debug)]
pub struct Batch {
    /// Those that can be used.
    pub rows: Vec<Row>,
    /// Samples that could not be used: id and reason.
    pub skipped: Vec<(String, String)>,
}

/// Everything that can be read, in order.
#[derive(Debug)]
pub struct Source {
    names: Vec<String>,
    sets: Vec<SampleSet>,
    processors: Vec<Processor>,
    order: MixtureOrder,
    rng: Rng,
}

impl Source {
    /// Opens the files of a mixture. `base` gives the model's processor; each source gets one with its own root.
    pub fn open(data: &DataConfig, seed: u64, base: &Processor) -> Result<Self> {
        let MixtureConfig { sources } = &data.mixture;
        let cache = Arc::new(FrameCache::new(data.cache_mb << 20));
        let deadline = Duration::from_secs_f64(data.deadline_s);
        let shelf = Shelf::new((data.shelf_gb * 1e9) as u64, deadline)?;
        let (mut sets, mut processors, mut lens) = (Vec::new(), Vec::new(), Vec::new());
        for source in sources {
            let set = SampleSet::open(&source.path, source.media_root.as_deref(), source.cap, &shelf)?;
            if set.is_empty() {
                let problem = format!("source {:?}: {} is empty", source.name, source.path.display());
                return Err(strefer_core::Error::Mixture(problem).into());
            }
            processors.push(base.with_options(ProcessorOptions {
                media_root: set.media_root().to_owned(),
                // Readers share the cores as it is.
                limits: Limits {
                    deadline,
                    threads: if data.readers > 1 { 1 } else { 2 },
                    ..Limits::default()
                },
                cache: Arc::clone(&cache),
                draw: data.draw,
                labels: data.labels,
                turns: source.turns,
                augment: source.augment,
                ..ProcessorOptions::default()
            }));
            lens.push((set.len(), source.weight));
            sets.push(set);
        }
        let phases = sources.iter().map(|source| source.phase).collect();
        let order = MixtureOrder::new(lens, seed).with_phases(phases);
        let names = sources.iter().map(|source| source.name.clone()).collect();
        Ok(Self { names, sets, processors, order, rng: Rng::new(seed, "samples") })
    }

    /// Samples in one epoch.
    pub fn epoch_len(&self) -> usize {
        self.order.epoch_len()
    }

    /// The sample at a place, as it stands in its file.
    pub fn sample(&self, place: Place) -> Result<Sample> {
        Ok(self.sets[place.source].get(place.index)?)
    }

    /// The name of a source.
    pub(crate) fn name(&self, source: usize) -> &str {
        &self.names[source]
    }

    /// The sample that is seen at a position of the run, or its id and why it cannot be.
    pub(crate) fn row(&self, place: Place, position: u64) -> std::result::Result<Row, (String, String)> {
        let unnamed = |error: Error| (format!("{}:{}", place.source, place.index), error.to_string());
        let mut sample = self.sample(place).map_err(unnamed)?;
        let brought = self.sets[place.source].bring(place.index, &mut sample);
        let _copies = brought.map_err(|error| (sample.id.clone(), error.to_string()))?;
        let purpose = Purpose::Train(self.rng.at(position));
        self.processors[place.source]
            .process(&sample, &purpose)
            .map(|inputs| Row { inputs, source: place.source, group: sample.task.map(|task| task.group) })
            .map_err(|error| (sample.id, error.to_string()))
    }
}

/// Positions of a run, one epoch's order at a time.
#[derive(Default)]
pub(crate) struct Cursor {
    epoch: Option<(usize, Vec<Place>)>,
}

impl Cursor {
    pub(crate) fn place(&mut self, source: &Source, position: usize) -> Place {
        let len = source.epoch_len();
        let wanted = position / len;
        if self.epoch.as_ref().is_none_or(|(epoch, _)| *epoch != wanted) {
            self.epoch = Some((wanted, source.order.epoch(wanted)));
        }
        self.epoch.as_ref().map(|(_, places)| places[position % len]).expect("the epoch was just made")
    }
}

/// Which samples of a run a rank sees.
#[derive(Debug, Clone, Copy)]
pub struct Seen {
    /// How steps are split.
    pub passes: Passes,
    /// The rank.
    pub rank: usize,
}

/// Threads that keep a few batches ready.
#[derive(Debug)]
pub struct Reader {
    channels: Vec<Receiver<Batch>>,
    threads: Vec<JoinHandle<()>>,
    stop: Arc<AtomicBool>,
    next: usize,
    /// Where the model is on a card.
    carrier: Option<Carrier>,
    /// The next batch, and whether its frames are on their way to the card.
    ahead: Option<(Batch, bool)>,
}

impl Reader {
    /// Starts reading what one rank sees in these steps.
    pub fn start(source: &Arc<Source>, seen: Seen, steps: Range<usize>, readers: usize) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (first, last) = (steps.start * seen.passes.count(), steps.end * seen.passes.count());
        let (mut channels, mut threads) = (Vec::new(), Vec::new());
        for reader in 0..readers {
            let (sender, receiver) = sync_channel(AHEAD);
            let (source, stop) = (Arc::clone(source), Arc::clone(&stop));
            let passes = (first + reader..last).step_by(readers);
            threads.push(std::thread::spawn(move || read(&source, passes, seen, &sender, &stop)));
            channels.push(receiver);
        }
        Self { channels, threads, stop, next: 0, carrier: None, ahead: None }
    }

    /// Brings frames to a card from now on, where [`Reader::look_ahead`] is called in time, and kernels are used there: no card has run
    /// either yet, so what cards do without a word does without both.
    pub(crate) fn bring_to(mut self, device: &Device) -> Result<Self> {
        if has_kernels(device) {
            self.carrier = Carrier::to(device)?;
        }
        Ok(self)
    }

    /// Sends the frames of the next pass on their way to the card, if they are ready: while it is busy with those of this one.
    pub(crate) fn look_ahead(&mut self) {
        let (Some(carrier), None) = (&mut self.carrier, &self.ahead) else { return };
        let Ok(mut batch) = self.channels[self.next].try_recv() else { return };
        self.next = (self.next + 1) % self.channels.len();
        let frames: Vec<&Tensor> = frames(&mut batch).map(|frames| &*frames).collect();
        let sent = if frames.is_empty() { Ok(false) } else { carrier.bring(&frames).map(|()| true) };
        let sent = sent.unwrap_or_else(|error| {
            tracing::warn!("frames come to the card when they are needed, not before: {error}");
            self.carrier = None;
            false
        });
        self.ahead = Some((batch, sent));
    }

    /// The batch of the next pass.
    pub fn next_batch(&mut self) -> Result<Batch> {
        if let Some((mut batch, sent)) = self.ahead.take() {
            if let Some(carrier) = self.carrier.as_mut().filter(|_| sent) {
                let there = carrier.take()?;
                frames(&mut batch).zip(there).for_each(|(frames, there)| *frames = there);
            }
            return Ok(batch);
        }
        let channel = &self.channels[self.next];
        self.next = (self.next + 1) % self.channels.len();
        channel.recv().map_err(|_| Error::ReaderDied)
    }
}

/// The frames of those samples that have some.
fn frames(batch: &mut Batch) -> impl Iterator<Item = &mut Tensor> {
    batch.rows.iter_mut().map(|row| &mut row.inputs.frames).filter(|frames| frames.elem_count() > 0)
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        self.channels.clear();
        for thread in self.threads.drain(..) {
            // A reader that panicked has already made `next_batch` fail.
            let _ = thread.join();
        }
    }
}

fn read(
    source: &Source,
    passes: impl Iterator<Item = usize>,
    seen: Seen,
    sender: &SyncSender<Batch>,
    stop: &AtomicBool,
) {
    let mut cursor = Cursor::default();
    for pass in passes {
        let positions = seen.passes.positions(seen.rank, pass);
        let mut batch = Batch { rows: Vec::with_capacity(positions.len()), skipped: Vec::new() };
        for position in positions {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            let place = cursor.place(source, position);
            match source.row(place, position as u64) {
                Ok(row) => batch.rows.push(row),
                Err(skipped) => batch.skipped.push(skipped),
            }
        }
        if sender.send(batch).is_err() {
            return;
        }
    }
}
