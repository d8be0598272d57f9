//! Which detected and lifted tracks are believed.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::stkit::config::FilterConfig;
use crate::stkit::smooth::Smoothed;
use crate::stkit::track::Track;
use crate::stkit::vector::{length, minus};

/// Why a track is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejection {
    /// The detector was not sure.
    Score,
    /// Too small or too large.
    BoxArea,
    /// Cut by the border too often.
    Border,
    /// Seen in too few samples.
    TooRare,
    /// Too many outliers.
    Outliers,
    /// Faster than its kind can be.
    Speed,
    /// Speeding up or slowing down harder than anything can.
    Acceleration,
    /// Most of its way was noise.
    Jitter,
}

impl Rejection {
    /// All of them, in the order in which the rules are looked at.
    pub const ALL: [Self; 8] = [
        Self::Score,
        Self::TooRare,
        Self::BoxArea,
        Self::Border,
        Self::Outliers,
        Self::Speed,
        Self::Acceleration,
        Self::Jitter,
    ];

    /// As it is called in records.
    pub fn name(self) -> &'static str {
        match self {
            Self::Score => "score",
            Self::BoxArea => "box_area",
            Self::Border => "border",
            Self::TooRare => "too_rare",
            Self::Outliers => "outliers",
            Self::Speed => "speed",
            Self::Acceleration => "acceleration",
            Self::Jitter => "jitter",
        }
    }
}

/// What people on foot are called.
const PEOPLE: [&str; 16] = [
    "man", "woman", "men", "women", "boy", "girl", "boys", "girls", "child", "children", "kid", "kids",
    "baby", "lady", "runner", "dancer",
];

/// Kinds of objects that differ in how fast they can be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mover {
    /// Anything with a motor, and what is not known.
    Vehicle,
    /// Bicycles.
    Bicycle,
    /// People on foot.
    Person,
}

impl Mover {
    /// The kind that a category's name speaks of.
    pub fn of(category: &str) -> Self {
        let category = category.to_ascii_lowercase();
        let has = |words: &[&str]| words.iter().any(|word| category.contains(word));
        let is = |words: &[&str]| {
            let mut said = category.split(|letter: char| !letter.is_alphanumeric());
            said.any(|word| words.contains(&word))
        };
        if has(&["person", "people", "pedestrian", "human", "player"]) || is(&PEOPLE) {
            Self::Person
        } else if has(&["bicycle", "cyclist"]) && !has(&["motor"]) {
            Self::Bicycle
        } else {
            Self::Vehicle
        }
    }
}

/// What detector and tracker say about one object.
#[derive(Debug, Clone, PartialEq)]
pub struct Detection {
    /// The detector's score.
    pub score: f64,
    /// Boxes in pixels (left, top, right, bottom), one a sample of the clip.
    pub boxes: Vec<Option<[f64; 4]>>,
    /// Height and width of the frames in pixels.
    pub size: (u32, u32),
}

impl Detection {
    /// Whether the object is worth lifting.
    ///
    /// # Errors
    /// The first rule that it breaks.
    pub fn check(&self, cfg: &FilterConfig) -> Result<(), Rejection> {
        let boxes: Vec<[f64; 4]> = self.boxes.iter().flatten().copied().collect();
        let seen = boxes.len() as f64;
        let (height, width) = (f64::from(self.size.0), f64::from(self.size.1));
        let area = |[x0, y0, x1, y1]: &[f64; 4]| (x1 - x0) * (y1 - y0) / (height * width);
        let is_free = |[x0, y0, x1, y1]: &&[f64; 4]| *x0 > 0.0 && *y0 > 0.0 && *x1 < width && *y1 < height;
        let mean_area = boxes.iter().map(area).sum::<f64>() / seen;
        let free = boxes.iter().filter(is_free).count() as f64;
        if self.score < cfg.least_score {
            Err(Rejection::Score)
        } else if boxes.len() < cfg.fewest_samples || seen < cfg.least_tracked * self.boxes.len() as f64 {
            Err(Rejection::TooRare)
        } else if !(cfg.smallest_area..=cfg.largest_area).contains(&mean_area) {
            Err(Rejection::BoxArea)
        } else if free < cfg.least_free_of_border * seen {
            Err(Rejection::Border)
        } else {
            Ok(())
        }
    }
}

