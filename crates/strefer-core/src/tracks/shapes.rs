//! Shapes that tools keep at some frames and draw between them.

use crate::error::Result;
use crate::mask::Mask;
use crate::rle::Rle;

/// What an object looks like at a frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Shape {
    /// Left, top, right, bottom in pixels.
    Box([f64; 4]),
    /// Corners: x, y by turns, in pixels.
    Polygon(Vec<f64>),
    /// Its pixels.
    Mask(Mask),
}

impl Shape {
    /// The pixels on a frame of `height` by `width`. Those of a box are the ones whose middle it holds.
    pub(super) fn mask(&self, height: u32, width: u32) -> Result<Mask> {
        match self {
            Self::Box([left, top, right, bottom]) => {
                let inside = |at: usize, from: f64, to: f64| (from..to).contains(&(at as f64 + 0.5));
                Ok(Mask::from_fn(height as usize, width as usize, |y, x| {
                    inside(y, *top, *bottom) && inside(x, *left, *right)
                }))
            }
            Self::Polygon(corners) => {
                Ok(Rle::from_polygons(height, width, std::slice::from_ref(corners))?.to_mask())
            }
            Self::Mask(mask) => Ok(mask.clone()),
        }
    }

    /// The shape `share` of the way to another: boxes, and polygons of equally many corners, move evenly; anything else stays
    /// as it is until the next.
    pub(super) fn towards(&self, next: &Self, share: f64) -> Self {
        let between = |a: f64, b: f64| a + (b - a) * share;
        match (self, next) {
            (Self::Box(a), Self::Box(b)) => Self::Box(std::array::from_fn(|at| between(a[at], b[at]))),
            (Self::Polygon(a), Self::Polygon(b)) if a.len() == b.len() => {
                Self::Polygon(a.iter().zip(b).map(|(a, b)| between(*a, *b)).collect())
            }
            _ => self.clone(),
        }
    }
}

/// A shape from a frame on.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key {
    pub(super) frame: u32,
    /// None: the object is not to be seen from here on.
    pub(super) shape: Option<Shape>,
    /// Whether it is to be seen between this frame and the next key.
    pub(super) goes_on: bool,
}

/// Hands out the shape of every frame from the first key to the last. Keys are ordered by their frames, of which no two are
/// equal.
pub(super) fn every_frame<E>(
    keys: &[Key],
    mut take: impl FnMut(u32, &Shape) -> std::result::Result<(), E>,
) -> std::result::Result<(), E> {
    for (at, key) in keys.iter().enumerate() {
        let Some(shape) = &key.shape else { continue };
        take(key.frame, shape)?;
        let Some(next) = keys.get(at + 1).filter(|_| key.goes_on) else { continue };
        for frame in key.frame + 1..next.frame {
            let share = f64::from(frame - key.frame) / f64::from(next.frame - key.frame);
            match &next.shape {
                Some(to) => take(frame, &shape.towards(to, share))?,
                None => take(frame, shape)?,
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shapes_move_evenly_between_their_keys_and_end_where_they_are_hidden() {
        let key = |frame, left: f64, goes_on| Key {
            frame,
            shape: Some(Shape::Box([left, 0.0, left + 2.0, 2.0])),
            goes_on,
        };
        let hidden = Key { frame: 5, shape: None, goes_on: false };
        let keys = [key(0, 0.0, true), key(3, 6.0, true), hidden, key(7, 1.0, false), key(9, 2.0, true)];
        let mut seen = Vec::new();
        every_frame(&keys, |frame, shape| {
            let Shape::Box([left, ..]) = shape else { return Err("no box") };
            seen.push((frame, *left));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(0, 0.0), (1, 2.0), (2, 4.0), (3, 6.0), (4, 6.0), (7, 1.0), (9, 2.0)]);
    }

    #[test]
    fn polygons_of_other_corners_stay_as_they_are() {
        let three = Shape::Polygon(vec![0.0, 0.0, 4.0, 0.0, 0.0, 4.0]);
        let four = Shape::Polygon(vec![0.0; 8]);
        assert_eq!(three.towards(&four, 0.5), three);
        let shrunk = Shape::Polygon(vec![0.0, 0.0, 2.0, 0.0, 0.0, 2.0]);
        assert_eq!(three.towards(&Shape::Polygon(vec![0.0; 6]), 0.5), shrunk);
        assert_eq!(Shape::Box([1.0, 0.0, 3.0, 2.0]).mask(3, 4).unwrap().area(), 4);
    }
}
