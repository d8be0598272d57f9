//! The ground plane with a faint texture, the sky above the horizon, and the shadows of bodies.

use crate::geometry::{Axes, Camera, Vec3};
use crate::world::Backdrop;

/// The empty scene as a camera sees it.
pub(super) struct Ground {
    pub camera: Camera,
    pub axes: Axes,
    pub backdrop: Backdrop,
    pub pixels: Vec<[f32; 3]>,
}

impl Ground {
    pub fn new(camera: Camera, backdrop: Backdrop) -> Self {
        let axes = camera.axes();
        let size = camera.size as usize;
        let mut pixels = Vec::with_capacity(size * size);
        for y in 0..size {
            for x in 0..size {
                let ray = camera.ray(&axes, x, y);
                pixels.push(match on_ground(&camera, ray) {
                    Some(point) => floor(&backdrop, point),
                    None => backdrop.sky.map(|value| value * (1.0 + 0.5 * ray.z.min(0.4) as f32)),
                });
            }
        }
        Self { camera, axes, backdrop, pixels }
    }

    /// Darkens the ground under a body; the shadow stays there while the body is in the air.
    pub fn shade(&self, pixels: &mut [[f32; 3]], base: Vec3, size_m: f64) {
        let light = self.backdrop.light;
        let centre = Vec3::new(base.x - 0.12 * size_m * light.x.signum(), base.y + 0.08 * size_m, 0.0);
        let radius = 0.62 * size_m;
        let strength = 0.5 * (1.0 - 0.5 * base.z.min(1.0));
        let seen = self.camera.project(centre);
        let reach_x = 1.1 * radius * self.camera.focal / (seen.depth - radius).max(0.1);
        // The ground is seen at a slant: 0.7 is more than the tilt of any camera here.
        let reach_y = 0.7 * reach_x;
        let size = self.camera.size as usize;
        let bounds = |middle: f64, reach: f64| {
            let clamp = |value: f64| value.clamp(0.0, size as f64) as usize;
            clamp(middle - reach)..clamp(middle + reach + 1.0)
        };
        for y in bounds(seen.v, reach_y) {
            for x in bounds(seen.u, reach_x) {
                let Some(point) = on_ground(&self.camera, self.camera.ray(&self.axes, x, y)) else {
                    continue;
                };
                let distance = (point - centre).length() / radius;
                if distance < 1.0 {
                    let inside = 1.0 - distance * distance;
                    let dark = (1.0 - strength * inside * inside.sqrt()) as f32;
                    pixels[y * size + x] = pixels[y * size + x].map(|value| value * dark);
                }
            }
        }
    }
}

fn on_ground(camera: &Camera, ray: Vec3) -> Option<Vec3> {
    (ray.z < -1e-3).then(|| camera.position + ray * (-camera.position.z / ray.z))
}

fn floor(backdrop: &Backdrop, point: Vec3) -> [f32; 3] {
    let [wave_x, wave_y, phase_x, phase_y] = backdrop.waves;
    let wave = (wave_x * point.x + phase_x).sin() * (wave_y * point.y + phase_y).sin()
        + 0.6 * (2.3 * wave_x * point.x - 1.7 * wave_y * point.y + phase_y).sin();
    // Far ground fades towards the sky.
    let far = ((point.y - 4.0) / 16.0).clamp(0.0, 0.8) as f32;
    let mut colour = backdrop.floor.map(|value| value * (1.0 + 0.045 * wave as f32));
    for (value, sky) in colour.iter_mut().zip(backdrop.sky) {
        *value = *value * (1.0 - far) + sky * far;
    }
    colour
}
