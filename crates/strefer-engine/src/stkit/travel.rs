//! How far and how fast.

use crate::stkit::config::KinematicsConfig;
use crate::stkit::track::Track;
use crate::stkit::vector::{Point, length, minus};
use crate::stkit::window::Window;

/// The way of an object through a window.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Travel {
    /// Length of the way in metres, heights included.
    pub distance_m: f64,
    /// Time between the window's samples in seconds; positive.
    pub duration_s: f64,
}

impl Travel {
    /// Adds up the ways between samples that follow each other. `None` where samples are missing for too long.
    pub fn measure(track: &Track, window: Window, cfg: &KinematicsConfig) -> Option<Self> {
        let inside: Vec<(usize, Point)> =
            track.valid().filter(|(at, _)| (window.first..=window.last).contains(at)).collect();
        let mut distance_m = 0.0;
        for pair in inside.windows(2) {
            let ((from, a), (to, b)) = (pair[0], pair[1]);
            if !track.is_joined(from, to, cfg.longest_gap_s) {
                return None;
            }
            distance_m += length(minus(b, a));
        }
        let duration_s = track.times_s()[window.last] - track.times_s()[window.first];
        Some(Self { distance_m, duration_s })
    }

    /// Average speed in metres a second.
    pub fn speed_mps(&self) -> f64 {
        self.distance_m / self.duration_s
    }

    /// Average speed in kilometres an hour.
    pub fn speed_kmh(&self) -> f64 {
        3.6 * self.speed_mps()
    }
}
