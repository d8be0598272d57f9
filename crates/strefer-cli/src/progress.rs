//! Progress bars on stderr.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use candle_core::Device;
use indicatif::{ProgressBar, ProgressStyle};
use strefer_engine::pipeline::{Event, Stage, Teachers};
use strefer_engine::stkit;
use strefer_nn::card_memory;
use strefer_train::{LogLine, Observer};

/// A bar of `total` pieces of work with time left.
pub fn bar(total: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(total as u64).with_message(what.to_owned());
    let template = "{msg} {bar:32} {pos}/{len} {elapsed} (left {eta})";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// The bar of a run of the engine: videos with time left, what each stage made and how fast, what teachers took; failures above it.
#[derive(Debug)]
pub struct EngineBar {
    bar: ProgressBar,
    teachers: Teachers,
    /// Outputs of each stage, and the seconds they took.
    made: Mutex<BTreeMap<Stage, (usize, f64)>>,
    /// When the log was last told, where nobody sees a bar.
    told: Mutex<Instant>,
}

/// Between two lines in the log.
const TELL_EVERY: Duration = Duration::from_secs(30);

impl EngineBar {
    /// A bar of `total` videos.
    pub fn new(total: usize, teachers: &Teachers) -> Self {
        Self {
            bar: bar(total, "videos"),
            teachers: teachers.clone(),
            made: Mutex::default(),
            told: Mutex::new(Instant::now()),
        }
    }

    /// Something happened.
    pub fn hear(&self, event: &Event<'_>) {
        match event {
            Event::Settled(_) => self.bar.inc(1),
            Event::Failed(failure) => {
                let stage = failure.stage.map_or(String::new(), |stage| format!(", {stage}"));
                let next = if failure.parked { "parked" } else { "tried again later" };
                let (video, fault, tries) = (&failure.video_id, &failure.fault, failure.tries);
                self.bar.suspend(|| tracing::warn!("{video}{stage}: {fault} (try {tries}; {next})"));
            }
            Event::Stage { kept: true, .. } => {}
            Event::Stage { stage, seconds, .. } => {
                let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
                let entry = made.entry(*stage).or_default();
                *entry = (entry.0 + 1, entry.1 + seconds);
                let message = self.message(&made);
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if self.bar.is_hidden() && told.elapsed() > TELL_EVERY {
                    let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
                    let left = self.bar.eta().as_secs();
                    tracing::info!("{done} of {all} videos, left {left} s · {message}");
                    *told = Instant::now();
                }
                self.bar.set_message(message);
            }
        }
    }

    fn message(&self, made: &BTreeMap<Stage, (usize, f64)>) -> String {
        let stages = made.iter().map(|(stage, (count, seconds))| {
            let each = seconds / *count as f64;
            format!("{stage} {count} ({each:.2} s)")
        });
        let spent = self.teachers.spent();
        let tokens: u64 =
            spent.iter().map(|(_, spent)| spent.usage.prompt_tokens + spent.usage.completion_tokens).sum();
        let cost: f64 = spent.iter().map(|(_, spent)| spent.cost).sum();
        let mut parts: Vec<String> = stages.collect();
        if !spent.is_empty() {
            parts.push(format!("{tokens} tokens, cost {cost:.2}"));
        }
        parts.join(" · ")
    }

    /// The work is over: what stages and teachers took goes to the log.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
        let made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if !made.is_empty() {
            tracing::info!("{}", self.message(&made));
        }
    }
}

/// The bar of `engine stkit`: recordings, then clips whose frames are marked; failures above it.
#[derive(Debug)]
pub struct StkitBar {
    bar: ProgressBar,
    /// When the log was last told, where nobody sees a bar.
    told: Mutex<Instant>,
}

impl StkitBar {
    /// A bar of `total` recordings.
    pub fn new(total: usize) -> Self {
        Self { bar: bar(total, "recordings"), told: Mutex::new(Instant::now()) }
    }

