//! Groups 1 to 3: a masked object over the whole video.

use strefer_core::sample::AnswerFormat;

use crate::facts::{EntityFacts, Run};
use crate::instruct::context::Context;
use crate::instruct::draft::{Draft, Fact};
use crate::instruct::story;
use crate::instruct::task::TaskKind;
use crate::language::nouns::capitalised;
use crate::language::verbs::{Form, conjugate};

/// Events closer than this have no order.
const CLEARLY_APART_S: f64 = 0.25;

/// Two objects have come closer or gone apart when their distance changed by this share of the image's diagonal.
const CLEAR_DISTANCE: f64 = 0.1;

/// G1: what it does over the whole video, in order.
pub fn behavior(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_behavior");
    let templates = [
        "What {do0} {0} do in the video?",
        "Describe what {0} {do0} over the whole video.",
        "Tell me, in order, everything that {0} {do0}.",
    ];
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        let Some(answer) = story::in_order(cx, at) else { continue };
        let template = cx.wording(&mut rng, &templates);
        let Some(question) = cx.masked(&mut rng, template, &[at]) else { continue };
        let mut draft =
            Draft::new(TaskKind::MaskBehavior, "behavior", question, answer).about(story::all_runs(cx, at));
        draft.asks = vec![story::whole(at)];
        draft.regions = vec![at];
        draft.held_out = cx.entity(at).held_out();
        drafts.push(draft);
    }
    drafts
}

/// G2: which object appears next, does the same earlier, or is the next to do something else.
pub fn order(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_order");
    let mut drafts = Vec::new();
    // Of two objects, the other one is always meant.
    if cx.seen().count() < 3 {
        return drafts;
    }
    for &at in cx.referable() {
        let mut asked: Vec<(String, usize)> = Vec::new();
        asked.extend(
            next_to_appear(cx, at)
                .map(|other| ("Which object is the next to appear after {0}?".to_owned(), other)),
        );
        for (run, text) in cx.entity(at).actions() {
            let base = conjugate(text, Form::Base);
            let earlier = only(others(cx, at).filter(|&other| {
                first_start(cx.entity(other), text)
                    .is_some_and(|start| start + CLEARLY_APART_S < run.span.start_s)
            }));
            let is_first = first_start(cx.entity(at), text) == Some(run.span.start_s);
            if let Some(other) = earlier.filter(|_| is_first) {
                asked.push((format!("Which object starts to {base} before {{0}} {{do0}}?"), other));
            }
            if run.span.start_s > CLEARLY_APART_S && is_first {
                asked.extend(next_to_change(cx, at, run).map(|other| {
                    (
                        format!(
                            "After {{0}} started to {base}, which object was the next to do something else?"
                        ),
                        other,
                    )
                }));
            }
        }
        for (template, other) in asked {
            if !cx.facts.is_unique(other) {
                continue;
            }
            let Some(question) = cx.masked(&mut rng, &template, &[at]) else { continue };
            let answer = format!("{}.", capitalised(&cx.name(other)));
            let mut draft = Draft::new(TaskKind::MaskOrder, "order", question, answer)
                .format(AnswerFormat::Expression)
                .about(vec![Fact::of(at, format!("order:{template}"))]);
            draft.regions = vec![at];
            draft.held_out = cx.entity(at).held_out() || cx.entity(other).held_out();
            drafts.push(draft);
        }
    }
    drafts
}

fn others<'c>(cx: &'c Context<'_>, at: usize) -> impl Iterator<Item = usize> + 'c {
    cx.seen().filter(move |&other| other != at)
}

/// The only element, if there is exactly one.
fn only(mut found: impl Iterator<Item = usize>) -> Option<usize> {
    let first = found.next()?;
    found.next().is_none().then_some(first)
}

fn first_start(entity: &EntityFacts, predicate: &str) -> Option<f64> {
    entity.actions().find(|(_, text)| *text == predicate).map(|(run, _)| run.span.start_s)
}

/// The earliest of several moments, when the next one is clearly later.
fn earliest(mut moments: Vec<(f64, usize)>) -> Option<usize> {
    moments.sort_by(|a, b| a.0.total_cmp(&b.0));
    match moments.as_slice() {
        [] => None,
        [(_, one)] => Some(*one),
        [(first_s, first), (second_s, second), ..] => {
            (first == second || first_s + CLEARLY_APART_S < *second_s).then_some(*first)
        }
    }
}

fn next_to_appear(cx: &Context<'_>, at: usize) -> Option<usize> {
    let own_s = cx.entity(at).first_seen_s()?;
    let later = others(cx, at).filter_map(|other| Some((cx.entity(other).first_seen_s()?, other)));
    let later: Vec<(f64, usize)> = later.filter(|(seen_s, _)| *seen_s > own_s - CLEARLY_APART_S).collect();
    // One that came at the same moment makes the order unclear.
    if later.iter().any(|(seen_s, _)| (seen_s - own_s).abs() <= CLEARLY_APART_S && *seen_s > 0.0) {
        return None;
    }
    earliest(later.into_iter().filter(|(seen_s, _)| *seen_s > own_s + CLEARLY_APART_S).collect())
}

