//! Who is in a clip: attributes that are balanced, differ between bodies, and often nearly agree.

use strefer_core::Rng;

use super::attributes::{Attributes, Colour, Pattern, Shape, Size};
use crate::config::{Split, WorldConfig};

/// Metres that the bodies of a clip may measure together: more do not fit side by side.
const ROOM: f64 = 2.65;

fn pick<T: Copy>(rng: &mut Rng, items: &[T]) -> T {
    items[rng.below(items.len())]
}

/// Small, medium and large, with more large bodies where few share the picture: over all clips about as many, though
/// within every number of bodies all sizes come up.
fn draw_size(rng: &mut Rng, n_bodies: usize) -> Size {
    let (small, medium) = match n_bodies {
        0..=2 => (0.10, 0.28),
        3 => (0.18, 0.40),
        _ => (0.45, 0.43),
    };
    let draw = rng.uniform();
    if draw < small {
        Size::Small
    } else if draw < small + medium {
        Size::Medium
    } else {
        Size::Large
    }
}

/// Shapes come up equally often, whatever is held out; so do the other attributes given the shape.
fn draw_one(rng: &mut Rng, split: Split, n_bodies: usize) -> Attributes {
    let shape = pick(rng, Shape::ALL);
    let size = draw_size(rng, n_bodies);
    loop {
        let (colour, pattern) = (pick(rng, Colour::ALL), pick(rng, Pattern::ALL));
        let body = Attributes { shape, colour, pattern, size };
        if split == Split::Test || !body.held_out() {
            return body;
        }
    }
}

/// Draws `n_bodies` that all differ, in a random order.
pub(super) fn cast(rng: &mut Rng, cfg: &WorldConfig, split: Split, n_bodies: usize) -> Vec<Attributes> {
    let look_alikes = n_bodies > 1 && rng.chance(cfg.look_alikes);
    loop {
        let mut bodies: Vec<Attributes> = (0..n_bodies).map(|_| draw_one(rng, split, n_bodies)).collect();
        if look_alikes {
            // What two bodies of one shape share is never held out in one of them alone.
            bodies[1].shape = bodies[0].shape;
            match rng.below(3) {
                0 => bodies[1].colour = bodies[0].colour,
                1 => bodies[1].pattern = bodies[0].pattern,
                _ => bodies[1].size = bodies[0].size,
            }
        }
        let differ = (1..n_bodies).all(|index| !bodies[..index].contains(&bodies[index]));
        let allowed = split == Split::Test || bodies.iter().all(|body| !body.held_out());
        let fit =
            bodies.iter().map(|body| body.size.metres()).sum::<f64>() <= ROOM.max(0.54 * n_bodies as f64);
        if differ && allowed && fit {
            rng.shuffle(&mut bodies);
            return bodies;
        }
    }
}
