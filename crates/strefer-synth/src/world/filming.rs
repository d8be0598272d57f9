//! How a clip is filmed: camera, light and background, from cut to cut.

use strefer_core::Rng;

use crate::config::WorldConfig;
use crate::geometry::{Camera, Vec3};

/// Muted colours of floors and skies, so that bodies stand out.
const FLOORS: [[f32; 3]; 6] = [
    [118.0, 110.0, 98.0],
    [96.0, 108.0, 96.0],
    [104.0, 112.0, 124.0],
    [132.0, 124.0, 118.0],
    [92.0, 92.0, 100.0],
    [124.0, 116.0, 88.0],
];

/// The ground's colour and texture, the sky and the light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Backdrop {
    pub floor: [f32; 3],
    pub sky: [f32; 3],
    /// Waves of the floor's texture: two frequencies a metre and two phases.
    pub waves: [f64; 4],
    /// Towards the light.
    pub light: Vec3,
}

/// One shot: a camera that may move steadily, and what it sees behind the bodies.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Shot {
    pub from_s: f64,
    pub backdrop: Backdrop,
    start: Camera,
    /// Change of position and of yaw a second.
    drift: Vec3,
    yaw_drift: f64,
}

/// The shots of a clip.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Filming {
    pub shots: Vec<Shot>,
}

impl Filming {
    /// The camera that everything is laid out for: it stands still at the usual place.
    pub fn usual_camera(cfg: &WorldConfig) -> Camera {
        Camera {
            position: Vec3::new(0.0, 0.0, 1.8),
            yaw: 0.0,
            pitch: 0.35,
            focal: 1.25 * f64::from(cfg.image_size),
            size: cfg.image_size,
        }
    }

    pub fn draw(rng: &mut Rng, cfg: &WorldConfig) -> Self {
        let total_s = cfg.n_frames() as f64 / cfg.fps;
        let mut shots = vec![Shot::draw(rng, cfg, 0.0, total_s)];
        // A cut falls on a frame, not near the ends; longer clips are cut once every four seconds at most.
        let mut from_s = 0.0;
        while total_s - from_s >= 3.0 && rng.chance(cfg.cut) {
            let at_s = from_s + rng.range(1.2, (total_s - from_s - 1.2).min(4.0));
            from_s = (at_s * cfg.fps).round() / cfg.fps;
            shots.push(Shot::draw(rng, cfg, from_s, total_s));
        }
        Self { shots }
    }

    /// The shot that is on at `at_s`.
    pub fn shot(&self, at_s: f64) -> &Shot {
        let next = self.shots.partition_point(|shot| shot.from_s <= at_s + 1e-9);
        &self.shots[next.saturating_sub(1)]
    }
}

impl Shot {
    fn draw(rng: &mut Rng, cfg: &WorldConfig, from_s: f64, until_s: f64) -> Self {
        let usual = Filming::usual_camera(cfg);
        let aside = rng.range(-0.25, 0.25);
        let start = Camera {
            position: Vec3::new(aside, 0.0, rng.range(1.75, 1.85)),
            // It looks back to the middle of the scene.
            yaw: -(aside / 3.0f64).atan(),
            pitch: rng.range(0.34, 0.37),
            ..usual
        };
        let length_s = until_s - from_s;
        let (mut drift, mut yaw_drift) = (Vec3::new(0.0, 0.0, 0.0), 0.0);
        if rng.chance(cfg.camera_motion) {
            // Over the whole clip 6 of 128 pixels or 6 cm: slower than anything that moves.
            let over = 1.0 / length_s.max(4.0);
            if rng.chance(0.6) {
                yaw_drift = rng.range(0.02, 0.04) * if rng.chance(0.5) { over } else { -over };
            } else {
                drift.y = rng.range(0.04, 0.06) * if rng.chance(0.5) { over } else { -over };
            }
        }
        Self { from_s, backdrop: Backdrop::draw(rng), start, drift, yaw_drift }
    }

    pub fn camera(&self, at_s: f64) -> Camera {
        let since_s = at_s - self.from_s;
        Camera {
            position: self.start.position + self.drift * since_s,
            yaw: self.start.yaw + self.yaw_drift * since_s,
            ..self.start
        }
    }
}

impl Backdrop {
    fn draw(rng: &mut Rng) -> Self {
        let floor = FLOORS[rng.below(FLOORS.len())];
        let tint = |rng: &mut Rng, value: f32| value + rng.range(-12.0, 12.0) as f32;
        let floor = floor.map(|value| tint(rng, value));
        let sky = [150.0, 158.0, 170.0].map(|value| tint(rng, value));
        let waves = [rng.range(2.0, 5.0), rng.range(2.0, 5.0), rng.range(0.0, 6.3), rng.range(0.0, 6.3)];
        let side = if rng.chance(0.5) { 1.0 } else { -1.0 };
        let light = Vec3::new(side * rng.range(0.3, 0.7), -rng.range(0.4, 0.8), 1.0).unit();
        Self { floor, sky, waves, light }
    }
}
