//! Where a body is and how it is turned, as a function of time.

use std::f64::consts::TAU;

use strefer_core::{Rng, Span};

use super::action::Action;
use super::attributes::Attributes;
use crate::config::WorldConfig;
use crate::geometry::Vec3;

/// Fall of a body, m/s².
const GRAVITY: f64 = 9.81;
/// One jump in seconds: in the air, which is 0.4 m high, and with the rest on the ground around it. Eight frames of a
/// four-second clip are 0.57 s apart and so see bodies on the ground and in the air in turn.
const FLIGHT_S: f64 = 0.57;
const JUMP_S: f64 = 0.85;
/// A segment's length in seconds, least and most.
pub(crate) const SEGMENT_S: (f64, f64) = (1.1, 2.4);
/// Distance from the viewer in which bodies stay, so that their apparent size says how large they are.
const DEPTH: (f64, f64) = (2.55, 3.45);
/// Half the width that is seen at a distance of one metre along the ground, about.
const HALF_WIDTH: f64 = 0.4;

/// When a body can be seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Presence {
    Always,
    EntersLate,
    Leaves,
    ComesBack,
}

/// One thing that a body does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Segment {
    pub span: Span,
    /// `None` while it waits outside the picture.
    pub action: Option<Action>,
    /// Places on the ground.
    pub from: [f64; 2],
    pub to: [f64; 2],
    /// The second half is this much faster than the first; 1 for a steady pace.
    pub speed_up: f64,
    /// Number of jumps.
    pub jumps: usize,
    /// Turns about the vertical.
    pub turns: f64,
}

impl Segment {
    /// Mean speed over the ground, m/s.
    pub fn speed(&self) -> f64 {
        (self.to[0] - self.from[0]).hypot(self.to[1] - self.from[1]) / self.span.length_s()
    }

    /// Share of the way that is done at share `u` of the time.
    fn progress(&self, u: f64) -> f64 {
        let first_half = 1.0 / (1.0 + self.speed_up);
        if u < 0.5 { 2.0 * u * first_half } else { first_half + (2.0 * u - 1.0) * (1.0 - first_half) }
    }
}

/// All that a body does.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Track {
    pub segments: Vec<Segment>,
    /// How it is turned at the start, radians.
    pub heading: f64,
}

/// Place and turn at a moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Pose {
    /// The middle of the base.
    pub base: Vec3,
    pub heading: f64,
}

impl Track {
    /// Where the body is at `at_s`.
    pub fn pose(&self, at_s: f64) -> Pose {
        let mut heading = self.heading;
        let last = self.segments.len() - 1;
        for (index, segment) in self.segments.iter().enumerate() {
            if index < last && at_s >= segment.span.end_s {
                heading += TAU * segment.turns;
                continue;
            }
            let u = ((at_s - segment.span.start_s) / segment.span.length_s()).clamp(0.0, 1.0);
            let done = segment.progress(u);
            let place = |axis: usize| segment.from[axis] + done * (segment.to[axis] - segment.from[axis]);
            let height = if segment.jumps > 0 {
                let jump_s = segment.span.length_s() / segment.jumps as f64;
                let in_jump_s = (u * segment.jumps as f64).fract() * jump_s;
                let in_flight_s = (in_jump_s - (jump_s - FLIGHT_S) / 2.0).clamp(0.0, FLIGHT_S);
                GRAVITY / 2.0 * in_flight_s * (FLIGHT_S - in_flight_s)
            } else {
                0.0
            };
            return Pose {
                base: Vec3::new(place(0), place(1), height),
                heading: heading + TAU * segment.turns * u,
            };
        }
        unreachable!("the last segment always answers")
    }

