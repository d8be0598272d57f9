//! Shots become parts in which one thing happens: neighbours that look alike are joined, long parts are split.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strefer_core::Span;
use strefer_core::records::{Boundary, ClipSpan};

/// Parts inside shots. Distances are 1 less the cosine of features.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SemanticConfig {
    /// Frames a second whose features are taken.
    pub fps: f64,
    /// Most frames whose features are taken; of longer videos fewer a second.
    pub most_samples: usize,
    /// Neighbours nearer than this are one part.
    pub split_distance: f64,
    /// A cut between neighbours nearer than this is none.
    pub merge_distance: f64,
    /// A part that is shorter joins its nearer neighbour in the shot, in seconds.
    pub shortest_s: f64,
    /// A part that is longer is split, in seconds.
    pub longest_s: f64,
    /// Most parts of a video; the nearest neighbours are joined until there are no more.
    pub most_clips: usize,
}

impl Default for SemanticConfig {
    fn default() -> Self {
        Self {
            fps: 2.0,
            most_samples: 2000,
            split_distance: 0.15,
            merge_distance: 0.05,
            shortest_s: 1.5,
            longest_s: 15.0,
            most_clips: 240,
        }
    }
}

impl SemanticConfig {
    /// What makes no sense about it, if anything does.
    pub fn problem(&self) -> Option<String> {
        let sizes = [self.fps, self.shortest_s, self.longest_s];
        if !sizes.iter().all(|size| *size > 0.0 && size.is_finite()) {
            return Some("clips.semantic: fps, shortest_s and longest_s must be positive".to_owned());
        }
        if self.longest_s < 2.0 * self.shortest_s {
            return Some("clips.semantic: longest_s must be twice shortest_s at least".to_owned());
        }
        if self.most_samples == 0 || self.most_clips == 0 {
            return Some("clips.semantic: most_samples and most_clips cannot be 0".to_owned());
        }
        let distances = [self.split_distance, self.merge_distance];
        let far = distances.iter().any(|distance| !(0.0..=2.0).contains(distance));
        far.then(|| "clips.semantic: distances lie between 0 and 2".to_owned())
    }

    /// Where features are taken: each shot in equal stretches, with one frame in the middle of each. One at least a shot.
    pub fn stretches(&self, shots: &[Span]) -> Vec<Stretch> {
        let whole_s: f64 = shots.iter().map(Span::length_s).sum();
        let fps = self.fps.min(self.most_samples as f64 / whole_s.max(1e-9));
        let mut stretches = Vec::new();
        for (shot, span) in shots.iter().enumerate() {
            let count = ((span.length_s() * fps).floor() as usize).max(1);
            let edge = |at: usize| match at {
                at if at == count => span.end_s,
                at => span.start_s + span.length_s() * at as f64 / count as f64,
            };
            stretches.extend(
                (0..count).map(|at| Stretch { shot, span: Span { start_s: edge(at), end_s: edge(at + 1) } }),
            );
        }
        stretches
    }

    /// The parts of a video, without gaps. `features` has one row a stretch, of length 1 each.
    pub fn parts(&self, stretches: &[Stretch], features: &[Vec<f32>]) -> Vec<ClipSpan> {
        let mut parts: Vec<Part> = (0..stretches.len().min(features.len()))
            .map(|at| Part {
                stretches: (at, at + 1),
                sum: features[at].iter().map(|&value| f64::from(value)).collect(),
            })
            .collect();
        let shot = |at: usize| stretches[at].shot;
        let is_cut = |left: &Part, right: &Part| shot(left.stretches.1 - 1) != shot(right.stretches.0);
        join(&mut parts, |left, right| {
            let nearest = if is_cut(left, right) { self.merge_distance } else { self.split_distance };
            Some(left.distance(right)).filter(|distance| *distance < nearest)
        });
        let length_s = |part: &Part| part.span(stretches).length_s();
        join(&mut parts, |left, right| {
            let short = length_s(left).min(length_s(right)) < self.shortest_s;
            (short && !is_cut(left, right)).then(|| left.distance(right))
        });
        while parts.len() > self.most_clips {
            // Inside shots first.
            let distance = |at: usize| {
                let (left, right) = (&parts[at], &parts[at + 1]);
                left.distance(right) + if is_cut(left, right) { 2.0 } else { 0.0 }
            };
            let nearest = (0..parts.len() - 1).min_by(|&a, &b| distance(a).total_cmp(&distance(b)));
            let Some(at) = nearest else { break };
            let right = parts.remove(at + 1);
            parts[at].take(&right);
        }
        self.spans(&parts, stretches, features)
    }

