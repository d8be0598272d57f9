//! Everything that is measured about one object in one window.

use strefer_core::Span;

use crate::stkit::config::KinematicsConfig;
use crate::stkit::direction::{Directions, Heading};
use crate::stkit::track::Track;
use crate::stkit::travel::Travel;
use crate::stkit::vector::Up;
use crate::stkit::window::{Status, Window};

/// The motion of one object in one window.
#[derive(Debug, Clone, PartialEq)]
pub struct Motion {
    /// Whether it could be measured.
    pub status: Status,
    /// Its samples; `None` where there is no such window.
    pub window: Option<Window>,
    /// How far and how fast; there exactly when the status is [`Status::Ok`].
    pub travel: Option<Travel>,
    /// Which way; known even where a gap hides how far.
    pub directions: Directions,
}

impl Motion {
    /// Measures the part of the track that lies in `span`, or all of it.
    pub fn measure(track: &Track, span: Option<&Span>, up: Up, cfg: &KinematicsConfig) -> Self {
        let window = match span {
            Some(span) => Window::snapped(track, span),
            None => Window::whole(track),
        };
        match window {
            Ok(window) => Self::inside(track, window, up, cfg),
            Err(status) => Self {
                status,
                window: None,
                travel: None,
                directions: Directions::none(track.times_s().len()),
            },
        }
    }

    fn inside(track: &Track, window: Window, up: Up, cfg: &KinematicsConfig) -> Self {
        let travel = Travel::measure(track, window, cfg);
        Self {
            status: if travel.is_some() { Status::Ok } else { Status::GapTooLong },
            window: Some(window),
            travel,
            directions: Directions::measure(track, window, up, cfg),
        }
    }

    /// The direction at the end of the window; `None` when the object does not move there.
    pub fn final_heading(&self) -> Option<Heading> {
        self.directions.steps[self.window?.last - 1]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn along_x(xs: &[Option<f64>]) -> Motion {
        let times_s = (0..xs.len()).map(|at| at as f64 * 0.5).collect();
        let positions = xs.iter().map(|x| x.map(|x| [x, 0.0, 0.0])).collect();
        let track = Track::new(times_s, positions).unwrap();
        Motion::measure(&track, None, Up::Z, &KinematicsConfig::default())
    }

    #[test]
    fn one_missing_sample_is_bridged_and_two_are_not() {
        let bridged = along_x(&[Some(0.0), None, Some(2.0), Some(3.0)]);
        assert_eq!(bridged.travel, Some(Travel { distance_m: 3.0, duration_s: 1.5 }));
        assert_eq!(bridged.travel.unwrap().speed_kmh(), 7.2);
        let lost = along_x(&[Some(0.0), None, None, Some(3.0), Some(4.0)]);
        assert_eq!((lost.status, lost.travel), (Status::GapTooLong, None));
        assert_eq!(lost.final_heading().map(|heading| heading.clock), Some(12));
    }

    #[test]
    fn an_object_that_stops_has_no_final_direction() {
        let stopped = along_x(&[Some(0.0), Some(2.0), Some(2.0)]);
        assert_eq!(stopped.status, Status::Ok);
        assert_eq!(stopped.final_heading(), None);
    }

    #[test]
    fn an_object_that_is_seen_once_has_no_motion() {
        let once = along_x(&[None, Some(1.0), None]);
        assert_eq!((once.status, once.window, once.travel), (Status::TooFewPoints, None, None));
        assert_eq!(once.final_heading(), None);
    }
}