/// Whether a smoothed track moves as such an object can.
///
/// # Errors
/// The first rule that it breaks.
pub fn check_motion(
    raw: &Track,
    smoothed: &Smoothed,
    mover: Mover,
    cfg: &FilterConfig,
) -> Result<(), Rejection> {
    if smoothed.outliers.len() as f64 > cfg.most_outliers * smoothed.part.len() as f64 {
        return Err(Rejection::Outliers);
    }
    let steps = step_speeds(&smoothed.track);
    if steps.iter().any(|(_, speed_mps)| *speed_mps > cfg.fastest_mps(mover)) {
        return Err(Rejection::Speed);
    }
    let change = |pair: &[(f64, f64)]| (pair[1].1 - pair[0].1).abs() / (pair[1].0 - pair[0].0);
    if steps.windows(2).any(|pair| change(pair) > cfg.hardest_change_mps2) {
        return Err(Rejection::Acceleration);
    }
    let inside = raw.valid().filter(|(at, _)| smoothed.part.contains(at)).map(|(_, point)| point);
    let (raw_m, smooth_m) = (path(inside), path(smoothed.track.valid().map(|(_, point)| point)));
    if raw_m > cfg.most_jitter * smooth_m { Err(Rejection::Jitter) } else { Ok(()) }
}

/// Middle in seconds and speed in metres a second of every step between two neighbouring samples.
fn step_speeds(track: &Track) -> Vec<(f64, f64)> {
    let times_s = track.times_s();
    let step = |at: usize| {
        let way = minus(track.positions()[at + 1]?, track.positions()[at]?);
        let middle_s = f64::midpoint(times_s[at], times_s[at + 1]);
        Some((middle_s, length(way) / (times_s[at + 1] - times_s[at])))
    };
    (0..times_s.len().saturating_sub(1)).filter_map(step).collect()
}

fn path(points: impl Iterator<Item = [f64; 3]>) -> f64 {
    let points: Vec<[f64; 3]> = points.collect();
    points.windows(2).map(|pair| length(minus(pair[1], pair[0]))).sum()
}

/// How many tracks were used, and why the others were not.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Tracks that passed every rule.
    pub kept: usize,
    /// The others, by the first rule that they broke.
    pub rejected: BTreeMap<Rejection, usize>,
}

impl Tally {
    /// Counts one track.
    pub fn count(&mut self, outcome: Result<(), Rejection>) {
        match outcome {
            Ok(()) => self.kept += 1,
            Err(reason) => *self.rejected.entry(reason).or_default() += 1,
        }
    }

