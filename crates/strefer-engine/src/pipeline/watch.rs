//! When a stage has to end.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::fault::{Clock, Fault};

/// What a stage looks at between two of its steps: frames, questions.
#[derive(Debug, Clone, Copy)]
pub struct Watch<'a> {
    stop: &'a AtomicBool,
    began: Instant,
    stage_began: Instant,
    video: Duration,
    stage: Duration,
}

impl<'a> Watch<'a> {
    /// The time of a video begins, and that of its first stage.
    pub fn start(stop: &'a AtomicBool, video_s: f64, stage_s: f64) -> Self {
        let now = Instant::now();
        let (video, stage) = (Duration::from_secs_f64(video_s), Duration::from_secs_f64(stage_s));
        Self { stop, began: now, stage_began: now, video, stage }
    }

    /// The same with the time of another stage.
    #[must_use]
    pub fn next_stage(&self) -> Self {
        Self { stage_began: Instant::now(), ..*self }
    }

    /// # Errors
    /// The time is over, or the run is asked to stop.
    pub fn check(&self) -> Result<(), Fault> {
        let late = |clock, limit: Duration| Err(Fault::Late { clock, seconds: limit.as_secs_f64() });
        if self.stop.load(Ordering::Relaxed) {
            return Err(Fault::Stopped);
        }
        if self.began.elapsed() > self.video {
            return late(Clock::Video, self.video);
        }
        if self.stage_began.elapsed() > self.stage {
            return late(Clock::Stage, self.stage);
        }
        Ok(())
    }

    /// Time that is left.
    pub fn left(&self) -> Duration {
        let video = self.video.saturating_sub(self.began.elapsed());
        video.min(self.stage.saturating_sub(self.stage_began.elapsed()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_ends_with_its_time_with_that_of_the_video_and_with_the_run() {
        let stop = AtomicBool::new(false);
        assert_eq!(Watch::start(&stop, 9.0, 9.0).check(), Ok(()));
        let late = |video_s, stage_s| Watch::start(&stop, video_s, stage_s).next_stage().check().unwrap_err();
        assert_eq!(late(9.0, 0.0), Fault::Late { clock: Clock::Stage, seconds: 0.0 });
        assert_eq!(late(0.0, 9.0), Fault::Late { clock: Clock::Video, seconds: 0.0 });
        stop.store(true, Ordering::Relaxed);
        assert_eq!(late(0.0, 0.0), Fault::Stopped);
    }
}
