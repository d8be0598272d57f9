//! Boxes in space, and the boxes in a picture that they fill.

use crate::stkit::camera::Pose;
use crate::stkit::lens::Lens;
use crate::stkit::vector::Point;

/// Corners nearer than this are not projected, in metres before the camera.
const NEAREST_M: f64 = 0.1;

/// A box in space, turned and placed by its pose: x forward, y left, z up.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Cuboid {
    /// Its centre, and where it looks.
    pub pose: Pose,
    /// Length, width and height in metres.
    pub size_m: [f64; 3],
}

impl Cuboid {
    /// Its corners, in the world that its pose speaks of.
    pub fn corners(&self) -> [Point; 8] {
        std::array::from_fn(|at| {
            let side =
                |bit: usize, length: f64| if at >> bit & 1 == 1 { length / 2.0 } else { -length / 2.0 };
            let [length, width, height] = self.size_m;
            self.pose.to_world([side(0, length), side(1, width), side(2, height)], 1.0)
        })
    }
}

/// The smallest box (left, top, right, bottom) round the part of some points' hull that lies inside a picture of `size` (height,
/// width); `None` when nothing of it does. Points are in the camera's frame; those that it cannot show are left out.
pub fn seen_box(points: &[Point], lens: &Lens, size: (u32, u32)) -> Option<[f64; 4]> {
    let shown = points.iter().filter(|point| point[2] > NEAREST_M).filter_map(|point| lens.project(*point));
    let outline = clipped(hull(shown.collect()), f64::from(size.1), f64::from(size.0));
    let low = |axis: usize| outline.iter().map(|pixel| pixel[axis]).fold(f64::INFINITY, f64::min);
    let high = |axis: usize| outline.iter().map(|pixel| pixel[axis]).fold(f64::NEG_INFINITY, f64::max);
    let bbox = [low(0), low(1), high(0), high(1)];
    (bbox[0] < bbox[2] && bbox[1] < bbox[3]).then_some(bbox)
}

type Pixel = [f64; 2];

/// Twice the area of a triangle, with its sign.
fn turn(a: Pixel, b: Pixel, c: Pixel) -> f64 {
    (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
}

/// Convex hull, by Andrew's monotone chain.
fn hull(mut points: Vec<Pixel>) -> Vec<Pixel> {
    points.sort_by(|a, b| a[0].total_cmp(&b[0]).then(a[1].total_cmp(&b[1])));
    points.dedup();
    if points.len() < 3 {
        return points;
    }
    let mut chain: Vec<Pixel> = Vec::new();
    let mut add = |point: Pixel, fewest: usize| {
        while chain.len() > fewest && turn(chain[chain.len() - 2], chain[chain.len() - 1], point) <= 0.0 {
            chain.pop();
        }
        chain.push(point);
        chain.len()
    };
    let mut length = 0;
    for &point in &points {
        length = add(point, 1);
    }
    for &point in points.iter().rev().skip(1) {
        add(point, length);
    }
    chain.pop();
    chain
}

/// The part of a convex outline inside `0..=width` and `0..=height`, cut along one border after the other.
fn clipped(mut outline: Vec<Pixel>, width: f64, height: f64) -> Vec<Pixel> {
    // How far a pixel is inside a border.
    let borders: [&dyn Fn(Pixel) -> f64; 4] =
        [&|pixel| pixel[0], &|pixel| width - pixel[0], &|pixel| pixel[1], &|pixel| height - pixel[1]];
    for inside in borders {
        let mut kept = Vec::with_capacity(outline.len() + 1);
        for (at, &pixel) in outline.iter().enumerate() {
            let before = outline[(at + outline.len() - 1) % outline.len()];
            let (here, there) = (inside(pixel), inside(before));
            if (here >= 0.0) != (there >= 0.0) {
                let share = there / (there - here);
                kept.push([0, 1].map(|axis| before[axis] + share * (pixel[axis] - before[axis])));
            }
            if here >= 0.0 {
                kept.push(pixel);
            }
        }
        outline = kept;
    }
    outline
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stkit::camera::Pinhole;

    const AHEAD: [[f64; 3]; 3] = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];

    fn lens() -> Lens {
        Lens::Pinhole(
            Pinhole::from_matrix(&[[100.0, 0.0, 50.0], [0.0, 100.0, 40.0], [0.0, 0.0, 1.0]]).unwrap(),
        )
    }

    fn cuboid(centre: Point, size_m: [f64; 3]) -> Vec<Point> {
        Cuboid { pose: Pose::camera_to_world(AHEAD, centre).unwrap(), size_m }.corners().to_vec()
    }

    #[test]
    fn the_nearest_face_of_a_box_ahead_is_the_largest() {
        // 2 wide, 1 high, 4 deep, its front 8 before the camera: ±1 · 100 / 8 = ±12.5 columns, ±0.5 · 100 / 8 = ±6.25 rows.
        let found = seen_box(&cuboid([0.0, 0.0, 10.0], [2.0, 1.0, 4.0]), &lens(), (80, 100)).unwrap();
        assert_eq!(found, [37.5, 33.75, 62.5, 46.25]);
    }

    #[test]
    fn a_box_is_cut_where_its_outline_crosses_the_border() {
        // A slanted outline: what crosses the left border is lower than the box's upper corner outside.
        let corner = [[-10.0, 0.0], [10.0, 20.0], [-10.0, 40.0]];
        assert_eq!(clipped(hull(corner.to_vec()), 50.0, 50.0), [[0.0, 10.0], [10.0, 20.0], [0.0, 30.0]]);
        let found = seen_box(&cuboid([0.0, 0.0, 10.0], [40.0, 1.0, 4.0]), &lens(), (80, 100)).unwrap();
        assert_eq!([found[0], found[2]], [0.0, 100.0]);
    }

    #[test]
    fn what_is_behind_or_beside_the_picture_has_no_box() {
        assert_eq!(seen_box(&cuboid([0.0, 0.0, -10.0], [2.0; 3]), &lens(), (80, 100)), None);
        assert_eq!(seen_box(&cuboid([50.0, 0.0, 10.0], [2.0; 3]), &lens(), (80, 100)), None);
        // Half of it is behind the camera.
        assert!(seen_box(&cuboid([0.0, 0.0, 0.0], [1.0, 1.0, 6.0]), &lens(), (80, 100)).is_some());
        assert_eq!(seen_box(&[], &lens(), (80, 100)), None);
    }

    #[test]
    fn length_lies_ahead_of_a_box_that_is_not_turned() {
        let corners = cuboid([10.0, 0.0, 1.0], [4.0, 2.0, 1.5]);
        let reach = |axis: usize| corners.iter().map(|corner| corner[axis]).fold(f64::MIN, f64::max);
        assert_eq!([reach(0), reach(1), reach(2)], [12.0, 1.0, 1.75]);
    }
}
