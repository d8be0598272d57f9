//! Progress bars on stderr.

use indicatif::{ProgressBar, ProgressStyle};
use strefer_train::{LogLine, Observer};

/// A bar of `total` pieces of work with time left.
pub fn bar(total: usize, what: &str) -> ProgressBar {
    let bar = ProgressBar::new(total as u64).with_message(what.to_owned());
    let template = "{msg} {bar:32} {pos}/{len} {elapsed} (left {eta})";
    bar.set_style(ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar()));
    bar
}

/// The bar of a training run: loss, rate, tokens a second, time left; evaluations above it.
#[derive(Debug)]
pub struct TrainBar {
    bar: Option<ProgressBar>,
    loss: f64,
}

impl TrainBar {
    /// A bar that appears with the first step.
    pub fn new() -> Self {
        Self { bar: None, loss: f64::NAN }
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
                bar.set_message(format!(
                    "loss {:.3} lr {:.1e} {:.0} tokens/s",
                    self.loss,
                    report.lr,
                    report.tokens as f64 / report.seconds.max(1e-9)
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
