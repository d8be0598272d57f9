//! Times of a case, and the memory its process took.

use std::time::Instant;

use anyhow::Result;
use candle_core::Device;
use serde::Serialize;

use crate::cases::Prepared;

/// What one process measured of one case.
#[derive(Debug, Serialize)]
pub struct Measurement {
    /// The case.
    pub case: String,
    /// Who did the work.
    pub side: &'static str,
    /// The middle of the times.
    pub median_s: f64,
    /// The times, in order.
    pub runs_s: Vec<f64>,
    /// The most memory that the process held at any moment, on a card of the card's.
    pub peak_mib: Option<f64>,
    /// The memory that it held before the case was prepared: program and libraries.
    pub start_mib: Option<f64>,
    /// Numbers that the model consists of.
    pub parameters: usize,
}

/// Does the work once unmeasured, then `runs` times. Memory is that of the device.
pub fn measure(
    case: &str,
    runs: usize,
    device: &Device,
    prepare: impl FnOnce() -> Result<Prepared>,
) -> Result<Measurement> {
    let start_mib = if device.is_cpu() { status_mib("VmRSS:") } else { Some(0.0) };
    let Prepared { mut work, parameters } = prepare()?;
    work()?;
    let mut runs_s = Vec::with_capacity(runs);
    for _ in 0..runs.max(1) {
        let begun = Instant::now();
        work()?;
        runs_s.push(begun.elapsed().as_secs_f64());
    }
    let of_card = strefer_nn::most_held(device)?.map(|bytes| bytes as f64 / 1_048_576.0);
    let peak_mib = of_card.or_else(|| status_mib("VmHWM:"));
    let median_s = median(&runs_s);
    Ok(Measurement {
        case: case.to_owned(),
        side: "strefer",
        median_s,
        runs_s,
        peak_mib,
        start_mib,
        parameters,
    })
}

fn median(times: &[f64]) -> f64 {
    let mut sorted = times.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    if sorted.len().is_multiple_of(2) { (sorted[middle - 1] + sorted[middle]) / 2.0 } else { sorted[middle] }
}

/// A line of this process's status; none where there is no such file.
fn status_mib(key: &str) -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix(key))?;
    Some(line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok()? / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_the_middle_or_between_the_two_middles() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
    }

    #[test]
    fn work_runs_once_more_than_it_is_measured() -> Result<()> {
        let count = std::rc::Rc::new(std::cell::Cell::new(0));
        let counter = std::rc::Rc::clone(&count);
        let work = move || {
            counter.set(counter.get() + 1);
            Ok(())
        };
        let found =
            measure("none", 4, &Device::Cpu, || Ok(Prepared { work: Box::new(work), parameters: 7 }))?;
        assert_eq!((count.get(), found.runs_s.len(), found.parameters), (5, 4, 7));
        Ok(())
    }
}
