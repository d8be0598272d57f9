//! A tracker that knows where everything goes, and loses it.

use strefer_core::{Mask, PixelBox, Rng};

use super::{Noise, Scene};
use crate::masklets::boxes;
use crate::masklets::seam::{Area, Seen, Tracker, Tracking, Way};

/// A box that overlaps no object more than this is round nothing.
const LEAST_OVERLAP: f64 = 0.3;

/// What was taken for an object at a place without one is lost with this probability from one frame to the next.
const FADE: f64 = 0.25;

/// Follows the objects of the truth with faults.
#[derive(Debug)]
pub struct SimulatedTracker<'a> {
    scene: &'a Scene,
    noise: &'a Noise,
    rng: Rng,
}

impl<'a> SimulatedTracker<'a> {
    /// Draws come from `rng`, by object, frame and direction.
    pub fn new(scene: &'a Scene, noise: &'a Noise, rng: Rng) -> Self {
        Self { scene, noise, rng }
    }
}

/// What an object of a session is.
#[derive(Debug, Clone, Copy)]
enum Target {
    /// An entity, and for how many frames it was out of sight.
    Entity {
        entity: usize,
        away: usize,
    },
    /// Nothing, at a place.
    Ground(Area),
    Lost,
}

struct Session<'a> {
    tracker: &'a SimulatedTracker<'a>,
    way: Way,
    objects: Vec<(u32, Target, f64, Option<usize>)>,
}

impl Tracker for SimulatedTracker<'_> {
    fn begin<'a>(&'a self, _: usize, way: Way) -> Seen<Box<dyn Tracking + 'a>> {
        Ok(Box::new(Session { tracker: self, way, objects: Vec::new() }))
    }
}

impl Session<'_> {
    fn rng(&self, purpose: &str, subject: usize, position: usize) -> Rng {
        let way = u64::from(self.way == Way::Backward);
        self.tracker.rng.named(purpose).at(way).at(subject as u64).at(position as u64)
    }

    /// The mask of what an object is taken for; the worse the box it began with, the worse the mask.
    fn show(&self, target: Target, fit: f64, position: usize) -> Mask {
        let SimulatedTracker { scene, noise, .. } = self.tracker;
        let (height, width) = scene.size;
        match target {
            Target::Entity { entity, .. } => {
                let Some(mask) = &scene.masks[position][entity] else { return Mask::zeros(height, width) };
                let mut rng = self.rng("jitter", entity, position);
                let area = boxes::around(mask);
                let spread = noise.mask_jitter + 0.1 * (1.0 - fit);
                let (across, down) = (area[2] - area[0], area[3] - area[1]);
                shifted(
                    mask,
                    (spread * down * rng.normal()).round() as i64,
                    (spread * across * rng.normal()).round() as i64,
                )
            }
            Target::Ground(area) => {
                let [x0, y0, x1, y1] = area.map(|side| side.max(0.0) as usize);
                Mask::from_box(height, width, PixelBox { x0, y0, x1, y1 })
            }
            Target::Lost => Mask::zeros(height, width),
        }
    }

    /// What becomes of an object from one frame to the next.
    fn advance(&self, object: u32, target: Target, position: usize) -> Target {
        let SimulatedTracker { scene, noise, .. } = self.tracker;
        let Target::Entity { entity, away } = target else {
            let fades = matches!(target, Target::Ground(_))
                && self.rng("fade", object as usize, position).chance(FADE);
            return if fades { Target::Lost } else { target };
        };
        let alike = scene.look_alikes(entity, position);
        let Some(area) = scene.areas[position][entity] else {
            let mut rng = self.rng("instead", entity, position);
            let goes_over = away >= noise.remembered && rng.chance(noise.switch);
            return match rng.choose(&alike) {
                Some(&other) if goes_over => Target::Entity { entity: other, away: 0 },
                _ => Target::Entity { entity, away: away.saturating_add(1) },
            };
        };
        if away > noise.remembered && self.rng("lose", entity, position).chance(noise.lose) {
            return Target::Lost;
        }
        if self.rng("slip", entity, position).chance(noise.slip) {
            return Target::Lost;
        }
        let touches =
            |other: &usize| scene.areas[position][*other].is_some_and(|other| boxes::iou(other, area) > 0.1);
        let near: Vec<usize> = alike.into_iter().filter(touches).collect();
        let mut rng = self.rng("touch", entity, position);
        match rng.chance(noise.switch).then(|| rng.choose(&near).copied()).flatten() {
            Some(other) => Target::Entity { entity: other, away: 0 },
            None => Target::Entity { entity, away: 0 },
        }
    }
}

impl Tracking for Session<'_> {
    fn add(&mut self, object: u32, position: usize, area: Area) -> Seen<Mask> {
        let (target, fit) = match self.tracker.scene.under(position, area, LEAST_OVERLAP) {
            Some((entity, fit)) => (Target::Entity { entity, away: 0 }, fit),
            None => (Target::Ground(area), 1.0),
        };
        self.objects.push((object, target, fit, Some(position)));
        Ok(self.show(target, fit, position))
    }

    fn step(&mut self, position: usize) -> Seen<Vec<(u32, Mask)>> {
        let mut found = Vec::with_capacity(self.objects.len());
        for at in 0..self.objects.len() {
            let (object, target, fit, added) = self.objects[at];
            let target =
                if added == Some(position) { target } else { self.advance(object, target, position) };
            self.objects[at] = (object, target, fit, None);
            found.push((object, self.show(target, fit, position)));
        }
        Ok(found)
    }

    fn remove(&mut self, object: u32) {
        self.objects.retain(|(known, ..)| *known != object);
    }
}

fn shifted(mask: &Mask, down: i64, right: i64) -> Mask {
    let (height, width) = (mask.height() as i64, mask.width() as i64);
    Mask::from_fn(mask.height(), mask.width(), |y, x| {
        let (y, x) = (y as i64 - down, x as i64 - right);
        (0..height).contains(&y) && (0..width).contains(&x) && mask.get(y as usize, x as usize)
    })
}
