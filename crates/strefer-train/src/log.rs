//! What happened, step by step: JSON Lines for machines, event files for TensorBoard.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Part;
use crate::error::{Result, io};
use crate::history::History;
use crate::tensorboard::EventWriter;

/// One optimiser step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// The step, counted from 0.
    pub step: usize,
    /// Mean cross-entropy of the supervised positions, in nats.
    pub loss: f64,
    /// Learning rate.
    pub lr: f64,
    /// Norm of the gradients before clipping.
    pub grad_norm: f64,
    /// The same by part.
    #[serde(default)]
    pub grad_norms: BTreeMap<Part, f64>,
    /// The loss by source of the mixture.
    #[serde(default)]
    pub by_source: BTreeMap<String, Share>,
    /// The loss by group of tasks, of samples that name theirs.
    #[serde(default)]
    pub by_group: BTreeMap<String, Share>,
    /// Positions that went through the language model.
    pub tokens: usize,
    /// Positions that were supervised.
    pub supervised: usize,
    /// Samples of the step.
    pub samples: usize,
    /// Floating-point operations of the model, forward and backward; layers that run again are counted once.
    #[serde(default)]
    pub flops: f64,
    /// Samples skipped since the start of the run.
    pub skipped: usize,
    /// Seconds that the step took.
    pub seconds: f64,
    /// Seconds of them that the first rank waited for its samples.
    #[serde(default)]
    pub wait_seconds: f64,
}

/// What some of a step's samples have come to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct Share {
    /// Mean cross-entropy of their supervised positions, in nats.
    pub loss: f64,
    /// Positions of theirs that were supervised.
    pub supervised: usize,
    /// How many samples they are.
    pub samples: usize,
}

/// One evaluation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvalReport {
    /// Steps done before it.
    pub step: usize,
    /// Accuracy by kind of question, 0 to 1.
    pub accuracy: BTreeMap<String, f64>,
}

impl EvalReport {
    /// Accuracy at a kind of question, or with "mean" the mean over all kinds.
    pub fn of(&self, kind: &str) -> Option<f64> {
        match self.accuracy.get(kind) {
            None if kind == "mean" && !self.accuracy.is_empty() => {
                Some(self.accuracy.values().sum::<f64>() / self.accuracy.len() as f64)
            }
            accuracy => accuracy.copied(),
        }
    }
}

/// One line of the log.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum LogLine {
    /// A step.
    Step(StepReport),
    /// An evaluation.
    Eval(EvalReport),
    /// A sample that could not be used.
    Skipped {
        /// The step.
        step: usize,
        /// The sample.
        id: String,
        /// Why.
        reason: String,
    },
    /// A checkpoint.
    Saved {
        /// Steps done before it.
        step: usize,
        /// Where.
        path: PathBuf,
    },
}

impl LogLine {
    /// The number of steps that were done when the line was written.
    fn steps_done(&self) -> usize {
        match self {
            Self::Step(report) => report.step + 1,
            Self::Skipped { step, .. } => step + 1,
            Self::Eval(EvalReport { step, .. }) | Self::Saved { step, .. } => *step,
        }
    }
}

/// Writes both logs of a run, and a page of charts.
#[derive(Debug)]
pub struct RunLog {
    path: PathBuf,
    file: File,
    events: EventWriter,
    history: History,
}

impl RunLog {
    /// Opens the logs of the run in `dir`; lines after `first_step` steps belong to work that is done again.
    pub fn open(dir: &Path, first_step: usize) -> Result<Self> {
        let path = dir.join("log.jsonl");
        let mut history = History::default();
        if path.exists() {
            keep_until(&path, first_step)?;
            history = History::read(&path)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(&path).map_err(io(&path))?;
        Ok(Self { path, file, events: EventWriter::create(dir, first_step)?, history })
    }

    /// Adds a line; evaluations and checkpoints renew the page.
    pub fn write(&mut self, line: &LogLine) -> Result<()> {
        let mut bytes = serde_json::to_vec(line).map_err(|error| io(&self.path)(error.into()))?;
        bytes.push(b'\n');
        self.file.write_all(&bytes).map_err(io(&self.path))?;
        self.history.add(line);
        if matches!(line, LogLine::Eval(_) | LogLine::Saved { .. }) {
            let run = self.path.parent().unwrap_or(Path::new("."));
            self.history.write(&run.join("report.html"), &run.display().to_string())?;
        }
        match line {
            LogLine::Step(report) => {
                self.events.scalar("train/loss", report.step, report.loss)?;
                self.events.scalar("train/lr", report.step, report.lr)?;
                self.events.scalar("train/grad_norm", report.step, report.grad_norm)?;
                for (part, norm) in &report.grad_norms {
                    self.events.scalar(&format!("grad_norm/{}", part.name()), report.step, *norm)?;
                }
                for (what, shares) in [("source", &report.by_source), ("group", &report.by_group)] {
                    for (name, share) in shares.iter().filter(|(_, share)| share.supervised > 0) {
                        self.events.scalar(&format!("loss_by_{what}/{name}"), report.step, share.loss)?;
                    }
                }
                let rate = report.flops / report.seconds.max(1e-9) / 1e12;
                self.events.scalar("train/tflops", report.step, rate)?;
                let share = report.supervised as f64 / (report.tokens as f64).max(1.0);
                self.events.scalar("train/supervised_share", report.step, share)?;
                self.events.scalar("train/wait_s", report.step, report.wait_seconds)?;
                let rate = report.tokens as f64 / report.seconds.max(1e-9);
                self.events.scalar("train/tokens_per_s", report.step, rate)
            }
            LogLine::Eval(report) => {
                for (kind, accuracy) in &report.accuracy {
                    self.events.scalar(&format!("eval/{kind}"), report.step, *accuracy)?;
                }
                Ok(())
            }
            LogLine::Skipped { .. } | LogLine::Saved { .. } => Ok(()),
        }
    }
}

/// Drops lines that were written later, and a last line that was cut off.
fn keep_until(path: &Path, first_step: usize) -> Result<()> {
    let mut kept = Vec::new();
    let reader = BufReader::new(File::open(path).map_err(io(path))?);
    for line in reader.lines() {
        let line = line.map_err(io(path))?;
        match serde_json::from_str::<LogLine>(&line) {
            Ok(parsed) if parsed.steps_done() <= first_step => kept.push(line),
            _ => {}
        }
    }
    let mut text = kept.join("\n");
    if !kept.is_empty() {
        text.push('\n');
    }
    let temporary = path.with_extension("jsonl.tmp");
    std::fs::write(&temporary, text).map_err(io(&temporary))?;
    std::fs::rename(&temporary, path).map_err(io(path))
}

/// All lines of a run's log.
pub fn read_log(path: &Path) -> Result<Vec<LogLine>> {
    let lines: strefer_core::Result<Vec<LogLine>> = strefer_core::jsonl::Reader::open(path)?.collect();
    Ok(lines?)
}
