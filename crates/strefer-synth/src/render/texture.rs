//! Patterns in a body's own space, so that one sees it spin. They are coarse: a few stripes, spots or squares a body.

use std::f64::consts::{PI, TAU};

use crate::geometry::Vec3;
use crate::world::{Pattern, Shape};

/// Whether a point has the second colour. `point` counts from the body's middle in half sizes: within -1 and 1.
pub(super) fn is_second(shape: Shape, pattern: Pattern, point: Vec3, normal: Vec3) -> bool {
    match pattern {
        Pattern::Plain => false,
        Pattern::Striped => striped(shape, point),
        Pattern::Spotted => spotted(shape, point, normal),
        Pattern::Checkered => checkered(shape, point, normal),
    }
}

/// Place along the ring, from 0 to 1.
fn along_ring(point: Vec3) -> f64 {
    point.x.atan2(point.z) / TAU + 0.5
}

/// Slanting slices; across the ring.
fn striped(shape: Shape, point: Vec3) -> bool {
    let place = match shape {
        Shape::Ring => 7.0 * along_ring(point),
        _ => point.dot(Vec3::new(0.55, 0.25, 0.8)) / 0.58 + 0.3,
    };
    place.rem_euclid(1.0) < 0.45
}

/// Spots around the points of an icosahedron, on the faces of the box, or along the ring.
fn spotted(shape: Shape, point: Vec3, normal: Vec3) -> bool {
    const LONG: f64 = 0.850_650_8;
    const SHORT: f64 = 0.525_731_1;
    match shape {
        Shape::Ring => {
            let place = 8.0 * along_ring(point);
            let along = (place.rem_euclid(1.0) - 0.5) * TAU * 0.68 / 8.0;
            let across = point.x.hypot(point.z) - 0.68;
            along.hypot(across) < 0.17
        }
        Shape::Box => {
            // Four spots a face, at the middles of its quarters.
            let [a, b] = face(point, normal);
            (a.abs() - 0.4).hypot(b.abs() - 0.4) < 0.24
        }
        Shape::Can if normal.z > 0.9 => point.x.hypot(point.y) < 0.3,
        Shape::Can | Shape::Cone => {
            // Rows around the body, each shifted by half a spot.
            let row = ((point.z + 1.0) / 0.62).floor();
            let n_spots =
                if shape == Shape::Cone { [6.0, 4.0, 3.0, 3.0][row.clamp(0.0, 3.0) as usize] } else { 5.0 };
            let around = point.x.hypot(point.y);
            let turn = (point.y.atan2(point.x) / TAU * n_spots + 0.5 * row).rem_euclid(1.0) - 0.5;
            let along = turn * TAU * around / n_spots;
            let up = point.z + 1.0 - (row + 0.5) * 0.62;
            along.hypot(up) < 0.22
        }
        Shape::Ball => {
            let [x, y, z] = [point.x, point.y, point.z].map(f64::abs);
            // Absolute values fold the twelve points onto three.
            let nearest = (SHORT * x + LONG * y).max(SHORT * y + LONG * z).max(SHORT * z + LONG * x);
            nearest > 0.925 * point.length()
        }
    }
}

/// Squares in turn: around and up round bodies, on the faces of the box, along and across the ring.
fn checkered(shape: Shape, point: Vec3, normal: Vec3) -> bool {
    let cell = match shape {
        Shape::Box => {
            let [a, b] = face(point, normal).map(|place| ((place + 0.8) / 0.534).floor());
            // Neighbouring faces meet in different colours.
            a + b + if normal.x.abs() > 0.5 { 1.0 } else { 0.0 }
        }
        Shape::Ring => {
            let outside = point.x.hypot(point.z) > 0.68;
            (12.0 * along_ring(point)).floor() + if outside { 1.0 } else { 0.0 }
        }
        Shape::Ball => {
            let around = (point.y.atan2(point.x) / TAU * 8.0).floor();
            let up = ((point.z / point.length()).clamp(-1.0, 1.0).asin() / PI * 5.0 + 0.5).floor();
            around + up
        }
        Shape::Can if normal.z > 0.9 => (point.y.atan2(point.x) / TAU * 8.0).floor(),
        Shape::Can | Shape::Cone => {
            let around = (point.y.atan2(point.x) / TAU * 8.0).floor();
            around + ((point.z + 1.0) / 0.5).floor()
        }
    };
    cell.rem_euclid(2.0) < 1.0
}

/// The two coordinates on a face of the box, within -0.8 and 0.8 (the lower edge lies at -1 of the whole body).
fn face(point: Vec3, normal: Vec3) -> [f64; 2] {
    let z = point.z + 0.2;
    if normal.z.abs() > 0.5 {
        [point.x, point.y]
    } else if normal.x.abs() > 0.5 {
        [point.y, z]
    } else {
        [point.x, z]
    }
}
