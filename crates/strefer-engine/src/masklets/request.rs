//! What is looked for, and on which frames.

use strefer_core::masklet::UniformRule;
use strefer_core::records::Entity;
use strefer_core::{FrameKey, IndexSpace};

/// What is looked for: an expression and its broad noun.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sought {
    /// Name of the entity.
    pub eid: String,
    /// "the woman in red"
    pub expression: String,
    /// "person"
    pub noun: String,
}

impl From<&Entity> for Sought {
    fn from(entity: &Entity) -> Self {
        let (eid, expression) = (entity.eid.clone(), entity.expression.clone());
        Self { eid, expression, noun: entity.general_noun.clone() }
    }
}

/// The frames that are used, in order; a frame's position counts them.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// What keys count.
    pub space: IndexSpace,
    /// The key of each position.
    pub keys: Vec<FrameKey>,
    /// Frame numbers of the video.
    pub indices: Vec<usize>,
    /// Seconds.
    pub times_s: Vec<f64>,
    /// Whether frames had to be left out because they cannot be read.
    pub is_partial: bool,
}

/// Times are compared with this tolerance.
const SAME_TIME_S: f64 = 1e-6;

impl Timeline {
    /// `n` frames spread over a video whose frames are shown at `times_s`.
    pub fn uniform(times_s: &[f64], n: usize) -> Self {
        let space = IndexSpace::Uniform { n: n as u32, rule: UniformRule::LinspaceTrunc };
        let keys: Vec<FrameKey> = (0..n as u32).map(FrameKey).collect();
        let indices: Vec<usize> =
            keys.iter().filter_map(|key| space.source_frame(*key, times_s.len())).collect();
        let times_s = indices.iter().map(|&index| times_s[index]).collect();
        Self { space, keys, indices, times_s, is_partial: false }
    }

    /// The frames that are on the screen every `step_s` seconds, from the first on. They keep their numbers in the video.
    pub fn every(times_s: &[f64], step_s: f64) -> Self {
        let last_s = times_s.last().copied().unwrap_or(-1.0);
        let moments =
            (0..).map(|step| f64::from(step) * step_s).take_while(|at_s| *at_s <= last_s + SAME_TIME_S);
        let shown = moments.map(|at_s| times_s.partition_point(|time_s| *time_s <= at_s + SAME_TIME_S));
        let mut indices: Vec<usize> = shown.map(|shown| shown.saturating_sub(1)).collect();
        indices.dedup();
        Self {
            space: IndexSpace::Source,
            keys: indices.iter().map(|&index| FrameKey(index as u32)).collect(),
            times_s: indices.iter().map(|&index| times_s[index]).collect(),
            indices,
            is_partial: false,
        }
    }

    /// Without the frames that cannot be read. The others keep their numbers in the video.
    #[must_use]
    pub fn readable(&self, reads: &[bool]) -> Self {
        if reads.iter().all(|reads| *reads) {
            return self.clone();
        }
        let mut kept: Vec<usize> = (0..self.indices.len()).filter(|&position| reads[position]).collect();
        kept.dedup_by_key(|position| self.indices[*position]);
        Self {
            space: IndexSpace::Source,
            keys: kept.iter().map(|&position| FrameKey(self.indices[position] as u32)).collect(),
            indices: kept.iter().map(|&position| self.indices[position]).collect(),
            times_s: kept.iter().map(|&position| self.times_s[position]).collect(),
            is_partial: true,
        }
    }

    /// Number of positions.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is no frame.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The position whose frame is shown nearest to a moment.
    pub fn nearest(&self, at_s: f64) -> Option<usize> {
        let distance = |position: &usize| (self.times_s[*position] - at_s).abs();
        (0..self.len()).min_by(|a, b| distance(a).total_cmp(&distance(b)))
    }
}

/// The nouns of a query, each once: people first, then in the order in which they come.
pub fn query(sought: &[Sought]) -> Vec<String> {
    let mut nouns: Vec<String> = Vec::new();
    for sought in sought {
        let noun = sought.noun.trim();
        if !noun.is_empty() && !nouns.iter().any(|known| known == noun) {
            nouns.push(noun.to_owned());
        }
    }
    nouns.sort_by_key(|noun| noun != "person");
    nouns
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_come_first_and_every_noun_once() {
        let sought =
            |noun: &str| Sought { eid: String::new(), expression: String::new(), noun: noun.to_owned() };
        let all: Vec<Sought> = ["dog", "ball", "person", "dog", " "].map(sought).into();
        assert_eq!(query(&all), ["person", "dog", "ball"]);
    }

    #[test]
    fn a_frame_every_half_second_is_the_one_on_the_screen_then() {
        // 30 frames a second for a little more than a second, and three a second.
        let times_s: Vec<f64> = (0..32).map(|at| f64::from(at) / 30.0).collect();
        let half = Timeline::every(&times_s, 0.5);
        assert_eq!((half.indices.as_slice(), half.space), (&[0, 15, 30][..], IndexSpace::Source));
        assert_eq!(half.keys, [0, 15, 30].map(FrameKey));
        let slow: Vec<f64> = (0..4).map(|at| f64::from(at) / 3.0).collect();
        assert_eq!(Timeline::every(&slow, 0.5).indices, [0, 1, 3]);
        assert_eq!(Timeline::every(&slow, 0.1).indices, [0, 1, 2, 3]);
        assert!(Timeline::every(&[], 0.5).is_empty());
    }

    #[test]
    fn frames_that_cannot_be_read_leave_the_others_their_numbers() {
        let times_s: Vec<f64> = (0..10).map(f64::from).collect();
        let whole = Timeline::uniform(&times_s, 4);
        assert_eq!(whole.indices, [0, 3, 6, 9]);
        assert_eq!(whole.nearest(4.4), Some(1));
        assert_eq!(whole.readable(&[true; 4]), whole);
        let part = whole.readable(&[true, false, true, true]);
        assert_eq!(part.keys, [0, 6, 9].map(FrameKey));
        assert_eq!((part.space, part.times_s), (IndexSpace::Source, vec![0.0, 6.0, 9.0]));
        // A short video shows frames twice; without one of them each counts once.
        let short = Timeline::uniform(&times_s[..2], 4);
        assert_eq!(short.indices, [0, 0, 0, 1]);
        assert_eq!(short.readable(&[false, true, true, true]).keys, [0, 1].map(FrameKey));
    }
}