/// Who of the others first turns to something else after the start of a run.
fn next_to_change(cx: &Context<'_>, at: usize, run: &Run) -> Option<usize> {
    let start_s = run.span.start_s;
    let changes: Vec<(f64, usize)> = others(cx, at)
        .flat_map(|other| cx.entity(other).runs.iter().skip(1).map(move |run| (run, other)))
        .map(|(run, other)| (run.span.start_s, other))
        .filter(|(change_s, _)| *change_s > start_s - CLEARLY_APART_S)
        .collect();
    if changes.iter().any(|(change_s, _)| *change_s <= start_s + CLEARLY_APART_S) {
        return None;
    }
    earliest(changes)
}

/// G2: whether two masked objects end closer together or further apart than they began.
pub fn relation(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_relation");
    let templates = [
        "What happens to the distance between {0} and {1}?",
        "Do {0} and {1} end closer together or further apart than they began?",
        "How does the distance between {0} and {1} change over the video?",
    ];
    let outcomes = ["closer together", "further apart", "about as far apart as before"];
    let diagonal = f64::from(cx.facts.video.width).hypot(f64::from(cx.facts.video.height));
    let mut drafts = Vec::new();
    for (position, &first) in cx.referable().iter().enumerate() {
        for &second in &cx.referable()[position + 1..] {
            let distances: Vec<f64> = cx
                .entity(first)
                .sightings
                .iter()
                .filter_map(|one| {
                    let other = cx.entity(second).sightings.iter().find(|other| other.key == one.key)?;
                    let ((x0, y0), (x1, y1)) = (one.centre(), other.centre());
                    Some((x1 - x0).hypot(y1 - y0) / diagonal)
                })
                .collect();
            let (Some(begin), Some(end)) = (distances.first(), distances.last()) else { continue };
            let outcome = match end - begin {
                change if distances.len() < 2 || change.abs() < CLEAR_DISTANCE / 3.0 => outcomes[2],
                change if change < -CLEAR_DISTANCE => outcomes[0],
                change if change > CLEAR_DISTANCE => outcomes[1],
                _ => continue,
            };
            let pair = if rng.chance(0.5) { [first, second] } else { [second, first] };
            let template = cx.wording(&mut rng, &templates);
            let Some(question) = cx.masked(&mut rng, template, &pair) else { continue };
            let fact = Fact::of(first, format!("distance:{second}"));
            let mut draft =
                Draft::new(TaskKind::MaskRelation, "relation", question, capitalised(&format!("{outcome}.")))
                    .about(vec![fact]);
            draft.regions = pair.to_vec();
            draft.choices = Some(outcomes.map(str::to_owned).to_vec());
            draft.held_out = pair.iter().any(|&at| cx.entity(at).held_out());
            drafts.push(draft);
        }
    }
    drafts
}

/// G3: whether a masked object does something; asked about what it does, and about what others do.
pub fn verify(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_verify");
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        let Some(does) = story::in_order(cx, at) else { continue };
        for predicate in cx.all_actions() {
            let truth = cx.ever_does(at, &predicate);
            let opposite: Vec<usize> = cx
                .referable()
                .iter()
                .copied()
                .filter(|&other| {
                    cx.ever_does(other, &predicate) != truth && story::in_order(cx, other).is_some()
                })
                .collect();
            let base = conjugate(&predicate, Form::Base);
            let progressive = conjugate(&predicate, Form::Progressive);
            let wordings = [
                format!("{{do0}} {{0}} {base} at some time in the video?"),
                format!("{{do0}} {{0}} ever {base}?"),
                format!("Is there a moment at which {{0}} {{be0}} {progressive}?"),
            ];
            let template = cx.wording(&mut rng, &wordings.each_ref().map(String::as_str)).to_owned();
            let Some(question) = cx.masked(&mut rng, &template, &[at]) else { continue };
            let (key, other, reason) = if truth {
                ("yes", "no", format!("{}.", cx.clause(at, &predicate)))
            } else {
                ("no", "yes", format!("{} not {base}. {does}", cx.it_does(at)))
            };
            let (question, answer) = cx.yes_or_no(&mut rng, &question, truth, &reason);
            let mut draft = Draft::new(TaskKind::MaskVerify, "verify", question, answer)
                .scored(key)
                .format(AnswerFormat::Yesno)
                .about(story::all_runs(cx, at));
            if truth {
                // "Yes" tells one thing that it does, not when.
                draft.tells = vec![Fact::of(at, format!("does:{predicate}"))];
                draft.asks.extend(draft.tells.clone());
            }
            draft.regions = vec![at];
            let opposite = rng.choose(&opposite).map(|&entity| (entity, other.to_owned()));
            drafts.extend(cx.contrast(draft, opposite));
        }
    }
    drafts
}
