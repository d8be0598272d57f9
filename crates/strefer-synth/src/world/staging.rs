//! Finds tracks for the bodies of a clip so that none runs into another and each can be seen well enough.

use strefer_core::Rng;

use super::action::Action;
use super::attributes::Attributes;
use super::filming::Filming;
use super::track::{Presence, Track};
use crate::config::WorldConfig;
use crate::geometry::{Camera, Vec3};

/// Tries for one body before the whole clip is laid out anew, and tries for the clip before it loses a body.
const BODY_TRIES: usize = 80;
const CLIP_TRIES: usize = 40;
/// Free ground between two bodies, in metres.
const GAP: f64 = 0.02;
/// Moments a second at which a layout is looked at.
const LOOKS_PER_S: f64 = 8.0;

/// The body's outline on the picture at a moment, as a rectangle.
#[derive(Debug, Clone, Copy)]
struct Outline {
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
    depth: f64,
}

impl Outline {
    fn area(&self) -> f64 {
        (self.right - self.left) * (self.bottom - self.top)
    }

    fn overlap(&self, other: &Self) -> f64 {
        let width = self.right.min(other.right) - self.left.max(other.left);
        let height = self.bottom.min(other.bottom) - self.top.max(other.top);
        width.max(0.0) * height.max(0.0)
    }
}

/// A body that has found its place.
struct Placed {
    track: Track,
    footprint: f64,
    /// Places on the ground and outlines at the moments looked at.
    ground: Vec<[f64; 2]>,
    outlines: Vec<Outline>,
}

/// Tracks for the bodies, or for fewer (down to the least number) where not all find room.
pub(super) fn stage(
    rng: &mut Rng,
    cfg: &WorldConfig,
    mut cast: Vec<Attributes>,
) -> Vec<(Attributes, Track, Presence)> {
    let presence = match rng.uniform() {
        draw if draw < cfg.late_entry => Presence::EntersLate,
        draw if draw < cfg.late_entry + cfg.leaving => Presence::Leaves,
        draw if draw < cfg.late_entry + cfg.leaving + cfg.coming_back => Presence::ComesBack,
        _ => Presence::Always,
    };
    let wants_occlusion = cast.len() > 1 && rng.chance(cfg.occlusion);
    loop {
        for attempt in 0..CLIP_TRIES {
            let Some(placed) = try_stage(rng, cfg, &cast, presence) else { continue };
            // Passing behind is asked for in the first half of the tries only.
            if wants_occlusion && attempt < CLIP_TRIES / 2 && !passes_behind(&placed) {
                continue;
            }
            let presences = (0..cast.len()).map(|index| presence_of(index, presence));
            return cast
                .into_iter()
                .zip(placed)
                .zip(presences)
                .map(|((attributes, placed), presence)| (attributes, placed.track, presence))
                .collect();
        }
        if cast.len() > cfg.min_objects {
            cast.remove(rng.below(cast.len()));
        }
    }
}

/// Only the first body comes or goes.
fn presence_of(index: usize, presence: Presence) -> Presence {
    if index == 0 { presence } else { Presence::Always }
}

fn try_stage(
    rng: &mut Rng,
    cfg: &WorldConfig,
    cast: &[Attributes],
    presence: Presence,
) -> Option<Vec<Placed>> {
    let camera = Filming::usual_camera(cfg);
    let mut placed: Vec<Placed> = Vec::with_capacity(cast.len());
    for (index, body) in cast.iter().enumerate() {
        let found = (0..BODY_TRIES).find_map(|_| {
            let track = Track::draw(rng, cfg, body, presence_of(index, presence))?;
            let candidate = look_at(cfg, &camera, body, track);
            placed.iter().all(|other| keeps_clear(&candidate, other)).then_some(candidate)
        });
        placed.push(found?);
    }
    can_be_seen(&placed).then_some(placed)
}

fn look_at(cfg: &WorldConfig, camera: &Camera, body: &Attributes, track: Track) -> Placed {
    let total_s = cfg.n_frames() as f64 / cfg.fps;
    let n_looks = (total_s * LOOKS_PER_S).ceil() as usize + 1;
    let (mut ground, mut outlines) = (Vec::with_capacity(n_looks), Vec::with_capacity(n_looks));
    for look in 0..n_looks {
        let base = track.pose(look as f64 * total_s / (n_looks - 1) as f64).base;
        let half = body.size.metres() / 2.0;
        let seen = camera.project(base + Vec3::new(0.0, 0.0, half));
        let reach = half * camera.focal / seen.depth;
        ground.push([base.x, base.y]);
        outlines.push(Outline {
            left: seen.u - reach,
            right: seen.u + reach,
            top: seen.v - reach,
            bottom: seen.v + reach,
            depth: seen.depth,
        });
    }
    Placed { track, footprint: body.footprint(), ground, outlines }
}

fn keeps_clear(one: &Placed, other: &Placed) -> bool {
    let least = one.footprint + other.footprint + GAP;
    one.ground.iter().zip(&other.ground).all(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1]) >= least)
}

/// Share of `placed[index]` that nearer bodies cover at a moment, at most.
fn covered(placed: &[Placed], index: usize, look: usize) -> f64 {
    let own = placed[index].outlines[look];
    let over = |other: &Placed| {
        let other = other.outlines[look];
        if other.depth < own.depth { own.overlap(&other) / own.area() } else { 0.0 }
    };
    placed.iter().map(over).sum::<f64>().min(1.0)
}

/// Each body is mostly free over the clip and in the middle of everything it does.
fn can_be_seen(placed: &[Placed]) -> bool {
    (0..placed.len()).all(|index| {
        let looks = placed[index].outlines.len();
        let end_s = placed[index].track.segments.last().map_or(0.0, |segment| segment.span.end_s);
        let mean = (0..looks).map(|look| covered(placed, index, look)).sum::<f64>() / looks as f64;
        mean < 0.25
            && placed[index].track.segments.iter().filter(|segment| segment.action.is_some()).all(|segment| {
                let at =
                    |time_s: f64| ((time_s / end_s * (looks - 1) as f64).round() as usize).min(looks - 1);
                let (first, last) = (at(segment.span.start_s), at(segment.span.end_s));
                let free = (first..=last).filter(|&look| covered(placed, index, look) < 0.4).count();
                2 * free > last - first + 1
            })
    })
}

/// Whether a body goes behind another and is free before or after.
fn passes_behind(placed: &[Placed]) -> bool {
    (0..placed.len()).any(|index| {
        let travels = placed[index]
            .track
            .segments
            .iter()
            .any(|segment| matches!(segment.action, Some(Action::MovesLeft | Action::MovesRight)));
        let hidden: Vec<f64> =
            (0..placed[index].outlines.len()).map(|look| covered(placed, index, look)).collect();
        let most = hidden.iter().copied().fold(0.0, f64::max);
        travels && most > 0.5 && (hidden[0] < 0.1 || hidden.last().is_some_and(|&last| last < 0.1))
    })
}