    fn spans(&self, parts: &[Part], stretches: &[Stretch], features: &[Vec<f32>]) -> Vec<ClipSpan> {
        let mut room = self.most_clips.saturating_sub(parts.len());
        let mut spans: Vec<ClipSpan> = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let mut pieces = Vec::new();
            self.split(part.stretches, stretches, features, &mut room, &mut pieces);
            let next = parts.get(at + 1);
            let (ending, score) = match next {
                None => (Boundary::End, None),
                Some(next) => {
                    let cut = stretches[part.stretches.1 - 1].shot != stretches[next.stretches.0].shot;
                    let distance = (part.distance(next) * 1e6).round() / 1e6;
                    (if cut { Boundary::Shot } else { Boundary::Semantic }, Some(distance))
                }
            };
            let last = pieces.len() - 1;
            for (nth, (from, to)) in pieces.into_iter().enumerate() {
                let (boundary, score) = if nth == last { (ending, score) } else { (Boundary::MaxLen, None) };
                let (start_s, end_s) = (stretches[from].span.start_s, stretches[to - 1].span.end_s);
                spans.push(ClipSpan { cid: format!("c{}", spans.len()), start_s, end_s, boundary, score });
            }
        }
        spans
    }

    /// Splits a part that is too long where neighbouring stretches differ most, near its middle where nothing differs.
    fn split(
        &self,
        (from, to): (usize, usize),
        stretches: &[Stretch],
        features: &[Vec<f32>],
        room: &mut usize,
        pieces: &mut Vec<(usize, usize)>,
    ) {
        let (start_s, end_s) = (stretches[from].span.start_s, stretches[to - 1].span.end_s);
        let edge_s = |at: usize| stretches[at].span.start_s;
        let allowed = (from + 1..to)
            .filter(|&at| edge_s(at) - start_s >= self.shortest_s && end_s - edge_s(at) >= self.shortest_s);
        let middle_s = (start_s + end_s) / 2.0;
        let best = allowed.max_by(|&a, &b| {
            let change = |at: usize| (distance(&features[at - 1], &features[at]) * 1e4).round();
            let off = |at: usize| (edge_s(at) - middle_s).abs();
            change(a).total_cmp(&change(b)).then(off(b).total_cmp(&off(a)))
        });
        match best.filter(|_| end_s - start_s > self.longest_s && *room > 0) {
            Some(at) => {
                *room -= 1;
                self.split((from, at), stretches, features, room, pieces);
                self.split((at, to), stretches, features, room, pieces);
            }
            None => pieces.push((from, to)),
        }
    }
}

/// A piece of a shot with one frame in its middle.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Stretch {
    /// Number of the shot.
    pub shot: usize,
    /// From when to when.
    pub span: Span,
}

impl Stretch {
    /// The moment whose frame stands for it, in seconds.
    pub fn middle_s(&self) -> f64 {
        (self.span.start_s + self.span.end_s) / 2.0
    }
}

/// Neighbouring stretches. With features of length 1 the product of two means is the mean of all products: distances are
/// those of average linkage.
struct Part {
    stretches: (usize, usize),
    sum: Vec<f64>,
}

impl Part {
    fn len(&self) -> f64 {
        (self.stretches.1 - self.stretches.0) as f64
    }

    fn distance(&self, other: &Self) -> f64 {
        let product: f64 = self.sum.iter().zip(&other.sum).map(|(a, b)| a * b).sum();
        1.0 - product / (self.len() * other.len())
    }

    fn take(&mut self, next: &Self) {
        self.stretches.1 = next.stretches.1;
        self.sum.iter_mut().zip(&next.sum).for_each(|(sum, value)| *sum += value);
    }

    fn span(&self, stretches: &[Stretch]) -> Span {
        Span {
            start_s: stretches[self.stretches.0].span.start_s,
            end_s: stretches[self.stretches.1 - 1].span.end_s,
        }
    }
}

fn distance(a: &[f32], b: &[f32]) -> f64 {
    1.0 - a.iter().zip(b).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum::<f64>()
}

