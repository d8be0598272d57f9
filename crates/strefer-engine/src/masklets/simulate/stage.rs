//! Worlds of masks alone, made for what is hard: objects that are never all there at once, come late, leave, return, look
//! alike, and pass behind each other.

use serde::{Deserialize, Serialize};
use strefer_core::masklet::{FrameMap, UniformRule};
use strefer_core::records::{Video, VideoKind};
use strefer_core::{FrameKey, IndexSpace, Mask, Rle, Rng, Span};

use crate::truth::{TruthEntity, TruthVideo};

/// What worlds are like.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct StageConfig {
    /// Height and width.
    pub size: (u32, u32),
    /// Frames.
    pub frames: u32,
    /// Seconds.
    pub duration_s: f64,
    /// Fewest and most objects.
    pub objects: (usize, usize),
    /// Share of the objects that are there all the time.
    pub always: f64,
    /// Share that come late.
    pub late: f64,
    /// Share that leave before the end; the rest leave and return.
    pub leaving: f64,
}

impl Default for StageConfig {
    fn default() -> Self {
        Self {
            size: (120, 160),
            frames: 32,
            duration_s: 16.0,
            objects: (3, 6),
            always: 0.4,
            late: 0.25,
            leaving: 0.1,
        }
    }
}

/// One thing that moves about.
struct Actor {
    ellipse: bool,
    half: (f64, f64),
    from: (f64, f64),
    to: (f64, f64),
    sway: (f64, f64),
    windows: Vec<(usize, usize)>,
}

const NOUNS: [(&str, &str); 3] = [("person", "person"), ("dog", "animal"), ("car", "vehicle")];
const WORDS: [&str; 8] = ["red", "blue", "green", "white", "tall", "small", "striped", "dark"];

/// World `index` of a seed.
pub fn stage(cfg: &StageConfig, seed: u64, index: u64) -> TruthVideo {
    let mut rng = Rng::new(seed, "stage").at(index);
    let (height, width) = (cfg.size.0 as usize, cfg.size.1 as usize);
    let n = cfg.frames as usize;
    let count = cfg.objects.0 + rng.below(cfg.objects.1 - cfg.objects.0 + 1);
    let n_nouns = 1 + rng.below(2);
    let mut words = WORDS.to_vec();
    rng.shuffle(&mut words);
    let mut actors = Vec::with_capacity(count);
    let mut entities = Vec::with_capacity(count);
    for nth in 0..count {
        let (noun, general) = NOUNS[rng.below(n_nouns)];
        let place =
            |rng: &mut Rng| (rng.range(0.15, 0.85) * height as f64, rng.range(0.1, 0.9) * width as f64);
        actors.push(Actor {
            ellipse: rng.chance(0.5),
            half: (rng.range(0.08, 0.2) * height as f64, rng.range(0.06, 0.14) * width as f64),
            from: place(&mut rng),
            to: place(&mut rng),
            sway: (rng.range(0.0, 0.1) * height as f64, rng.range(0.5, 3.0)),
            windows: windows(&mut rng, cfg, n),
        });
        entities.push((format!("the {} {noun}", words[nth % words.len()]), noun, general));
    }
    let frame_times_s: Vec<f64> =
        (0..n).map(|frame| frame as f64 * cfg.duration_s / (n - 1).max(1) as f64).collect();
    let mut masks: Vec<FrameMap<Rle>> = vec![FrameMap::new(); count];
    for frame in 0..n {
        // The nearest last: it hides what is behind.
        let mut covered = Mask::zeros(height, width);
        for (actor, masks) in actors.iter().zip(&mut masks).rev() {
            let Some(whole) = actor.mask(frame, n, height, width) else { continue };
            let shown = Mask::from_fn(height, width, |y, x| whole.get(y, x) && !covered.get(y, x));
            covered = Mask::from_fn(height, width, |y, x| whole.get(y, x) || covered.get(y, x));
            if !shown.is_empty() {
                masks.insert(FrameKey(frame as u32), Rle::from_mask(&shown));
            }
        }
    }
    let step_s = cfg.duration_s / n as f64;
    let entities =
        entities.into_iter().zip(&actors).zip(masks).map(|(((expression, noun, general), actor), masks)| {
            let span = |&(from, to): &(usize, usize)| Span {
                start_s: from as f64 * step_s,
                end_s: to as f64 * step_s,
            };
            TruthEntity {
                expression,
                noun: noun.to_owned(),
                general_noun: general.to_owned(),
                attributes: Default::default(),
                held_out: false,
                masks,
                visible: actor.windows.iter().map(span).collect(),
                actions: Vec::new(),
            }
        });
    TruthVideo {
        video: Video {
            schema: Default::default(),
            video_id: format!("stage-{seed}-{index:05}"),
            uri: format!("stage-{seed}-{index:05}"),
            kind: VideoKind::FramesDir,
            fps: n as f64 / cfg.duration_s,
            n_frames: n,
            duration_s: cfg.duration_s,
            width: width as u32,
            height: height as u32,
            sha256: None,
            license: None,
        },
        dataset: "stage".to_owned(),
        index_space: IndexSpace::Uniform { n: cfg.frames, rule: UniformRule::LinspaceTrunc },
        frame_times_s,
        entities: entities.collect(),
        cuts_s: Vec::new(),
        scene: None,
    }
}

