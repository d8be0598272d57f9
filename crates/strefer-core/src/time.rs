//! Spans of time and clock text.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// A stretch of a video, in seconds from its start; the end is exclusive.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Span {
    /// First moment.
    pub start_s: f64,
    /// First moment after it.
    pub end_s: f64,
}

impl Span {
    /// A span from `start_s` to `end_s`.
    ///
    /// # Errors
    /// When a bound is not finite or the end lies before the start.
    pub fn new(start_s: f64, end_s: f64) -> Result<Self> {
        if !(start_s.is_finite() && end_s.is_finite() && start_s <= end_s) {
            return Err(Error::BadSpan { start_s, end_s });
        }
        Ok(Self { start_s, end_s })
    }

    /// Length in seconds.
    pub fn length_s(&self) -> f64 {
        self.end_s - self.start_s
    }

    /// Whether `at_s` lies inside.
    pub fn contains(&self, at_s: f64) -> bool {
        at_s >= self.start_s && at_s < self.end_s
    }

    /// The part that both share, if any.
    pub fn intersection(&self, other: &Self) -> Option<Self> {
        let (start_s, end_s) = (self.start_s.max(other.start_s), self.end_s.min(other.end_s));
        (start_s < end_s).then_some(Self { start_s, end_s })
    }

    /// Length of the overlap over length of the union; 0 when both are empty.
    pub fn iou(&self, other: &Self) -> f64 {
        let both = self.intersection(other).map_or(0.0, |span| span.length_s());
        let union = self.length_s() + other.length_s() - both;
        if union > 0.0 { both / union } else { 0.0 }
    }
}

/// Seconds of `SS.fff`, `MM:SS.fff` or `HH:MM:SS.fff`.
pub fn parse_clock(text: &str) -> Result<f64> {
    let bad = || Error::BadClock { text: text.to_owned() };
    let parts: Vec<&str> = text.trim().split(':').collect();
    if parts.len() > 3 {
        return Err(bad());
    }
    let (seconds, larger) = parts.split_last().ok_or_else(bad)?;
    let mut total = 0.0;
    for part in larger {
        total = total * 60.0 + f64::from(part.parse::<u32>().map_err(|_| bad())?);
    }
    let seconds: f64 = seconds.parse().map_err(|_| bad())?;
    let total = total * 60.0 + seconds;
    if !total.is_finite() || seconds < 0.0 || (!larger.is_empty() && seconds >= 60.0) {
        return Err(bad());
    }
    Ok(total)
}

/// `HH:MM:SS.fff` to the millisecond, zeros at the end of the fraction trimmed.
pub fn clock_hms(seconds: f64) -> String {
    let millis = (seconds.max(0.0) * 1000.0).round() as u64;
    let (whole, rest) = (millis / 1000, millis % 1000);
    let text = format!("{:02}:{:02}:{:02}.{rest:03}", whole / 3600, whole / 60 % 60, whole % 60);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// `MM:SS.f` to a tenth of a second.
pub fn clock_ms(seconds: f64) -> String {
    let tenths = (seconds.max(0.0) * 10.0).round() as u64;
    format!("{:02}:{:02}.{}", tenths / 600, tenths / 10 % 60, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_text_of_every_length_is_read() {
        assert_eq!(parse_clock("6.24").unwrap(), 6.24);
        assert_eq!(parse_clock("01:06.9").unwrap(), 66.9);
        assert!((parse_clock("00:00:14.014").unwrap() - 14.014).abs() < 1e-12);
        for bad in ["", "a", "1:2:3:4", "1:75", "-3", "inf", "1:-2"] {
            assert!(parse_clock(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn clock_text_is_written_with_trimmed_zeros() {
        assert_eq!(clock_hms(6.24), "00:00:06.24");
        assert_eq!(clock_hms(3661.0), "01:01:01");
        assert_eq!(clock_ms(66.94), "01:06.9");
        for millis in (0..100_000).step_by(137) {
            let seconds = f64::from(millis) / 1000.0;
            assert!((parse_clock(&clock_hms(seconds)).unwrap() - seconds).abs() < 1e-9);
        }
    }

    #[test]
    fn overlap_of_spans_by_hand() {
        let span = |a, b| Span::new(a, b).unwrap();
        assert_eq!(span(0.0, 4.0).iou(&span(2.0, 6.0)), 2.0 / 6.0);
        assert_eq!(span(0.0, 1.0).iou(&span(1.0, 2.0)), 0.0);
        assert!(Span::new(2.0, 1.0).is_err() && Span::new(f64::NAN, 1.0).is_err());
    }
}
