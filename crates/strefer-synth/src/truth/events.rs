//! What happens in a clip, found in the tracks and in what the frames show.

use super::film::spans;
use super::record::{BodyTruth, Event, Side};
use crate::render::BodyPixels;
use crate::world::{Action, Body, Clip, Presence};

/// Free ground between bodies that have met, and of bodies that are apart, in metres.
const TOGETHER_M: f64 = 0.15;
const APART_M: f64 = 0.35;

/// All events, ordered by time.
pub(super) fn find(clip: &Clip, pixels: &[Vec<BodyPixels>], bodies: &[BodyTruth]) -> Vec<Event> {
    let mut events = Vec::new();
    for (index, body) in clip.bodies.iter().enumerate() {
        comings_and_goings(index, body, &bodies[index], &mut events);
        changes_of_pace(index, body, &mut events);
        passings(clip, pixels, index, &mut events);
        for other in index + 1..clip.bodies.len() {
            meetings(clip, pixels, index, other, &mut events);
        }
    }
    events.sort_by(|a, b| a.at_s().total_cmp(&b.at_s()));
    events
}

fn comings_and_goings(index: usize, body: &Body, truth: &BodyTruth, events: &mut Vec<Event>) {
    let Some(waiting) = body.track.segments.iter().find(|segment| segment.action.is_none()) else { return };
    let side = if waiting.from[0] < 0.0 { Side::Left } else { Side::Right };
    let middle_s = (waiting.span.start_s + waiting.span.end_s) / 2.0;
    let gone = truth.visible.iter().rev().find(|span| span.end_s <= middle_s).map(|span| span.end_s);
    let back = truth.visible.iter().find(|span| span.start_s >= middle_s).map(|span| span.start_s);
    match (body.presence, gone, back) {
        (Presence::EntersLate, _, Some(at_s)) => events.push(Event::Enters { body: index, at_s, side }),
        (Presence::Leaves, Some(at_s), _) => events.push(Event::Leaves { body: index, at_s, side }),
        (Presence::ComesBack, Some(gone_s), Some(back_s)) => {
            events.push(Event::Leaves { body: index, at_s: gone_s, side });
            events.push(Event::ComesBack { body: index, at_s: back_s, side });
        }
        _ => {}
    }
}

fn changes_of_pace(index: usize, body: &Body, events: &mut Vec<Event>) {
    for segment in body.track.segments.iter().filter(|segment| segment.speed_up > 1.0) {
        let at_s = (segment.span.start_s + segment.span.end_s) / 2.0;
        events.push(Event::SpeedsUp { body: index, at_s });
    }
    for pair in body.track.segments.windows(2) {
        let (Some(before), Some(after)) = (pair[0].action, pair[1].action) else { continue };
        let at_s = pair[1].span.start_s;
        if before.reverses(after) {
            events.push(Event::TurnsAround { body: index, at_s });
        } else if before.travels() && after == Action::StandsStill {
            events.push(Event::Stops { body: index, at_s });
        }
    }
}

fn passings(clip: &Clip, pixels: &[Vec<BodyPixels>], index: usize, events: &mut Vec<Event>) {
    let hidden = |frame: usize| pixels[frame][index].hidden_share();
    for span in spans((0..pixels.len()).map(|frame| hidden(frame) >= 0.1), clip.cfg.fps) {
        let frames =
            (span.start_s * clip.cfg.fps).round() as usize..(span.end_s * clip.cfg.fps).round() as usize;
        let begins_or_ends_free = frames.start > 0 || frames.end < pixels.len();
        let deepest = frames.clone().max_by(|&a, &b| hidden(a).total_cmp(&hidden(b)));
        let Some(deepest) = deepest.filter(|&frame| hidden(frame) >= 1.0 / 3.0 && begins_or_ends_free) else {
            continue;
        };
        let by = &pixels[deepest][index].hidden_by;
        if let Some(front) = (0..by.len()).max_by_key(|&other| by[other]) {
            events.push(Event::PassesBehind { behind: index, front, span });
        }
    }
}

fn meetings(clip: &Clip, pixels: &[Vec<BodyPixels>], first: usize, second: usize, events: &mut Vec<Event>) {
    let (one, other) = (&clip.bodies[first], &clip.bodies[second]);
    let touch = one.attributes.footprint() + other.attributes.footprint();
    let mut were_apart = false;
    for (frame, pixels) in pixels.iter().enumerate() {
        let at_s = clip.time_s(frame);
        let (a, b) = (one.track.pose(at_s).base, other.track.pose(at_s).base);
        let gap = (a.x - b.x).hypot(a.y - b.y) - touch;
        let both_shown = !pixels[first].shown.is_empty() && !pixels[second].shown.is_empty();
        if gap > APART_M {
            were_apart = both_shown;
        } else if gap < TOGETHER_M && were_apart && both_shown {
            events.push(Event::Meet { first, second, at_s });
            were_apart = false;
        }
    }
}