    /// Draws a track; `None` when the drawn steps do not fit into the picture (draw again).
    pub fn draw(rng: &mut Rng, cfg: &WorldConfig, body: &Attributes, presence: Presence) -> Option<Self> {
        let steps = draw_steps(rng, cfg, body, presence)?;
        let half_width = HALF_WIDTH * 3.0 - 0.84 * body.footprint();
        let x = place(rng, &steps, |step| step.by[0], (-half_width, half_width))?;
        let y = place(rng, &steps, |step| step.by[1], DEPTH)?;
        let mut segments: Vec<Segment> = Vec::with_capacity(steps.len());
        let (mut at, mut start_s) = ([x, y], 0.0);
        for step in &steps {
            let to = [at[0] + step.by[0], at[1] + step.by[1]];
            let span = Span { start_s, end_s: start_s + step.length_s };
            segments.push(Segment {
                span,
                action: step.action,
                from: at,
                to,
                speed_up: step.speed_up,
                jumps: step.jumps,
                turns: step.turns,
            });
            (at, start_s) = (to, span.end_s);
        }
        Some(Self { segments, heading: rng.range(-0.45, 0.45) }).map(|track| track.outside(body))
    }

    /// Stretches the ways in and out so that they begin and end outside the picture.
    fn outside(mut self, body: &Attributes) -> Self {
        for index in 0..self.segments.len() {
            if self.segments[index].action.is_some() {
                continue;
            }
            let way_in = self.segments.get(index + 1).map(|next| next.to[0] - next.from[0]);
            let way_out = index
                .checked_sub(1)
                .map(|before| self.segments[before].to[0] - self.segments[before].from[0]);
            let side = way_out.unwrap_or_else(|| -way_in.unwrap_or(1.0)).signum();
            let edge = side * (HALF_WIDTH * 1.16 * self.segments[index].from[1] + body.footprint() + 0.15);
            self.segments[index].from[0] = edge;
            self.segments[index].to[0] = edge;
            if let Some(before) = index.checked_sub(1) {
                self.segments[before].to[0] = edge;
            }
            if let Some(next) = self.segments.get_mut(index + 1) {
                next.from[0] = edge;
            }
        }
        self
    }
}

/// A segment before it has a place.
struct Step {
    length_s: f64,
    action: Option<Action>,
    by: [f64; 2],
    speed_up: f64,
    jumps: usize,
    turns: f64,
}

impl Step {
    fn still(length_s: f64, action: Option<Action>) -> Self {
        Self { length_s, action, by: [0.0; 2], speed_up: 1.0, jumps: 0, turns: 0.0 }
    }

    fn draw(rng: &mut Rng, length_s: f64, action: Action) -> Self {
        let mut step = Self::still(length_s, Some(action));
        let across = rng.range((0.25 * length_s).max(0.4), (0.75 * length_s).min(0.95));
        let along = rng.range(0.66, 0.88);
        match action {
            Action::StandsStill => {}
            Action::MovesLeft => step.by[0] = -across,
            Action::MovesRight => step.by[0] = across,
            Action::ComesCloser => step.by[1] = -along,
            Action::MovesAway => step.by[1] = along,
            Action::Jumps => step.jumps = (length_s / JUMP_S).round() as usize,
            // Half turns, so that a ring ends as it began.
            Action::Spins => step.turns = (2.0 * length_s * rng.range(0.36, 0.6)).round().max(1.0) / 2.0,
        }
        if step.turns != 0.0 && rng.chance(0.5) {
            step.turns = -step.turns;
        }
        if action.travels() && length_s > 1.5 && rng.chance(0.2) {
            step.speed_up = 2.5;
        }
        step
    }
}

/// A start from which all steps stay inside the bounds.
fn place(rng: &mut Rng, steps: &[Step], by: impl Fn(&Step) -> f64, (low, high): (f64, f64)) -> Option<f64> {
    let (mut at, mut least, mut most) = (0.0, 0.0f64, 0.0f64);
    for step in steps {
        at += by(step);
        least = least.min(at);
        most = most.max(at);
    }
    (low - least < high - most).then(|| rng.range(low - least, high - most))
}

/// Draws what comes next. Ways that do not fit into the picture are drawn again, and plain round bodies cannot be seen to
/// spin: the weights make up for both, so that every action is as frequent as any other.
fn draw_action(rng: &mut Rng, body: &Attributes, before: Option<Action>) -> Action {
    let weight = |action: Action| match action {
        _ if Some(action) == before => 0.0,
        Action::StandsStill | Action::Jumps => 0.74,
        Action::Spins if body.shows_spin() => 0.9,
        Action::Spins => 0.0,
        Action::MovesLeft | Action::MovesRight => 1.36,
        Action::ComesCloser | Action::MovesAway => 0.9,
    };
    let total: f64 = Action::ALL.iter().map(|&action| weight(action)).sum();
    let mut draw = rng.uniform() * total;
    for action in Action::ALL {
        draw -= weight(action);
        if draw < 0.0 {
            return action;
        }
    }
    if before == Some(Action::StandsStill) { Action::Jumps } else { Action::StandsStill }
}