    /// Something happened.
    pub fn hear(&self, event: &stkit::run::Event<'_>) {
        use stkit::run::Event;
        match event {
            Event::Recording(_) | Event::Marked(_) => {
                self.bar.inc(1);
                let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
                if self.bar.is_hidden() && told.elapsed() > TELL_EVERY {
                    let (done, all) = (self.bar.position(), self.bar.length().unwrap_or_default());
                    tracing::info!(
                        "{done} of {all} {}, left {} s",
                        self.bar.message(),
                        self.bar.eta().as_secs()
                    );
                    *told = Instant::now();
                }
            }
            Event::Failed(failure) => {
                let (video, fault) = (&failure.video_id, &failure.fault);
                self.bar.suspend(|| tracing::warn!("{video}: {fault}"));
            }
            Event::Marking(clips) => {
                self.bar.reset();
                self.bar.set_length(*clips as u64);
                self.bar.set_message("clips to mark");
            }
        }
    }

    /// The work is over.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

/// The bar of a training run: loss, rate, samples, tokens and operations a second, memory, waiting for data, time left;
/// evaluations above it.
#[derive(Debug)]
pub struct TrainBar {
    bar: Option<ProgressBar>,
    loss: f64,
    /// Operations a second that all ranks together could do.
    peak: Option<f64>,
    /// Where the model is.
    device: Device,
}

/// Bytes of this process in memory: of a card the most that its tensors took.
fn memory(device: &Device) -> Option<u64> {
    if let Some(card) = card_memory(device).ok().flatten() {
        return Some(card.most as u64);
    }
    let own = sysinfo::get_current_pid().ok()?;
    let mut system = sysinfo::System::new();
    system.refresh_processes(sysinfo::ProcessesToUpdate::Some(&[own]), false);
    Some(system.process(own)?.memory())
}

impl TrainBar {
    /// A bar that appears with the first step. With `peak`, operations a second of all ranks together, it shows which share of them
    /// the model's take (MFU). Memory is that of `device`.
    pub fn new(peak: Option<f64>, device: Device) -> Self {
        Self { bar: None, loss: f64::NAN, peak, device }
    }
}

impl Observer for TrainBar {
    fn line(&mut self, line: &LogLine, total: usize) {
        let bar = self.bar.get_or_insert_with(|| bar(total, "train"));
        match line {
            LogLine::Step(report) => {
                self.loss =
                    if self.loss.is_nan() { report.loss } else { 0.95 * self.loss + 0.05 * report.loss };
                bar.set_position(report.step as u64 + 1);
                let seconds = report.seconds.max(1e-9);
                let rate = report.flops / seconds;
                let mfu = self.peak.map_or_else(String::new, |peak| {
                    format!(" MFU {:.0} % of {:.4}", 100.0 * rate / peak, peak / 1e12)
                });
                bar.set_message(format!(
                    "loss {:.3} lr {:.1e} {:.1} samples/s {:.0} tokens/s {:.4} TFLOP/s{mfu}{} waiting {:.0} %",
                    self.loss,
                    report.lr,
                    report.samples as f64 / seconds,
                    report.tokens as f64 / seconds,
                    rate / 1e12,
                    memory(&self.device)
                        .map_or_else(String::new, |bytes| format!(" {:.1} GB", bytes as f64 / 1e9)),
                    100.0 * report.wait_seconds / seconds,
                ));
            }
            LogLine::Eval(report) => {
                let kinds: Vec<String> = report
                    .accuracy
                    .iter()
                    .map(|(kind, share)| format!("{kind} {:.0} %", 100.0 * share))
                    .collect();
                bar.suspend(|| eprintln!("after {} steps: {}", report.step, kinds.join(", ")));
            }
            LogLine::Skipped { id, reason, .. } => bar.suspend(|| eprintln!("skipped {id}: {reason}")),
            LogLine::Saved { path, .. } => bar.suspend(|| eprintln!("saved {}", path.display())),
        }
    }
}
