//! Groups 7 and 8: a masked object at a time, and false premises about it.

use strefer_core::{Rng, Span};

use crate::facts::{Run, Sighting};
use crate::instruct::context::{Context, millis};
use crate::instruct::draft::{Draft, Fact};
use crate::instruct::region::hundredths;
use crate::instruct::story::run_fact;
use crate::instruct::task::TaskKind;
use crate::instruct::timed::{When, absences, absent, interval, is_shown, moment, progressives};
use crate::language::nouns::capitalised;
use crate::language::verbs::{Form, conjugate};

/// G7: what a masked object does at a time. Another object does something else then.
pub fn behavior(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_time_behavior");
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        for (run, text) in cx.entity(at).actions().filter(|(run, _)| cx.is_long(run)) {
            // A moment and an interval of every run: the same answer, asked for in two ways.
            let moment = moment(cx, &mut rng, &run.span);
            let interval = interval(cx, &mut rng, &run.span);
            for when in interval.into_iter().chain([moment]) {
                drafts.extend(at_a_time(cx, &mut rng, at, (run, text), when));
            }
        }
    }
    drafts
}

/// One question about one run, when frames really show the object then.
fn at_a_time(
    cx: &Context<'_>,
    rng: &mut Rng,
    at: usize,
    (run, text): (&Run, &str),
    when: When,
) -> Option<Draft> {
    let (words, times_s) = when;
    let style = cx.style(rng);
    if !is_shown(cx, at, &times_s) {
        return None;
    }
    let asked = Span { start_s: times_s[0], end_s: times_s[times_s.len() - 1] };
    let others: Vec<(usize, String)> = cx
        .referable()
        .iter()
        .filter_map(|&other| Some((other, cx.entity(other).action_in(&asked)?)))
        .filter(|(other, does)| *other != at && *does != text && is_shown(cx, *other, &times_s))
        .map(|(other, does)| (other, conjugate(does, Form::Progressive)))
        .collect();
    let (template, answer) = cx.doing(rng, at, text);
    let question = cx.masked(rng, &template.replace("{when}", words), &[at])?;
    let mut draft = Draft::new(TaskKind::MaskTimeBehavior, "action_at_time", question, answer)
        .scored(conjugate(text, Form::Progressive))
        .about(vec![run_fact(at, run)])
        .at(times_s, style);
    draft.regions = vec![at];
    draft.choices = Some(progressives(cx));
    let other = rng.choose(&others).cloned();
    cx.contrast(draft, other)
}

/// The thirds of the picture, from left to right.
const THIRDS: [&str; 3] = ["left", "middle", "right"];

/// The third in which a place `at` (0 to 1, from left to right) lies; nothing close to a border, where people disagree.
fn third(at: f64) -> Option<&'static str> {
    const BORDER: f64 = 0.1;
    let thirds = 3.0 * at;
    let from_border = (thirds - thirds.round()).abs();
    let is_clear = from_border > BORDER || !(0.5..2.5).contains(&thirds);
    THIRDS.get(thirds.max(0.0) as usize).copied().filter(|_| is_clear)
}

/// [`third`] of the middle of a mask.
fn third_of(cx: &Context<'_>, sighting: &Sighting) -> Option<&'static str> {
    third(sighting.centre().0 / f64::from(cx.facts.video.width))
}

/// In which third of the picture a masked object is at a time. Another object is elsewhere then.
pub fn positions(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_time_position");
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        for sighting in cx.pointers(at) {
            let Some(place) = third_of(cx, sighting) else { continue };
            let others: Vec<(usize, String)> = cx
                .referable()
                .iter()
                .filter(|&&other| other != at)
                .filter_map(|&other| {
                    let pointers = cx.pointers(other);
                    let then = pointers.iter().find(|seen| seen.key == sighting.key)?;
                    Some((other, third_of(cx, then)?.to_owned()))
                })
                .filter(|(_, elsewhere)| elsewhere != place)
                .collect();
            let other = rng.choose(&others).cloned();
            let (style, is_short) = (cx.style(&mut rng), cx.brief(&mut rng));
            let wordings: [&str; 2] = if is_short {
                ["Where {be0} {0} at <time:0>?", "On which side {be0} {0} at <time:0>?"]
            } else {
                [
                    "Say in a sentence where {0} {be0} at <time:0>.",
                    "In a sentence, where {be0} {0} at <time:0>?",
                ]
            };
            let answer = match (is_short, place) {
                (true, _) => format!("{}.", capitalised(place)),
                (false, "middle") => format!("{} in the middle.", capitalised(&cx.it_is(at))),
                (false, _) => format!("{} on the {place}.", capitalised(&cx.it_is(at))),
            };
            let template = cx.wording(&mut rng, &wordings);
            let Some(question) = cx.masked(&mut rng, template, &[at]) else { continue };
            let mut draft = Draft::new(TaskKind::MaskTimePosition, "position_at_time", question, answer)
                .scored(place)
                .about(vec![Fact::of(at, format!("place:{}", sighting.key.0))])
                .at(vec![millis(sighting.at_s)], style);
            draft.regions = vec![at];
            draft.choices = Some(THIRDS.map(str::to_owned).to_vec());
            drafts.extend(cx.contrast(draft, other));
        }
    }
    drafts
}