/// Joins the pair of neighbours with the smallest distance, again and again, while there is one.
fn join(parts: &mut Vec<Part>, distance: impl Fn(&Part, &Part) -> Option<f64>) {
    let mut between: Vec<Option<f64>> = parts.windows(2).map(|pair| distance(&pair[0], &pair[1])).collect();
    loop {
        let near = between.iter().enumerate().filter_map(|(at, distance)| Some((at, (*distance)?)));
        let Some((at, _)) = near.min_by(|a, b| a.1.total_cmp(&b.1)) else { return };
        let right = parts.remove(at + 1);
        parts[at].take(&right);
        between.remove(at);
        for pair in [at.checked_sub(1), Some(at)].into_iter().flatten() {
            if let (Some(left), Some(right)) = (parts.get(pair), parts.get(pair + 1)) {
                between[pair] = distance(left, right);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One stretch a second, with features in the plane by their angle in degrees.
    fn parts(cfg: &SemanticConfig, shots: &[&[f64]]) -> Vec<(f64, f64, Boundary)> {
        let mut start_s = 0.0;
        let spans: Vec<Span> = shots
            .iter()
            .map(|angles| {
                let span = Span { start_s, end_s: start_s + angles.len() as f64 };
                start_s = span.end_s;
                span
            })
            .collect();
        let stretches = cfg.stretches(&spans);
        let angles = shots.iter().copied().flatten();
        let features: Vec<Vec<f32>> = angles
            .map(|angle| vec![angle.to_radians().cos() as f32, angle.to_radians().sin() as f32])
            .collect();
        assert_eq!(stretches.len(), features.len());
        let found = cfg.parts(&stretches, &features);
        found.into_iter().map(|part| (part.start_s, part.end_s, part.boundary)).collect()
    }

    fn by_seconds() -> SemanticConfig {
        SemanticConfig { fps: 1.0, ..SemanticConfig::default() }
    }

    #[test]
    fn a_shot_is_parted_where_what_is_seen_changes() {
        // cos 60° is a half: a distance of 0.5. cos 20° is 0.94: a distance of 0.06.
        let found = parts(&by_seconds(), &[&[0.0, 0.0, 20.0, 80.0, 80.0]]);
        assert_eq!(found, [(0.0, 3.0, Boundary::Semantic), (3.0, 5.0, Boundary::End)]);
    }

    #[test]
    fn a_cut_stays_unless_both_sides_look_the_same() {
        // 20° apart is 0.06: less than the distance inside a shot, more than that across a cut; 10° is 0.015.
        let found = parts(&by_seconds(), &[&[0.0, 0.0], &[20.0, 20.0], &[30.0, 30.0]]);
        assert_eq!(found, [(0.0, 2.0, Boundary::Shot), (2.0, 6.0, Boundary::End)]);
    }

    #[test]
    fn a_short_part_joins_the_nearer_neighbour_and_a_short_shot_stays() {
        // One second at 60° between 0° (distance 0.5) and 100° (distance 0.23).
        let found = parts(&by_seconds(), &[&[0.0, 0.0, 60.0, 100.0, 100.0]]);
        assert_eq!(found, [(0.0, 2.0, Boundary::Semantic), (2.0, 5.0, Boundary::End)]);
        let found = parts(&by_seconds(), &[&[0.0, 0.0], &[60.0], &[120.0, 120.0]]);
        assert_eq!(found.iter().map(|part| part.1).collect::<Vec<_>>(), [2.0, 3.0, 5.0]);
    }

    #[test]
    fn long_parts_are_split_where_they_change_most_and_number_no_more_than_allowed() {
        let cfg = SemanticConfig { longest_s: 6.0, shortest_s: 2.0, ..by_seconds() };
        // The largest step, 8°, comes after the fifth second.
        let mut angles = [0.0; 10];
        angles[5..].fill(8.0);
        assert_eq!(parts(&cfg, &[&angles]), [(0.0, 5.0, Boundary::MaxLen), (5.0, 10.0, Boundary::End)]);
        // Nothing changes: halves.
        let found = parts(&cfg, &[&[0.0; 24]]);
        assert_eq!(found.iter().map(|part| part.1).collect::<Vec<_>>(), [6.0, 12.0, 18.0, 24.0]);
        let few = SemanticConfig { most_clips: 3, ..cfg };
        assert_eq!(parts(&few, &[&[0.0; 24]]).len(), 3);
        let turning: Vec<f64> = (0..30).map(|second| 60.0 * f64::from(second / 3)).collect();
        assert_eq!(parts(&few, &[&turning]).len(), 3);
    }

    #[test]
    fn samples_are_bounded_and_every_shot_has_one() {
        let cfg = SemanticConfig { most_samples: 10, ..SemanticConfig::default() };
        let span = |start_s, end_s| Span { start_s, end_s };
        let stretches = cfg.stretches(&[span(0.0, 3600.0), span(3600.0, 3600.1)]);
        assert_eq!((stretches.len(), stretches[9].shot), (10, 1));
        assert_eq!(stretches[9].span, span(3600.0, 3600.1));
    }
}