    /// Share of the tracks that passed; `None` before the first.
    pub fn kept_share(&self) -> Option<f64> {
        let all = self.kept + self.rejected.values().sum::<usize>();
        (all > 0).then(|| self.kept as f64 / all as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stkit::config::SmoothingConfig;
    use crate::stkit::smooth::smooth;

    fn judge(xs: &[f64], mover: Mover) -> Result<(), Rejection> {
        let times_s = (0..xs.len()).map(|at| at as f64 * 0.5).collect();
        let raw = Track::new(times_s, xs.iter().map(|&x| Some([x, 0.0, 0.0])).collect()).unwrap();
        let smoothed = smooth(&raw, &SmoothingConfig::default());
        check_motion(&raw, &smoothed, mover, &FilterConfig::default())
    }

    fn steady(speed_mps: f64) -> Vec<f64> {
        (0..12).map(|at| f64::from(at) * speed_mps / 2.0).collect()
    }

    #[test]
    fn every_kind_has_its_fastest_speed() {
        for (mover, fastest_mps) in [(Mover::Vehicle, 50.0), (Mover::Bicycle, 20.0), (Mover::Person, 12.0)] {
            assert_eq!(judge(&steady(fastest_mps - 0.1), mover), Ok(()));
            assert_eq!(judge(&steady(fastest_mps + 0.1), mover), Err(Rejection::Speed));
        }
    }

    #[test]
    fn a_sudden_start_is_not_believed() {
        let mut xs = vec![0.0; 6];
        xs.extend((1..14).map(|at| f64::from(at) * 22.0));
        assert_eq!(judge(&xs, Mover::Vehicle), Err(Rejection::Acceleration));
    }

    #[test]
    fn jitter_and_many_outliers_are_not_believed() {
        let xs: Vec<f64> = (0..12).map(|at| if at % 2 == 0 { 0.0 } else { 0.2 }).collect();
        assert_eq!(judge(&xs, Mover::Vehicle), Err(Rejection::Jitter));
        let mut xs = steady(2.0);
        for at in [1, 5, 9] {
            xs[at] += 40.0;
        }
        assert_eq!(judge(&xs, Mover::Vehicle), Err(Rejection::Outliers));
    }

    #[test]
    fn an_object_that_stands_perfectly_still_is_believed() {
        assert_eq!(judge(&[3.0; 10], Mover::Person), Ok(()));
    }

    #[test]
    fn detections_are_judged_by_score_size_border_and_time() {
        let good =
            Detection { score: 0.5, boxes: vec![Some([10.0, 10.0, 30.0, 30.0]); 10], size: (100, 100) };
        let with = |change: &dyn Fn(&mut Detection)| {
            let mut detection = good.clone();
            change(&mut detection);
            detection.check(&FilterConfig::default())
        };
        assert_eq!(with(&|_| ()), Ok(()));
        assert_eq!(with(&|it| it.score = 0.34), Err(Rejection::Score));
        assert_eq!(with(&|it| it.boxes[..3].fill(None)), Err(Rejection::TooRare));
        assert_eq!(with(&|it| it.boxes.extend([None; 7])), Err(Rejection::TooRare));
        assert_eq!(with(&|it| it.boxes.fill(None)), Err(Rejection::TooRare));
        assert_eq!(with(&|it| it.boxes.fill(Some([1.0, 1.0, 5.0, 5.0]))), Err(Rejection::BoxArea));
        assert_eq!(with(&|it| it.boxes.fill(Some([1.0, 1.0, 99.0, 99.0]))), Err(Rejection::BoxArea));
        assert_eq!(with(&|it| it.boxes[..4].fill(Some([0.0, 10.0, 20.0, 30.0]))), Err(Rejection::Border));
        assert_eq!(with(&|it| it.boxes[..3].fill(Some([0.0, 10.0, 20.0, 30.0]))), Ok(()));
    }

    #[test]
    fn categories_of_all_sources_have_a_kind() {
        for (category, mover) in [
            ("human.pedestrian.adult", Mover::Person),
            ("vehicle.bicycle", Mover::Bicycle),
            ("vehicle.motorcycle", Mover::Vehicle),
            ("Person", Mover::Person),
            ("MOTORCYCLIST", Mover::Vehicle),
            ("BICYCLIST", Mover::Bicycle),
            ("bus", Mover::Vehicle),
        ] {
            assert_eq!(Mover::of(category), mover, "{category}");
        }
    }

    #[test]
    fn rules_are_called_the_same_everywhere() {
        for rule in Rejection::ALL {
            assert_eq!(serde_json::to_value(rule).unwrap(), rule.name());
        }
    }

    #[test]
    fn the_tally_knows_the_share_that_is_kept() {
        let mut tally = Tally::default();
        assert_eq!(tally.kept_share(), None);
        for outcome in [Ok(()), Err(Rejection::Speed), Ok(()), Err(Rejection::Speed)] {
            tally.count(outcome);
        }
        assert_eq!((tally.kept_share(), tally.rejected[&Rejection::Speed]), (Some(0.5), 2));
    }
}