/// In which box of the picture a masked object is at a time: left, top, right and bottom in hundredths. To answer one has
/// to find the moment exactly, and nothing else.
pub fn boxes(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_time_box");
    let templates = ["Give the box of {0} at <time:0>.", "In which box {be0} {0} at <time:0>?"];
    let (width, height) = (cx.facts.video.width, cx.facts.video.height);
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        for sighting in cx.pointers(at) {
            let template = cx.wording(&mut rng, &templates);
            let style = cx.style(&mut rng);
            let Some(question) = cx.masked(&mut rng, template, &[at]) else { continue };
            let answer = format!("{}.", hundredths(sighting.frame.bbox_xywh, width, height));
            let mut draft = Draft::new(TaskKind::MaskTimeBox, "box_at_time", question, answer)
                .about(vec![Fact::of(at, format!("box:{}", sighting.key.0))])
                .at(vec![millis(sighting.at_s)], style);
            draft.regions = vec![at];
            draft.held_out = cx.entity(at).held_out();
            drafts.push(draft);
        }
    }
    drafts
}

/// G8: questions about a masked object at a time at which it cannot be seen, or about something it does not do then.
pub fn negative(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_time_negative");
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        for (run, words, times_s) in absences(cx, at, &mut rng) {
            let template = "What {be0} {0} doing {when}?".replace("{when}", words);
            let Some(question) = cx.masked(&mut rng, &template, &[at]) else { continue };
            let mut draft = absent(cx, TaskKind::MaskTimeNegative, at, question, run, times_s, &mut rng);
            draft.regions = vec![at];
            draft.held_out = cx.entity(at).held_out();
            drafts.push(draft);
        }
        for (run, text) in cx.entity(at).actions().filter(|(run, _)| cx.is_long(run)) {
            let claims: Vec<String> = cx.all_actions().into_iter().filter(|claim| claim != text).collect();
            let Some(claim) = rng.choose(&claims).map(|claim| conjugate(claim, Form::Progressive)) else {
                continue;
            };
            let moment_s = cx.point(&mut rng, &run.span);
            let style = cx.style(&mut rng);
            let wordings =
                ["Why {be0} {0} {claim} at <time:0>?", "For what reason {be0} {0} {claim} at <time:0>?"];
            let template = cx.wording(&mut rng, &wordings).replace("{claim}", &claim);
            let Some(question) = cx.masked(&mut rng, &template, &[at]) else { continue };
            if !cx.sighted_at(at, moment_s) {
                continue;
            }
            let progressive = conjugate(text, Form::Progressive);
            let is = cx.it_is(at);
            let answer = capitalised(&format!("{is} not {claim} at that time; {is} {progressive}."));
            let mut draft = Draft::new(TaskKind::MaskTimeNegative, "false_premise", question, answer)
                .about(vec![run_fact(at, run)])
                .at(vec![moment_s], style);
            draft.regions = vec![at];
            draft.negative = true;
            draft.held_out = cx.entity(at).held_out();
            drafts.push(draft);
        }
    }
    drafts
}

#[cfg(test)]
mod tests {
    use super::third;

    #[test]
    fn thirds_run_from_left_to_right_and_borders_are_left_out() {
        let places = [0.0, 0.16, 0.32, 0.35, 0.5, 0.64, 0.9, 0.999].map(third);
        let (left, middle, right) = (Some("left"), Some("middle"), Some("right"));
        assert_eq!(places, [left, left, None, None, middle, None, right, right]);
    }
}