/// When an object is in the picture, first frame and first frame after.
fn windows(rng: &mut Rng, cfg: &StageConfig, n: usize) -> Vec<(usize, usize)> {
    let at = |share: f64| ((share * n as f64).round() as usize).min(n);
    let draw = rng.uniform();
    if draw < cfg.always {
        vec![(0, n)]
    } else if draw < cfg.always + cfg.late {
        // Some stay until the end, some go again.
        let from = rng.range(0.25, 0.8);
        let to = if rng.chance(0.5) { 1.0 } else { (from + rng.range(0.15, 0.5)).min(1.0) };
        vec![(at(from), at(to))]
    } else if draw < cfg.always + cfg.late + cfg.leaving {
        vec![(0, at(rng.range(0.2, 0.75)))]
    } else {
        let leaves = rng.range(0.2, 0.45);
        let returns = leaves + rng.range(0.15, 0.35);
        let to = if rng.chance(0.7) { 1.0 } else { (returns + rng.range(0.15, 0.3)).min(1.0) };
        vec![(0, at(leaves)), (at(returns), at(to))]
    }
}

impl Actor {
    fn mask(&self, frame: usize, n: usize, height: usize, width: usize) -> Option<Mask> {
        let inside = |&&(from, to): &&(usize, usize)| (from..to).contains(&frame);
        let &(from, to) = self.windows.iter().find(inside)?;
        let share = frame as f64 / n as f64;
        let along = |a: f64, b: f64| a + (b - a) * share;
        let middle_y =
            along(self.from.0, self.to.0) + self.sway.0 * (std::f64::consts::TAU * self.sway.1 * share).sin();
        let mut middle_x = along(self.from.1, self.to.1);
        // It comes in from the nearer side in two frames, and goes out the same way.
        let side = if middle_x < 0.5 * width as f64 { -self.half.1 } else { width as f64 + self.half.1 };
        let steps = [(from > 0).then(|| frame - from), (to < n).then(|| to - 1 - frame)];
        let edge = steps.into_iter().flatten().min().filter(|steps| *steps < 2);
        if let Some(steps) = edge {
            let inward = (steps as f64 + 1.0) / 3.0;
            middle_x = side + (middle_x - side) * inward;
        }
        let mask = Mask::from_fn(height, width, |y, x| {
            let (dy, dx) =
                ((y as f64 + 0.5 - middle_y) / self.half.0, (x as f64 + 0.5 - middle_x) / self.half.1);
            if self.ellipse { dy * dy + dx * dx <= 1.0 } else { dy.abs() <= 1.0 && dx.abs() <= 1.0 }
        });
        (!mask.is_empty()).then_some(mask)
    }
}
