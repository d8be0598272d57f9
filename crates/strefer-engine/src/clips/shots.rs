//! Scores become cuts, by the rules of PySceneDetect's ContentDetector and AdaptiveDetector.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which rule.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Detector {
    /// A score beside the mean of its neighbours: a moving camera is no cut.
    #[default]
    Adaptive,
    /// A score alone.
    Content,
}

/// Cuts between shots.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ShotConfig {
    /// Which rule.
    pub detector: Detector,
    /// The least score of a cut, of the content rule.
    pub content_score: f64,
    /// The least score of a cut, of the adaptive rule.
    pub adaptive_score: f64,
    /// How many times the mean of its neighbours it is, of the adaptive rule.
    pub adaptive_ratio: f64,
    /// Neighbours on each side, of the adaptive rule.
    pub window: usize,
    /// Fewest frames between cuts.
    pub min_frames: usize,
    /// Frames are made this wide, in pixels.
    pub width: u32,
    /// Most frames that are looked at; of longer videos every second, third, … frame.
    pub most_frames: usize,
}

impl Default for ShotConfig {
    fn default() -> Self {
        Self {
            detector: Detector::Adaptive,
            content_score: 27.0,
            adaptive_score: 15.0,
            adaptive_ratio: 3.0,
            window: 2,
            min_frames: 15,
            width: 256,
            most_frames: 20_000,
        }
    }
}

/// The largest ratio, also of a frame among frames that do not change at all.
const LARGEST_RATIO: f64 = 255.0;

/// A mean below this is none.
const NO_CHANGE: f64 = 1e-5;

impl ShotConfig {
    /// What makes no sense about it, if anything does.
    pub fn problem(&self) -> Option<String> {
        if self.window == 0 || self.width == 0 || self.most_frames < 2 {
            return Some("clips.shots: window, width and most_frames must be positive".to_owned());
        }
        let scores = [self.content_score, self.adaptive_score, self.adaptive_ratio];
        let positive = scores.iter().all(|score| *score > 0.0 && score.is_finite());
        (!positive).then(|| "clips.shots: scores and ratios must be positive".to_owned())
    }

    /// The frames that begin a new shot, ascending. `scores[i]` compares frame `i` with the one before; the first is 0.
    pub fn cuts(&self, scores: &[f64]) -> Vec<usize> {
        match self.detector {
            Detector::Content => self.by_content(scores),
            Detector::Adaptive => self.by_ratio(scores),
        }
    }

    /// High scores less than `min_frames` after another are joined: the last of such a flurry is a cut, once it lasted as
    /// long and is over as long.
    fn by_content(&self, scores: &[f64]) -> Vec<usize> {
        let (mut cuts, mut last_high) = (Vec::new(), 0);
        let (mut flurry, mut had_cut) = (None, false);
        for (frame, &score) in scores.iter().enumerate() {
            let high = score >= self.content_score;
            let apart = frame - last_high >= self.min_frames;
            if high {
                last_high = frame;
            }
            match flurry {
                Some(began) if apart && !high && last_high - began >= self.min_frames => {
                    flurry = None;
                    cuts.push(last_high);
                }
                Some(_) => {}
                None if high && apart => {
                    had_cut = true;
                    cuts.push(frame);
                }
                None if high && had_cut => flurry = Some(frame),
                None => {}
            }
        }
        cuts
    }

    fn by_ratio(&self, scores: &[f64]) -> Vec<usize> {
        let (mut cuts, mut last_cut) = (Vec::new(), 0);
        let window = self.window;
        for last in 2 * window..scores.len() {
            let frame = last - window;
            let neighbours = scores[frame - window..frame].iter().chain(&scores[frame + 1..=last]);
            let mean = neighbours.sum::<f64>() / (2 * window) as f64;
            let score = scores[frame];
            let ratio =
                if mean.abs() < NO_CHANGE { LARGEST_RATIO } else { (score / mean).min(LARGEST_RATIO) };
            let far = last - last_cut >= self.min_frames;
            if far && score >= self.adaptive_score && ratio >= self.adaptive_ratio {
                last_cut = frame;
                cuts.push(frame);
            }
        }
        cuts
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(n: usize, high: &[(usize, f64)]) -> Vec<f64> {
        let mut scores = vec![1.0; n];
        scores[0] = 0.0;
        high.iter().for_each(|&(at, score)| scores[at] = score);
        scores
    }

    fn content() -> ShotConfig {
        ShotConfig { detector: Detector::Content, min_frames: 5, ..ShotConfig::default() }
    }

    #[test]
    fn a_high_score_is_a_cut_where_it_is_far_enough_from_the_last() {
        assert_eq!(content().cuts(&scores(40, &[(10, 27.0), (25, 90.0)])), [10, 25]);
        assert_eq!(content().cuts(&scores(40, &[(10, 26.9)])), [0usize; 0]);
        // Too near the start, and nothing came before that it could be joined with.
        assert_eq!(content().cuts(&scores(40, &[(3, 50.0)])), [0usize; 0]);
        assert_eq!(content().cuts(&[]), [0usize; 0]);
    }

    #[test]
    fn flashes_are_joined_into_one_cut_at_their_end() {
        // Frames 10 (a cut), then 12 to 18 high: a flurry that begins at 12 and lasts 6; over at 23, five frames on.
        let flurry: Vec<(usize, f64)> = [10, 12, 14, 16, 18].map(|frame| (frame, 60.0)).into();
        assert_eq!(content().cuts(&scores(40, &flurry)), [10, 18]);
        // It lasted too short: it swallows what comes until it has lasted.
        assert_eq!(content().cuts(&scores(40, &[(10, 60.0), (12, 60.0), (13, 60.0)])), [10]);
    }

    #[test]
    fn the_adaptive_rule_compares_with_four_neighbours() {
        let cfg = ShotConfig { min_frames: 5, ..ShotConfig::default() };
        // 40 beside a mean of 1: ratio 40.
        assert_eq!(cfg.cuts(&scores(30, &[(12, 40.0)])), [12]);
        // Everything moves: 40 beside a mean of 20 is ratio 2.
        let moving: Vec<f64> = (0..30).map(|frame| if frame == 12 { 40.0 } else { 20.0 }).collect();
        assert_eq!(cfg.cuts(&moving), [0usize; 0]);
        // Three times as much is enough, and 15 is the least.
        let by = |score: f64, mean: f64| {
            let mut scores = vec![mean; 30];
            scores[12] = score;
            cfg.cuts(&scores)
        };
        assert_eq!((by(60.0, 20.0), by(59.9, 20.0)), (vec![12], vec![]));
        assert_eq!((by(15.0, 0.0), by(14.9, 0.0)), (vec![12], vec![]));
        // The window must be whole: no cut in the last two frames.
        assert_eq!(cfg.cuts(&scores(30, &[(28, 90.0)])), [0usize; 0]);
        // The length counts from the last cut to the end of the window: 17 + 2 - 14 is 5.
        let apart = ShotConfig { min_frames: 6, ..cfg.clone() };
        let pair = |second: usize| scores(30, &[(14, 90.0), (second, 90.0)]);
        assert_eq!((apart.cuts(&pair(17)), apart.cuts(&pair(18))), (vec![14], vec![14, 18]));
    }
}