/// Cuts a stretch into lengths that a segment may have.
fn cut(rng: &mut Rng, total_s: f64) -> Option<Vec<f64>> {
    let (least, most) = SEGMENT_S;
    let (fewest, many) = ((total_s / most).ceil().max(1.0) as usize, (total_s / least) as usize);
    if fewest > many {
        return None;
    }
    // Long stretches would else be cut into ever shorter pieces.
    let n = fewest + rng.below(many.min(fewest + 1 + fewest / 3) - fewest + 1);
    for _ in 0..60 {
        let weights: Vec<f64> = (0..n).map(|_| rng.range(0.2, 1.0)).collect();
        let free_s = (total_s - least * n as f64) / weights.iter().sum::<f64>();
        let lengths: Vec<f64> = weights.iter().map(|weight| least + weight * free_s).collect();
        if lengths.iter().all(|&length_s| length_s <= most + 1e-9) {
            return Some(lengths);
        }
    }
    None
}

fn draw_steps(rng: &mut Rng, cfg: &WorldConfig, body: &Attributes, presence: Presence) -> Option<Vec<Step>> {
    let total_s = cfg.n_frames() as f64 / cfg.fps;
    let mut steps: Vec<Step> = Vec::new();
    let side = if rng.chance(0.5) { Action::MovesLeft } else { Action::MovesRight };
    let back = if side == Action::MovesLeft { Action::MovesRight } else { Action::MovesLeft };
    // The way that is inside the picture; the part outside is added when places are known.
    let cross = |rng: &mut Rng, action: Action, length_s: f64| Step {
        by: [if action == Action::MovesLeft { -1.0 } else { 1.0 } * rng.range(0.15, 0.7), 0.0],
        ..Step::still(length_s, Some(action))
    };
    let fill = |rng: &mut Rng, steps: &mut Vec<Step>, length_s: f64, after: Option<Action>| -> Option<()> {
        let lengths = cut(rng, length_s)?;
        for (index, &length_s) in lengths.iter().enumerate() {
            let before = steps.last().and_then(|step: &Step| step.action);
            let is_last = index + 1 == lengths.len();
            let mut action = draw_action(rng, body, before);
            while is_last && Some(action) == after {
                action = draw_action(rng, body, before);
            }
            steps.push(Step::draw(rng, length_s, action));
        }
        Some(())
    };
    match presence {
        Presence::Always => fill(rng, &mut steps, total_s, None)?,
        Presence::EntersLate => {
            let (wait_s, way_s) = (rng.range(0.6, 1.3), rng.range(1.1, 1.5));
            steps.push(Step::still(wait_s, None));
            steps.push(cross(rng, side, way_s));
            fill(rng, &mut steps, total_s - wait_s - way_s, None)?;
        }
        Presence::Leaves => {
            let (gone_s, way_s) = (rng.range(0.6, 1.3), rng.range(1.1, 1.5));
            fill(rng, &mut steps, total_s - gone_s - way_s, Some(side))?;
            steps.push(cross(rng, side, way_s));
            steps.push(Step::still(gone_s, None));
        }
        Presence::ComesBack => {
            let (gone_s, way_s) = (rng.range(0.5, 0.6), rng.range(1.1, 1.14));
            let rest_s = total_s - gone_s - 2.0 * way_s;
            // A clip of four seconds has room before or after, a longer one for both.
            let before_s = if rest_s >= 2.0 * SEGMENT_S.0 { rest_s / 2.0 } else { 0.0 };
            if before_s > 0.0 {
                fill(rng, &mut steps, before_s, Some(side))?;
            }
            steps.push(cross(rng, side, way_s));
            steps.push(Step::still(gone_s, None));
            steps.push(cross(rng, back, way_s));
            fill(rng, &mut steps, rest_s - before_s, None)?;
        }
    }
    Some(steps)
}
