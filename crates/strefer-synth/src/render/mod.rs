//! Rays through the middle of each pixel: a ground plane, soft shadows, and bodies with exact visible masks.

mod ground;
mod shapes;
mod texture;

use std::ops::Range;

use image::RgbImage;

use crate::geometry::{Axes, Vec3};
use crate::world::{Attributes, Clip};
use ground::Ground;

/// A rendered frame.
pub(crate) struct Rendered {
    pub image: RgbImage,
    /// Per body: which pixels show it, row-major.
    pub visible: Vec<BodyPixels>,
}

/// The pixels of one body.
#[derive(Debug, Clone, Default)]
pub(crate) struct BodyPixels {
    /// Pixels that show it, ascending.
    pub shown: Vec<u32>,
    /// Pixels where it is hidden, by each body that hides it.
    pub hidden_by: Vec<u32>,
}

impl BodyPixels {
    /// Share of the body, as far as it lies in the picture, that others hide.
    pub fn hidden_share(&self) -> f64 {
        let hidden: u32 = self.hidden_by.iter().sum();
        f64::from(hidden) / f64::from(hidden + self.shown.len() as u32).max(1.0)
    }
}

/// Where a ray meets a body.
#[derive(Debug, Clone, Copy)]
struct Hit {
    pixel: u32,
    depth: f32,
    colour: [f32; 3],
}

/// Renders the frames of one clip; keeps the ground of a camera that stands still.
pub(crate) struct Renderer<'a> {
    clip: &'a Clip,
    ground: Option<Ground>,
}

impl<'a> Renderer<'a> {
    pub fn new(clip: &'a Clip) -> Self {
        Self { clip, ground: None }
    }

    /// Renders a frame.
    pub fn frame(&mut self, frame: usize) -> Rendered {
        let at_s = self.clip.time_s(frame);
        let shot = self.clip.filming.shot(at_s);
        let camera = shot.camera(at_s);
        let ground = match self.ground.take() {
            Some(ground) if ground.camera == camera && ground.backdrop == shot.backdrop => ground,
            _ => Ground::new(camera, shot.backdrop),
        };
        let ground = self.ground.insert(ground);
        let mut pixels = ground.pixels.clone();
        let poses: Vec<_> = self.clip.bodies.iter().map(|body| body.track.pose(at_s)).collect();
        for (body, pose) in self.clip.bodies.iter().zip(&poses) {
            ground.shade(&mut pixels, pose.base, body.attributes.size.metres());
        }

        let hits: Vec<Vec<Hit>> = self
            .clip
            .bodies
            .iter()
            .zip(&poses)
            .map(|(body, pose)| {
                let bounds = bounds(&body.attributes, pose.base, ground);
                cast_rays(&body.attributes, pose.base, pose.heading, ground, bounds)
            })
            .collect();
        let mut nearest: Vec<(f32, usize)> = vec![(f32::INFINITY, usize::MAX); pixels.len()];
        for (index, hits) in hits.iter().enumerate() {
            for hit in hits {
                let best = &mut nearest[hit.pixel as usize];
                if hit.depth < best.0 {
                    *best = (hit.depth, index);
                    pixels[hit.pixel as usize] = hit.colour;
                }
            }
        }
        let n_bodies = hits.len();
        let visible = hits
            .iter()
            .enumerate()
            .map(|(index, hits)| {
                let mut body = BodyPixels { shown: Vec::new(), hidden_by: vec![0; n_bodies] };
                for hit in hits {
                    match nearest[hit.pixel as usize].1 {
                        winner if winner == index => body.shown.push(hit.pixel),
                        winner => body.hidden_by[winner] += 1,
                    }
                }
                body
            })
            .collect();
        let size = camera.size;
        let mut bytes = Vec::with_capacity(3 * pixels.len());
        for pixel in &pixels {
            bytes.extend_from_slice(&pixel.map(|value| value as u8));
        }
        let image = RgbImage::from_raw(size, size, bytes).expect("there are size x size pixels");
        Rendered { image, visible }
    }
}

