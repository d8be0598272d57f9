//! Arithmetic of points in space, and the vector that tells up from down.

use serde::{Deserialize, Serialize};

use crate::stkit::fault::Fault;

/// A position or displacement in metres: x, y, z of a right-handed frame.
pub type Point = [f64; 3];

/// An up vector may miss the length 1 by this much.
const UNIT_SLACK: f64 = 1e-6;

/// `a - b`.
pub(super) fn minus(a: Point, b: Point) -> Point {
    [a[0] - b[0], a[1] - b[1], a[2] - b[2]]
}

/// `a + share * b`.
pub(super) fn plus_scaled(a: Point, b: Point, share: f64) -> Point {
    [a[0] + share * b[0], a[1] + share * b[1], a[2] + share * b[2]]
}

pub(super) fn dot(a: Point, b: Point) -> f64 {
    a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
}

pub(super) fn cross(a: Point, b: Point) -> Point {
    [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
}

pub(super) fn length(a: Point) -> f64 {
    dot(a, a).sqrt()
}

/// The direction away from the ground, a unit vector of the world frame.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "Point", into = "Point")]
pub struct Up(Point);

impl Up {
    /// Worlds whose z points up: driving datasets and SLAM of glasses.
    pub const Z: Self = Self([0.0, 0.0, 1.0]);
    /// Worlds that begin as a camera: x right, y down, z forward.
    pub const MINUS_Y: Self = Self([0.0, -1.0, 0.0]);

    /// The direction of `vector`.
    ///
    /// # Errors
    /// When its length is not 1.
    pub fn new(vector: Point) -> Result<Self, Fault> {
        let found = length(vector);
        if (found - 1.0).abs() <= UNIT_SLACK { Ok(Self(vector)) } else { Err(Fault::UpLength { found }) }
    }

    /// What is left of `vector` without its vertical part.
    pub(super) fn horizontal(self, vector: Point) -> Point {
        plus_scaled(vector, self.0, -dot(vector, self.0))
    }

    /// The angle from `from` to `to` in radians, in `(-π, π]`; counter-clockwise as seen from above is positive.
    pub(super) fn turn(self, from: Point, to: Point) -> f64 {
        dot(cross(from, to), self.0).atan2(dot(from, to))
    }
}

impl TryFrom<Point> for Up {
    type Error = Fault;

    fn try_from(vector: Point) -> Result<Self, Fault> {
        Self::new(vector)
    }
}

impl From<Up> for Point {
    fn from(up: Up) -> Self {
        up.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_left_turn_is_positive_whichever_way_is_up() {
        let quarter = std::f64::consts::FRAC_PI_2;
        assert_eq!(Up::Z.turn([1.0, 0.0, 0.0], [0.0, 2.0, 0.0]), quarter);
        // A camera that looks along z has its left at -x.
        assert_eq!(Up::MINUS_Y.turn([0.0, 0.0, 1.0], [-3.0, 0.0, 0.0]), quarter);
        assert_eq!(Up::MINUS_Y.turn([0.0, 0.0, 1.0], [3.0, 0.0, 0.0]), -quarter);
    }

    #[test]
    fn the_vertical_part_is_taken_away() {
        assert_eq!(Up::Z.horizontal([1.0, 2.0, 3.0]), [1.0, 2.0, 0.0]);
        assert_eq!(Up::MINUS_Y.horizontal([1.0, 2.0, 3.0]), [1.0, 0.0, 3.0]);
    }

    #[test]
    fn only_unit_vectors_are_up() {
        assert_eq!(Up::new([0.0, 0.0, 2.0]), Err(Fault::UpLength { found: 2.0 }));
        assert!(Up::new([0.0, f64::NAN, 0.0]).is_err());
        assert_eq!(serde_json::from_str::<Up>("[0, -1, 0]").unwrap(), Up::MINUS_Y);
        assert!(serde_json::from_str::<Up>("[0, 0, 0]").is_err());
        assert_eq!(serde_json::to_string(&Up::Z).unwrap(), "[0.0,0.0,1.0]");
    }
}
