//! A detector that knows where everything is, and is wrong about it.

use strefer_core::Rng;

use super::{Noise, Scene};
use crate::masklets::seam::{Area, Detection, Detector, Seen};

/// Boxes of the truth with faults.
#[derive(Debug)]
pub struct SimulatedDetector<'a> {
    scene: &'a Scene,
    noise: &'a Noise,
    rng: Rng,
}

impl<'a> SimulatedDetector<'a> {
    /// Draws come from `rng`, by frame and object.
    pub fn new(scene: &'a Scene, noise: &'a Noise, rng: Rng) -> Self {
        Self { scene, noise, rng }
    }

    fn found(&self, position: usize, entity: usize, nouns: &[String]) -> Option<Detection> {
        let Self { scene, noise, .. } = self;
        let area = scene.areas[position][entity]?;
        let shown = scene.masks[position][entity].as_ref()?.area() as f64 / scene.largest[entity] as f64;
        let mut rng = self.rng.named("object").at(position as u64).at(entity as u64);
        if rng.chance(noise.miss + (1.0 - noise.miss) * 0.5 * (1.0 - shown.min(1.0))) && noise.miss > 0.0 {
            return None;
        }
        let (width, height) = (area[2] - area[0], area[3] - area[1]);
        let sides = [width, height, width, height];
        let mut jittered: Area = area;
        for (side, size) in jittered.iter_mut().zip(sides) {
            *side += noise.box_jitter * size * rng.normal();
        }
        let (bottom, right) = (scene.size.0 as f64, scene.size.1 as f64);
        let clamp = |value: f64, most: f64| value.clamp(0.0, most);
        let area = [
            clamp(jittered[0].min(jittered[2]), right),
            clamp(jittered[1].min(jittered[3]), bottom),
            clamp(jittered[0].max(jittered[2]), right),
            clamp(jittered[1].max(jittered[3]), bottom),
        ];
        let own = nouns.iter().position(|noun| *noun == scene.query[scene.nouns[entity]])?;
        let other = (nouns.len() > 1).then(|| (own + 1 + rng.below(nouns.len() - 1)) % nouns.len());
        let (confused, merged) = (rng.chance(noise.confuse), rng.chance(noise.merged_label));
        let noun = other.filter(|_| confused).unwrap_or(own);
        let label = match other.filter(|_| merged && !confused) {
            Some(other) => format!("{} {}", nouns[own], nouns[other]),
            None => nouns[noun].clone(),
        };
        let score = (0.72 + 0.1 * rng.normal()).clamp(0.26, 0.98);
        Some(Detection { area, score, label, noun: Some(noun), expression: None })
    }

    /// A box round nothing.
    fn phantom(&self, position: usize, nouns: &[String]) -> Option<Detection> {
        let mut rng = self.rng.named("phantom").at(position as u64);
        if !rng.chance(self.noise.false_box) {
            return None;
        }
        let (height, width) = (self.scene.size.0 as f64, self.scene.size.1 as f64);
        let (w, h) = (width * rng.range(0.08, 0.25), height * rng.range(0.08, 0.25));
        let (left, top) = (rng.range(0.0, width - w), rng.range(0.0, height - h));
        let noun = rng.below(nouns.len());
        let score = rng.range(0.3, 0.7);
        let area = [left, top, left + w, top + h];
        Some(Detection { area, score, label: nouns[noun].clone(), noun: Some(noun), expression: None })
    }
}

impl Detector for SimulatedDetector<'_> {
    fn detect(&mut self, position: usize, nouns: &[String]) -> Seen<Vec<Detection>> {
        let entities = 0..self.scene.nouns.len();
        let mut found: Vec<Detection> =
            entities.filter_map(|entity| self.found(position, entity, nouns)).collect();
        found.extend(self.phantom(position, nouns));
        found.sort_by(|a, b| b.score.total_cmp(&a.score));
        Ok(found)
    }
}