/// The part of the picture in which a body can appear: columns and rows.
fn bounds(body: &Attributes, base: Vec3, ground: &Ground) -> (Range<usize>, Range<usize>) {
    let camera = &ground.camera;
    let size_m = body.size.metres();
    let seen = camera.project(base + Vec3::new(0.0, 0.0, size_m / 2.0));
    // At the scale of its nearest point, and a little more for bodies away from the middle, which appear stretched.
    let scale = 1.12 * size_m * camera.focal / (seen.depth - 0.5 * size_m).max(0.1);
    let (across, up) = body.shape.reach();
    let clamp = |value: f64| value.clamp(0.0, f64::from(camera.size)) as usize;
    let range = |centre: f64, reach: f64| clamp(centre - reach)..clamp(centre + reach + 1.0);
    (range(seen.u, across * scale), range(seen.v, up * scale))
}

/// All pixels whose ray meets the body, row by row.
fn cast_rays(
    body: &Attributes,
    base: Vec3,
    heading: f64,
    ground: &Ground,
    (columns, rows): (Range<usize>, Range<usize>),
) -> Vec<Hit> {
    let camera = &ground.camera;
    let size_m = body.size.metres();
    // Everything is computed in the body's own space.
    let (sine, cosine) = heading.sin_cos();
    let turn_back = |vector: Vec3| vector.turned(-sine, cosine);
    let origin = turn_back(camera.position - base);
    let light = turn_back(ground.backdrop.light);
    let axes = Axes {
        right: turn_back(ground.axes.right),
        down: turn_back(ground.axes.down),
        forward: turn_back(ground.axes.forward),
    };
    let (first, second) = (body.colour.rgb(), second_colour(body));
    let middle = Vec3::new(0.0, 0.0, size_m / 2.0);
    let mut hits = Vec::with_capacity(columns.len() * rows.len());
    for y in rows {
        for x in columns.clone() {
            let direction = camera.ray(&axes, x, y);
            let Some((depth, normal)) = shapes::meet(body.shape, size_m, origin, direction) else { continue };
            let point = (origin + direction * depth - middle) * (2.0 / size_m);
            let is_second = texture::is_second(body.shape, body.pattern, point, normal);
            let brightness = (0.6 + 0.4 * normal.dot(light).max(0.0)) as f32;
            let colour = if is_second { second } else { first }.map(|value| value * brightness);
            hits.push(Hit { pixel: y as u32 * camera.size + x as u32, depth: depth as f32, colour });
        }
    }
    hits
}

/// Patterns are dark on bright bodies and white on dark ones.
fn second_colour(body: &Attributes) -> [f32; 3] {
    let [red, green, blue] = body.colour.rgb();
    if 0.3 * red + 0.59 * green + 0.11 * blue > 125.0 { [34.0, 32.0, 40.0] } else { [244.0, 244.0, 244.0] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Split, WorldConfig};

    #[test]
    fn no_body_reaches_beyond_its_bounds() {
        for index in 0..24 {
            let clip = Clip::generate(&WorldConfig::default(), Split::Test, 5, index).unwrap();
            for frame in [0, 31, 62, 95] {
                let at_s = clip.time_s(frame);
                let shot = clip.filming.shot(at_s);
                let ground = Ground::new(shot.camera(at_s), shot.backdrop);
                for body in &clip.bodies {
                    let pose = body.track.pose(at_s);
                    let n_hits =
                        |bounds| cast_rays(&body.attributes, pose.base, pose.heading, &ground, bounds).len();
                    let within = n_hits(bounds(&body.attributes, pose.base, &ground));
                    assert_eq!(within, n_hits((0..128, 0..128)), "{}", body.attributes.name());
                }
            }
        }
    }
}
