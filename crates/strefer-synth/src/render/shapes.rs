//! Where a ray meets a body. Bodies stand on the origin; `size` is how far they measure across.

use crate::geometry::Vec3;
use crate::world::Shape;

/// Distance along the ray and the outward normal of the nearest point before the viewer.
pub(super) fn meet(shape: Shape, size: f64, origin: Vec3, direction: Vec3) -> Option<(f64, Vec3)> {
    match shape {
        Shape::Ball => ball(size / 2.0, origin, direction),
        Shape::Box => cube(0.4 * size, origin, direction),
        Shape::Can => can(0.37 * size, 0.95 * size, origin, direction),
        Shape::Cone => cone(0.5 * size, size, origin, direction),
        Shape::Ring => ring(0.34 * size, 0.16 * size, origin, direction),
    }
}

/// Roots of `a t² + 2 b t + c`, ascending.
fn roots(a: f64, b: f64, c: f64) -> Option<[f64; 2]> {
    let discriminant = b * b - a * c;
    if discriminant < 0.0 || a.abs() < 1e-12 {
        return None;
    }
    let root = discriminant.sqrt();
    let (first, second) = ((-b - root) / a, (-b + root) / a);
    Some(if first < second { [first, second] } else { [second, first] })
}

fn ball(radius: f64, origin: Vec3, direction: Vec3) -> Option<(f64, Vec3)> {
    let offset = origin - Vec3::new(0.0, 0.0, radius);
    let [near, _] =
        roots(direction.dot(direction), offset.dot(direction), offset.dot(offset) - radius * radius)?;
    (near > 0.0).then(|| (near, (offset + direction * near) * (1.0 / radius)))
}

/// A cube by the last of its three slabs that the ray enters.
fn cube(half: f64, origin: Vec3, direction: Vec3) -> Option<(f64, Vec3)> {
    let origin = origin - Vec3::new(0.0, 0.0, half);
    let (mut enters, mut leaves, mut normal) = (0.0, f64::INFINITY, None);
    for (start, step, axis) in [
        (origin.x, direction.x, Vec3::new(1.0, 0.0, 0.0)),
        (origin.y, direction.y, Vec3::new(0.0, 1.0, 0.0)),
        (origin.z, direction.z, Vec3::new(0.0, 0.0, 1.0)),
    ] {
        if step.abs() < 1e-12 {
            if start.abs() > half {
                return None;
            }
            continue;
        }
        let near = (-half * step.signum() - start) / step;
        let far = (half * step.signum() - start) / step;
        if near > enters {
            (enters, normal) = (near, Some(axis * -step.signum()));
        }
        leaves = far.min(leaves);
    }
    normal.filter(|_| enters <= leaves).map(|normal| (enters, normal))
}

/// An upright cylinder; its underside is never seen.
fn can(radius: f64, height: f64, origin: Vec3, direction: Vec3) -> Option<(f64, Vec3)> {
    let side = roots(
        direction.x * direction.x + direction.y * direction.y,
        origin.x * direction.x + origin.y * direction.y,
        origin.x * origin.x + origin.y * origin.y - radius * radius,
    )
    .and_then(|[near, _]| {
        let point = origin + direction * near;
        let inside = near > 0.0 && (0.0..=height).contains(&point.z);
        inside.then(|| (near, Vec3::new(point.x / radius, point.y / radius, 0.0)))
    });
    let lid = (height - origin.z) / direction.z;
    let point = origin + direction * lid;
    let on_lid = lid > 0.0 && point.x.hypot(point.y) <= radius;
    let lid = on_lid.then_some((lid, Vec3::new(0.0, 0.0, 1.0)));
    nearer(side, lid)
}

/// A cone with its tip up; its underside is seen only from below.
fn cone(radius: f64, height: f64, origin: Vec3, direction: Vec3) -> Option<(f64, Vec3)> {
    // x² + y² = slope² (height - z)²
    let slope = radius / height;
    let squared = slope * slope;
    let above = height - origin.z;
    let [near, far] = roots(
        direction.x * direction.x + direction.y * direction.y - squared * direction.z * direction.z,
        origin.x * direction.x + origin.y * direction.y + squared * above * direction.z,
        origin.x * origin.x + origin.y * origin.y - squared * above * above,
    )?;
    [near, far].into_iter().find_map(|distance| {
        let point = origin + direction * distance;
        let inside = distance > 0.0 && (0.0..=height).contains(&point.z);
        inside.then(|| {
            let around = point.x.hypot(point.y).max(1e-9);
            (distance, Vec3::new(point.x / around, point.y / around, slope).unit())
        })
    })
}

/// A torus standing on its edge, its hole towards the viewer (axis y), found by walking to it in safe steps.
fn ring(radius: f64, tube: f64, origin: Vec3, direction: Vec3) -> Option<(f64, Vec3)> {
    let offset = origin - Vec3::new(0.0, 0.0, radius + tube);
    let reach = radius + tube;
    let length = direction.length();
    let [near, far] = roots(length * length, offset.dot(direction), offset.dot(offset) - reach * reach)?;
    let mut at = near.max(0.0);
    for _ in 0..48 {
        let point = offset + direction * at;
        let around = point.x.hypot(point.z);
        let across = around - radius;
        let distance = across.hypot(point.y) - tube;
        if distance < 1e-3 * tube {
            let around = around.max(1e-9);
            let normal = Vec3::new(across * point.x / around, point.y, across * point.z / around);
            return Some((at, normal.unit()));
        }
        at += distance / length;
        if at > far {
            return None;
        }
    }
    None
}

fn nearer(one: Option<(f64, Vec3)>, other: Option<(f64, Vec3)>) -> Option<(f64, Vec3)> {
    match (one, other) {
        (Some(one), Some(other)) => Some(if one.0 <= other.0 { one } else { other }),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A ray from afar at height `z` meets each shape at the place that its formula says.
    #[test]
    fn rays_meet_bodies_where_they_are() {
        let meet_at = |shape, x: f64, z: f64| {
            let origin = Vec3::new(x, -10.0, z);
            meet(shape, 1.0, origin, Vec3::new(0.0, 1.0, 0.0)).map(|(distance, _)| distance - 10.0)
        };
        let close = |found: Option<f64>, wanted: f64| (found.unwrap() - wanted).abs() < 1e-3;
        assert!(close(meet_at(Shape::Ball, 0.0, 0.5), -0.5));
        assert!(close(meet_at(Shape::Box, 0.1, 0.3), -0.4));
        assert!(close(meet_at(Shape::Can, 0.0, 0.9), -0.37));
        assert!(close(meet_at(Shape::Cone, 0.0, 0.5), -0.25));
        assert!(close(meet_at(Shape::Ring, 0.34, 0.5), -0.16));
        assert_eq!(meet_at(Shape::Ring, 0.0, 0.5), None, "one sees through the ring");
        assert_eq!(meet_at(Shape::Cone, 0.3, 0.7), None);
        assert_eq!(meet_at(Shape::Can, 0.0, 0.97), None);
    }

    #[test]
    fn normals_point_to_the_viewer_and_have_length_one() {
        for &shape in Shape::ALL {
            let direction = Vec3::new(0.06, 1.0, -0.12);
            for step in 0..40 {
                let origin = Vec3::new(-0.7 + 0.03 * f64::from(step), -4.0, 1.0);
                if let Some((_, normal)) = meet(shape, 1.0, origin, direction) {
                    assert!((normal.length() - 1.0).abs() < 1e-6, "{shape:?}");
                    assert!(normal.dot(direction) < 1e-6, "{shape:?}");
                }
            }
        }
    }
}
