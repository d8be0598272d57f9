//! How much a video may cost.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How much a video may cost, and what is let pass.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Decoded bytes that one call may return.
    pub max_bytes: u64,
    /// Time that opening, one call, or one step of an iteration may take.
    pub deadline: Duration,
    /// Frames a second of a folder of images, which knows none itself.
    pub folder_fps: f64,
    /// Threads of one decoder. Where several sources are read at once, one each wastes least.
    pub threads: usize,
    /// Whether a damaged file gives the frames before the damage instead of an error.
    pub tolerate_damage: bool,
}

impl Default for Limits {
    /// 2 GiB, two minutes, two threads; folders run at 3 frames a second, damage is an error.
    fn default() -> Self {
        Self {
            max_bytes: 2 << 30,
            deadline: Duration::from_secs(120),
            folder_fps: 3.0,
            threads: 2,
            tolerate_damage: false,
        }
    }
}

impl Limits {
    /// Checks that `frames` decoded frames of the given size are allowed.
    pub(crate) fn check_bytes(&self, path: &Path, frames: usize, width: u32, height: u32) -> Result<()> {
        let needed = (frames as u64).saturating_mul(3 * u64::from(width) * u64::from(height));
        if needed > self.max_bytes {
            let limit = self.max_bytes;
            return Err(Error::Budget { path: path.into(), frames, width, height, needed, limit });
        }
        Ok(())
    }

    /// Starts the clock of one call.
    pub(crate) fn clock(&self) -> Clock {
        let clock = Clock {
            epoch: Instant::now(),
            limit: self.deadline,
            #[cfg(feature = "ffmpeg")]
            threads: self.threads,
            over_ns: Arc::default(),
        };
        clock.restart();
        clock
    }
}

/// The clock of one call. Clones are hands of the same clock.
#[derive(Debug, Clone)]
pub(crate) struct Clock {
    epoch: Instant,
    limit: Duration,
    /// Threads of the decoder that runs under it.
    #[cfg(feature = "ffmpeg")]
    pub(crate) threads: usize,
    over_ns: Arc<AtomicU64>,
}

impl Clock {
    /// Allows the full time again, from now on.
    pub(crate) fn restart(&self) {
        let over = (self.epoch.elapsed() + self.limit).as_nanos();
        self.over_ns.store(u64::try_from(over).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn is_over(&self) -> bool {
        self.epoch.elapsed().as_nanos() > u128::from(self.over_ns.load(Ordering::Relaxed))
    }

    pub(crate) fn check(&self, path: &Path) -> Result<()> {
        if self.is_over() { Err(self.error(path)) } else { Ok(()) }
    }

    /// What is said when the time is over.
    pub(crate) fn error(&self, path: &Path) -> Error {
        Error::Deadline { path: path.into(), limit: self.limit }
    }
}
