//! From a pixel and its depth to a point of the world.

use crate::stkit::fault::Fault;
use crate::stkit::vector::{Point, dot, minus};

/// Rows of a rotation matrix.
pub type Rotation = [[f64; 3]; 3];

/// A rotation may miss orthonormality by this much.
const ROTATION_SLACK: f64 = 1e-3;

/// A camera without distortion. Pixel coordinates are whole numbers at the pixels' centres.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pinhole {
    focal_x: f64,
    focal_y: f64,
    centre_x: f64,
    centre_y: f64,
}

impl Pinhole {
    /// The camera of a 3x3 matrix of intrinsics in pixels.
    ///
    /// # Errors
    /// Focal lengths that are not positive, anything that is not finite.
    pub fn from_matrix(matrix: &Rotation) -> Result<Self, Fault> {
        let [[focal_x, _, centre_x], [_, focal_y, centre_y], _] = *matrix;
        if [focal_x, focal_y, centre_x, centre_y].iter().any(|value| !value.is_finite()) {
            return Err(Fault::Camera("intrinsics that are not finite"));
        }
        if focal_x <= 0.0 || focal_y <= 0.0 {
            return Err(Fault::Camera("focal lengths that are not positive"));
        }
        Ok(Self { focal_x, focal_y, centre_x, centre_y })
    }

    /// The pixel that a point of the camera's frame in front of it falls onto: column, row.
    pub fn project(&self, [x, y, z]: Point) -> [f64; 2] {
        [self.centre_x + self.focal_x * x / z, self.centre_y + self.focal_y * y / z]
    }

    /// The point at depth `depth` behind the pixel in row `y`, column `x`, in the camera's frame: x right, y down,
    /// z forward.
    pub fn unproject(&self, y: usize, x: usize, depth: f64) -> Point {
        [
            (x as f64 - self.centre_x) * depth / self.focal_x,
            (y as f64 - self.centre_y) * depth / self.focal_y,
            depth,
        ]
    }
}

/// Where a camera stands and looks: a point of its frame becomes `rotation * point + translation` in the world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pose {
    rotation: Rotation,
    translation: Point,
}

impl Pose {
    /// A pose that carries points of the camera's frame into the world.
    ///
    /// # Errors
    /// A matrix that is no rotation, a translation that is not finite.
    pub fn camera_to_world(rotation: Rotation, translation: Point) -> Result<Self, Fault> {
        let expected = |row: usize, column: usize| if row == column { 1.0 } else { 0.0 };
        let product = |row: usize, column: usize| dot(rotation[row], rotation[column]);
        let is_near = |row, column| (product(row, column) - expected(row, column)).abs() <= ROTATION_SLACK;
        if !(0..3).all(|row| (0..3).all(|column| is_near(row, column))) {
            return Err(Fault::Camera("a matrix that is no rotation"));
        }
        if translation.iter().any(|value| !value.is_finite()) {
            return Err(Fault::Camera("a translation that is not finite"));
        }
        Ok(Self { rotation, translation })
    }

    /// The inverse of extrinsics that carry points of the world into the camera's frame.
    ///
    /// # Errors
    /// As [`Self::camera_to_world`].
    pub fn from_world_to_camera(rotation: Rotation, translation: Point) -> Result<Self, Fault> {
        let column = |at: usize| [rotation[0][at], rotation[1][at], rotation[2][at]];
        let transposed = [column(0), column(1), column(2)];
        Self::camera_to_world(transposed, transposed.map(|row| -dot(row, translation)))
    }

    /// The rotation of a quaternion, scalar part first.
    ///
    /// # Errors
    /// As [`Self::camera_to_world`].
    pub fn from_quaternion([w, x, y, z]: [f64; 4], translation: Point) -> Result<Self, Fault> {
        let norm = w * w + x * x + y * y + z * z;
        let twice = 2.0 / norm;
        let rotation = [
            [1.0 - twice * (y * y + z * z), twice * (x * y - w * z), twice * (x * z + w * y)],
            [twice * (x * y + w * z), 1.0 - twice * (x * x + z * z), twice * (y * z - w * x)],
            [twice * (x * z - w * y), twice * (y * z + w * x), 1.0 - twice * (x * x + y * y)],
        ];
        Self::camera_to_world(rotation, translation)
    }

    /// A point of the world, carried into the frame of what stands here.
    pub fn to_own(&self, point: Point) -> Point {
        let from_here = minus(point, self.translation);
        [0, 1, 2].map(|axis| {
            let column = [self.rotation[0][axis], self.rotation[1][axis], self.rotation[2][axis]];
            dot(column, from_here)
        })
    }

    /// A point of the camera's frame, in metres, carried into the world. The translation is in units of `scale` metres.
    pub fn to_world(&self, point: Point, scale: f64) -> Point {
        let turned = self.rotation.map(|row| dot(row, point));
        [0, 1, 2].map(|axis| turned[axis] + scale * self.translation[axis])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quarter turn about the vertical: what was ahead lies to the right.
    const QUARTER: Rotation = [[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]];

    #[test]
    fn a_pixel_beside_the_centre_lies_beside_the_axis() {
        let camera = Pinhole::from_matrix(&[[2.0, 0.0, 4.0], [0.0, 4.0, 3.0], [0.0, 0.0, 1.0]]).unwrap();
        assert_eq!(camera.unproject(3, 4, 10.0), [0.0, 0.0, 10.0]);
        assert_eq!(camera.unproject(5, 6, 10.0), [10.0, 5.0, 10.0]);
        assert_eq!(camera.project([10.0, 5.0, 10.0]), [6.0, 5.0]);
        assert!(Pinhole::from_matrix(&[[0.0, 0.0, 4.0], [0.0, 4.0, 3.0], [0.0, 0.0, 1.0]]).is_err());
        assert!(Pinhole::from_matrix(&[[1.0, 0.0, f64::NAN], [0.0, 4.0, 3.0], [0.0, 0.0, 1.0]]).is_err());
    }

    #[test]
    fn the_translation_is_scaled_and_the_point_is_not() {
        let pose = Pose::camera_to_world(QUARTER, [1.0, 2.0, 3.0]).unwrap();
        assert_eq!(pose.to_world([0.0, 0.0, 5.0], 10.0), [15.0, 20.0, 30.0]);
        assert_eq!(pose.to_own(pose.to_world([4.0, -1.0, 5.0], 1.0)), [4.0, -1.0, 5.0]);
    }

    #[test]
    fn extrinsics_are_inverted() {
        let pose = Pose::from_world_to_camera(QUARTER, [1.0, 2.0, 3.0]).unwrap();
        // World (3, -2, 4) is seen at rotation * point + translation = (5, 0, 0).
        assert_eq!(pose.to_world([5.0, 0.0, 0.0], 1.0), [3.0, -2.0, 4.0]);
    }

    #[test]
    fn quaternions_begin_with_the_scalar_part() {
        let half = std::f64::consts::FRAC_1_SQRT_2;
        let pose = Pose::from_quaternion([half, 0.0, half, 0.0], [0.0; 3]).unwrap();
        let [x, y, z] = pose.to_world([0.0, 0.0, 1.0], 1.0);
        assert!((x - 1.0).abs() < 1e-12 && y.abs() < 1e-12 && z.abs() < 1e-12);
        assert!(Pose::from_quaternion([0.0; 4], [0.0; 3]).is_err());
        assert!(Pose::camera_to_world([[2.0, 0.0, 0.0]; 3], [0.0; 3]).is_err());
        assert!(Pose::camera_to_world(QUARTER, [f64::NAN; 3]).is_err());
    }
}
