//! A decoded frame and what is known about a video.

use image::RgbImage;

/// One decoded frame.
#[derive(Debug, Clone, PartialEq)]
pub struct Frame {
    /// Position in the video, from 0.
    pub index: usize,
    /// When it is first shown, in seconds after the first frame.
    pub time_s: f64,
    /// The picture, rotated as it is meant to be seen.
    pub image: RgbImage,
}

/// What is known about a video before a frame is decoded.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoInfo {
    /// Width in pixels, as seen.
    pub width: u32,
    /// Height in pixels, as seen.
    pub height: u32,
    /// Frames a second, on average.
    pub fps: f64,
    /// From the first frame's beginning to the last frame's end.
    pub duration_s: f64,
    /// When each frame is first shown, in seconds after the first.
    pub times_s: Vec<f64>,
}

/// Times are compared with this tolerance: half a tick of a 500 kHz clock.
const SAME_TIME_S: f64 = 1e-6;

impl VideoInfo {
    /// The number of frames, counted, not claimed.
    pub fn n_frames(&self) -> usize {
        self.times_s.len()
    }

    /// The frame that is on the screen at `at_s`; `None` before the first and after the last.
    pub fn index_at(&self, at_s: f64) -> Option<usize> {
        if !(at_s >= -SAME_TIME_S && at_s <= self.duration_s + SAME_TIME_S) {
            return None;
        }
        let shown = self.times_s.partition_point(|&time_s| time_s <= at_s + SAME_TIME_S);
        Some(shown.saturating_sub(1)).filter(|_| !self.times_s.is_empty())
    }

    /// Bytes of one decoded frame.
    pub fn frame_bytes(&self) -> u64 {
        u64::from(self.width) * u64::from(self.height) * 3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_at_a_time_is_the_last_that_has_begun() {
        let info = VideoInfo { width: 4, height: 2, fps: 2.0, duration_s: 2.0, times_s: vec![0.0, 0.4, 1.5] };
        let at = |at_s| info.index_at(at_s);
        assert_eq!([at(0.0), at(0.39), at(0.4), at(1.49), at(1.5)], [0, 0, 1, 1, 2].map(Some));
        assert_eq!([at(2.0), at(2.1), at(-0.1), at(f64::NAN)], [Some(2), None, None, None]);
    }
}
