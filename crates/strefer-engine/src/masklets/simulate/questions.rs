//! A referee that knows who is who, and is wrong about it; and looks of objects.

use strefer_core::{Mask, Rng};

use super::{Noise, Scene};
use crate::masklets::boxes;
use crate::masklets::seam::{Answer, Area, Looks, Referee, Seen};

/// A box that overlaps no object more than this shows none.
const LEAST_OVERLAP: f64 = 0.4;

/// Numbers in a look.
const LOOK: usize = 24;

/// Answers of the truth with faults.
#[derive(Debug)]
pub struct SimulatedReferee<'a> {
    scene: &'a Scene,
    noise: &'a Noise,
    rng: Rng,
}

impl<'a> SimulatedReferee<'a> {
    /// Draws come from `rng`, by frame and expression.
    pub fn new(scene: &'a Scene, noise: &'a Noise, rng: Rng) -> Self {
        Self { scene, noise, rng }
    }

    fn answer(&self, position: usize, shown: &[Option<usize>], expression: &str) -> Answer {
        let Self { scene, noise, .. } = self;
        let own = self.rng.named(expression);
        let mut rng = own.at(position as u64);
        let wanted =
            |entity: &Option<usize>| entity.is_some_and(|entity| scene.expressions[entity] == expression);
        let right = shown.iter().position(wanted);
        // Draws come in a fixed order, so that what is asked beside does not change them.
        let (draw, sure, again, second) = (rng.uniform(), rng.uniform(), rng.uniform(), rng.uniform());
        let others: Vec<usize> = (0..shown.len()).filter(|index| Some(*index) != right).collect();
        let mut stubborn = own.named("stubborn");
        let is_stubborn = stubborn.uniform() < (1.0 - noise.right) * noise.stubborn;
        let wrong_each_time =
            (1.0 - noise.right) * (1.0 - noise.stubborn) / (1.0 - (1.0 - noise.right) * noise.stubborn);
        let answered = match right {
            Some(right) if !(is_stubborn || draw < wrong_each_time) || others.is_empty() => {
                Some((right, true))
            }
            Some(_) if is_stubborn => {
                // Always the same other object, where it is to be seen.
                let preferred = stubborn.permutation(scene.expressions.len());
                let rank = |index: &usize| {
                    let place =
                        shown[*index].and_then(|entity| preferred.iter().position(|at| *at == entity));
                    place.unwrap_or(usize::MAX)
                };
                others.iter().copied().min_by_key(rank).map(|index| (index, false))
            }
            Some(_) => Some((others[(again * others.len() as f64) as usize], false)),
            None if draw < noise.always_answers && !others.is_empty() => {
                Some((others[(again * others.len() as f64) as usize], false))
            }
            None => None,
        };
        let Some((index, is_right)) = answered else { return Answer::default() };
        let confidence = if is_right { 0.55 + 0.45 * sure } else { 0.3 + 0.6 * sure };
        let mut answer = Answer { indices: vec![index], confidence: vec![confidence] };
        let more: Vec<usize> = (0..shown.len()).filter(|other| *other != index).collect();
        if second < noise.several && !more.is_empty() {
            answer.indices.push(more[(again * more.len() as f64) as usize]);
            answer.confidence.push(0.5 * confidence);
        }
        answer
    }
}

impl Referee for SimulatedReferee<'_> {
    fn name(&self) -> &str {
        "simulated"
    }

    fn refer(&mut self, position: usize, boxes: &[Area], expressions: &[&str]) -> Seen<Vec<Answer>> {
        let under = |area: &Area| self.scene.under(position, *area, LEAST_OVERLAP).map(|(entity, _)| entity);
        let shown: Vec<Option<usize>> = boxes.iter().map(under).collect();
        Ok(expressions.iter().map(|expression| self.answer(position, &shown, expression)).collect())
    }
}

/// Looks of the truth with faults: each object has its own, those of one noun share a part.
#[derive(Debug)]
pub struct SimulatedLooks<'a> {
    scene: &'a Scene,
    noise: &'a Noise,
    rng: Rng,
}

impl<'a> SimulatedLooks<'a> {
    /// Draws come from `rng`, by frame and object.
    pub fn new(scene: &'a Scene, noise: &'a Noise, rng: Rng) -> Self {
        Self { scene, noise, rng }
    }

    fn direction(mut rng: Rng) -> Vec<f64> {
        unit((0..LOOK).map(|_| rng.normal()).collect())
    }
}

fn unit(values: Vec<f64>) -> Vec<f64> {
    let length = values.iter().map(|value| value * value).sum::<f64>().sqrt().max(1e-12);
    values.into_iter().map(|value| value / length).collect()
}

impl Looks for SimulatedLooks<'_> {
    fn look(&mut self, position: usize, mask: &Mask) -> Seen<Option<Vec<f32>>> {
        let area = boxes::around(mask);
        let found = self.scene.inside(position, mask);
        let (shared, own, share) = match found {
            Some(entity) => {
                let noun = self.scene.nouns[entity] as u64;
                let own = self.rng.named("own").at(entity as u64);
                (
                    Self::direction(self.rng.named("noun").at(noun)),
                    Self::direction(own),
                    self.noise.look_alike,
                )
            }
            None => {
                let place = (area[0] as u64) << 16 | area[1] as u64;
                let ground = Self::direction(self.rng.named("ground").at(place));
                (ground.clone(), ground, 0.0)
            }
        };
        let subject = found.map_or(u64::MAX, |entity| entity as u64);
        let mut rng = self.rng.named("noise").at(position as u64).at(subject);
        let spread = self.noise.look_noise / (LOOK as f64).sqrt();
        let mixed = shared
            .iter()
            .zip(&own)
            .map(|(shared, own)| share.sqrt() * shared + (1.0 - share).sqrt() * own + spread * rng.normal());
        Ok(Some(unit(mixed.collect()).into_iter().map(|value| value as f32).collect()))
    }
}
