//! Points and the camera. Metres; x to the right, y away from the viewer, z up.

use std::ops::{Add, Mul, Sub};

/// A point or direction.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Vec3 {
    pub x: f64,
    pub y: f64,
    pub z: f64,
}

impl Vec3 {
    pub const fn new(x: f64, y: f64, z: f64) -> Self {
        Self { x, y, z }
    }

    pub fn dot(self, other: Self) -> f64 {
        self.x * other.x + self.y * other.y + self.z * other.z
    }

    pub fn cross(self, other: Self) -> Self {
        Self::new(
            self.y * other.z - self.z * other.y,
            self.z * other.x - self.x * other.z,
            self.x * other.y - self.y * other.x,
        )
    }

    pub fn length(self) -> f64 {
        self.dot(self).sqrt()
    }

    pub fn unit(self) -> Self {
        self * (1.0 / self.length().max(1e-12))
    }

    /// Turned about the vertical, counter-clockwise seen from above.
    pub fn turned(self, sine: f64, cosine: f64) -> Self {
        Self::new(cosine * self.x - sine * self.y, sine * self.x + cosine * self.y, self.z)
    }
}

impl Add for Vec3 {
    type Output = Self;
    fn add(self, other: Self) -> Self {
        Self::new(self.x + other.x, self.y + other.y, self.z + other.z)
    }
}

impl Sub for Vec3 {
    type Output = Self;
    fn sub(self, other: Self) -> Self {
        Self::new(self.x - other.x, self.y - other.y, self.z - other.z)
    }
}

impl Mul<f64> for Vec3 {
    type Output = Self;
    fn mul(self, by: f64) -> Self {
        Self::new(self.x * by, self.y * by, self.z * by)
    }
}

/// A pinhole camera without roll.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    pub position: Vec3,
    /// Turn to the right, radians.
    pub yaw: f64,
    /// Tilt down, radians.
    pub pitch: f64,
    /// Focal length in pixels.
    pub focal: f64,
    /// Sides of the picture in pixels; the optical axis meets its middle.
    pub size: u32,
}

/// The camera's axes in the world.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Axes {
    pub right: Vec3,
    pub down: Vec3,
    pub forward: Vec3,
}

/// Where a point is seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    pub u: f64,
    pub v: f64,
    pub depth: f64,
}

impl Camera {
    pub fn axes(&self) -> Axes {
        let (sin_yaw, cos_yaw) = self.yaw.sin_cos();
        let (sin_pitch, cos_pitch) = self.pitch.sin_cos();
        let forward = Vec3::new(sin_yaw * cos_pitch, cos_yaw * cos_pitch, -sin_pitch);
        let right = Vec3::new(cos_yaw, -sin_yaw, 0.0);
        Axes { right, down: forward.cross(right), forward }
    }

    /// The picture's middle in pixels.
    pub fn centre(&self) -> f64 {
        f64::from(self.size) / 2.0
    }

    /// Projects a point before the camera.
    pub fn project(&self, point: Vec3) -> Seen {
        let axes = self.axes();
        let offset = point - self.position;
        let depth = offset.dot(axes.forward).max(1e-3);
        let scale = self.focal / depth;
        Seen {
            u: self.centre() + scale * offset.dot(axes.right),
            v: self.centre() + scale * offset.dot(axes.down),
            depth,
        }
    }

    /// The direction through the middle of a pixel, whose length along the optical axis is 1.
    pub fn ray(&self, axes: &Axes, x: usize, y: usize) -> Vec3 {
        let across = (x as f64 + 0.5 - self.centre()) / self.focal;
        let down = (y as f64 + 0.5 - self.centre()) / self.focal;
        axes.forward + axes.right * across + axes.down * down
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ray_through_the_pixel_of_a_point_meets_the_point() {
        let camera =
            Camera { position: Vec3::new(0.2, -0.1, 1.8), yaw: 0.1, pitch: 0.35, focal: 160.0, size: 128 };
        let point = Vec3::new(0.5, 3.1, 0.4);
        let seen = camera.project(point);
        let axes = camera.axes();
        let across = (seen.u - 64.0) / 160.0;
        let down = (seen.v - 64.0) / 160.0;
        let again = camera.position + (axes.forward + axes.right * across + axes.down * down) * seen.depth;
        assert!((again - point).length() < 1e-9);
        assert!(camera.project(point + Vec3::new(0.1, 0.0, 0.0)).u > seen.u, "x is to the right");
        assert!(camera.project(point + Vec3::new(0.0, 0.0, 0.1)).v < seen.v, "z is up");
    }
}
