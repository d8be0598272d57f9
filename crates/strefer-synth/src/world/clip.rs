//! A planned clip.

use strefer_core::Rng;

use super::attributes::Attributes;
use super::casting::cast;
use super::filming::Filming;
use super::staging::stage;
use super::track::{Presence, Track};
use crate::config::{Split, WorldConfig};
use crate::error::Result;

/// A body with all that it will do.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Body {
    pub attributes: Attributes,
    pub track: Track,
    pub presence: Presence,
}

/// The plan of a clip: a pure function of config, split, seed and index. Nothing is rendered yet.
#[derive(Debug, Clone, PartialEq)]
pub struct Clip {
    pub(crate) cfg: WorldConfig,
    pub(crate) split: Split,
    pub(crate) seed: u64,
    pub(crate) index: u64,
    pub(crate) bodies: Vec<Body>,
    pub(crate) filming: Filming,
}

impl Clip {
    /// Plans clip `index` of a split.
    pub fn generate(cfg: &WorldConfig, split: Split, seed: u64, index: u64) -> Result<Self> {
        cfg.validate()?;
        let root = Rng::new(seed, "world").named(split.name()).at(index);
        let mut rng = root.named("cast");
        let n_bodies = cfg.min_objects + rng.below(cfg.max_objects - cfg.min_objects + 1);
        let cast = cast(&mut rng, cfg, split, n_bodies);
        let bodies = stage(&mut root.named("stage"), cfg, cast)
            .into_iter()
            .map(|(attributes, track, presence)| Body { attributes, track, presence })
            .collect();
        let filming = Filming::draw(&mut root.named("film"), cfg);
        Ok(Self { cfg: cfg.clone(), split, seed, index, bodies, filming })
    }

    /// Its name, also that of its files.
    pub fn id(&self) -> String {
        format!("{}-{}-{:06}", self.split.name(), self.seed, self.index)
    }

    /// Number of frames.
    pub fn n_frames(&self) -> usize {
        self.cfg.n_frames()
    }

    /// When a frame is shown.
    pub(crate) fn time_s(&self, frame: usize) -> f64 {
        frame as f64 / self.cfg.fps
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::geometry::Vec3;
    use crate::world::{Action, Colour, Pattern, Shape, Size};

    fn bodies(split: Split, n: u64) -> Vec<Body> {
        let cfg = WorldConfig::default();
        (0..n).flat_map(|index| Clip::generate(&cfg, split, 21, index).unwrap().bodies).collect()
    }

    /// The least and the most frequent of all values, as a ratio.
    fn imbalance<T: Ord + Copy>(values: impl Iterator<Item = T>, all: &[T]) -> f64 {
        let mut counts: BTreeMap<T, usize> = all.iter().map(|&value| (value, 0)).collect();
        for value in values {
            *counts.entry(value).or_default() += 1;
        }
        let most = *counts.values().max().unwrap() as f64;
        most / *counts.values().min().unwrap() as f64
    }

    #[test]
    fn attributes_and_actions_are_balanced() {
        let bodies = bodies(Split::Train, 700);
        let of = |body: &Body| body.attributes;
        assert!(imbalance(bodies.iter().map(|body| of(body).shape), Shape::ALL) < 1.35);
        assert!(imbalance(bodies.iter().map(|body| of(body).colour), Colour::ALL) < 1.6);
        assert!(imbalance(bodies.iter().map(|body| of(body).pattern), Pattern::ALL) < 1.35);
        assert!(imbalance(bodies.iter().map(|body| of(body).size), Size::ALL) < 2.0);
        let actions =
            bodies.iter().flat_map(|body| body.track.segments.iter().filter_map(|segment| segment.action));
        assert!(imbalance(actions, &Action::ALL) < 1.3);
    }

    #[test]
    fn held_out_combinations_are_seen_in_tests_only() {
        for split in [Split::Train, Split::Val] {
            assert!(bodies(split, 300).iter().all(|body| !body.attributes.held_out()));
        }
        let test = bodies(Split::Test, 300);
        let share = test.iter().filter(|body| body.attributes.held_out()).count() as f64 / test.len() as f64;
        assert!((0.25..0.5).contains(&share), "{share}");
    }

    #[test]
    fn most_clips_have_two_bodies_of_one_noun_and_no_two_of_one_name() {
        let cfg = WorldConfig::default();
        let mut shared = 0;
        for index in 0..300 {
            let clip = Clip::generate(&cfg, Split::Train, 8, index).unwrap();
            let of = |of: fn(&Attributes) -> String| -> Vec<String> {
                clip.bodies.iter().map(|body| of(&body.attributes)).collect()
            };
            let distinct = |mut names: Vec<String>| {
                let n = names.len();
                names.sort();
                names.dedup();
                names.len() == n
            };
            assert!(distinct(of(Attributes::name)), "{:?}", of(Attributes::name));
            shared += usize::from(!distinct(of(|attributes| attributes.noun().to_string())));
            assert!((cfg.min_objects..=cfg.max_objects).contains(&clip.bodies.len()));
        }
        assert!(shared > 200, "{shared}");
    }

    /// Bodies never run into each other, and their apparent size says how large they are.
    #[test]
    fn bodies_keep_clear_of_each_other_and_of_other_sizes() {
        let cfg = WorldConfig::default();
        let mut seen: BTreeMap<Size, (f64, f64)> = BTreeMap::new();
        for index in 0..120 {
            let clip = Clip::generate(&cfg, Split::Train, 9, index).unwrap();
            for frame in 0..clip.n_frames() {
                let at_s = clip.time_s(frame);
                let camera = clip.filming.shot(at_s).camera(at_s);
                let poses: Vec<_> = clip.bodies.iter().map(|body| body.track.pose(at_s).base).collect();
                for (index, (body, base)) in clip.bodies.iter().zip(&poses).enumerate() {
                    let size_m = body.attributes.size.metres();
                    let middle = *base + Vec3::new(0.0, 0.0, size_m / 2.0 - base.z);
                    let across = size_m * camera.focal / camera.project(middle).depth;
                    let range = seen.entry(body.attributes.size).or_insert((across, across));
                    *range = (range.0.min(across), range.1.max(across));
                    for (other, place) in clip.bodies.iter().zip(&poses).skip(index + 1) {
                        let gap = (base.x - place.x).hypot(base.y - place.y)
                            - body.attributes.footprint()
                            - other.attributes.footprint();
                        assert!(gap > -0.06, "{} frame {frame}: {gap} m", clip.id());
                    }
                }
            }
        }
        assert!(seen[&Size::Small].1 < seen[&Size::Medium].0, "{seen:?}");
        assert!(seen[&Size::Medium].1 < seen[&Size::Large].0, "{seen:?}");
    }
}
