//! Groups 4 and 5: named objects and the scene at a time.

use strefer_core::sample::AnswerFormat;
use strefer_core::{Rng, Span};

use crate::facts::Run;
use crate::instruct::context::Context;
use crate::instruct::draft::{Draft, Fact};
use crate::instruct::story::run_fact;
use crate::instruct::task::TaskKind;
use crate::language::nouns::{capitalised, list};
use crate::language::verbs::{Form, conjugate};

/// The words that lead to a time, and its moments: one, or the ends of an interval.
pub type When = (&'static str, Vec<f64>);

/// A moment or an interval inside a run.
pub fn when(cx: &Context<'_>, rng: &mut Rng, span: &Span) -> Option<When> {
    if rng.chance(0.5) { Some(moment(cx, rng, span)) } else { interval(cx, rng, span) }
}

/// A moment inside a run.
pub fn moment(cx: &Context<'_>, rng: &mut Rng, span: &Span) -> When {
    ("at <time:0>", vec![cx.point(rng, span)])
}

/// An interval inside a run.
pub fn interval(cx: &Context<'_>, rng: &mut Rng, span: &Span) -> Option<When> {
    let interval = cx.interval(rng, span)?;
    Some(("between <time:0> and <time:1>", vec![interval.start_s, interval.end_s]))
}

/// Whether the moment, or some frame of the interval, really shows the entity.
pub fn is_shown(cx: &Context<'_>, at: usize, times_s: &[f64]) -> bool {
    match times_s {
        [start_s, end_s] => cx.entity(at).is_sighted(&Span { start_s: *start_s, end_s: *end_s }),
        [moment_s] => cx.sighted_at(at, *moment_s),
        _ => false,
    }
}

/// Whether no frame of the interval, and none close to the moment, shows the entity.
pub fn is_hidden(cx: &Context<'_>, at: usize, times_s: &[f64]) -> bool {
    let is_between = |span: Span| !cx.entity(at).is_sighted(&span);
    match times_s {
        [start_s, end_s] => is_between(Span { start_s: *start_s, end_s: *end_s }),
        [moment_s] => !cx.sighted_at(at, *moment_s),
        _ => false,
    }
}

/// Entities that their expression alone tells from all others.
fn named(cx: &Context<'_>) -> impl Iterator<Item = usize> {
    (0..cx.facts.entities.len()).filter(|&at| cx.facts.is_unique(at))
}

/// G4: what a named object does at a time; where it cannot be seen, that it cannot.
pub fn behavior(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("time_behavior");
    let mut drafts = Vec::new();
    for at in named(cx) {
        for (run, text) in cx.entity(at).actions().filter(|(run, _)| cx.is_long(run)) {
            let Some((words, times_s)) = when(cx, &mut rng, &run.span) else { continue };
            let style = cx.style(&mut rng);
            if !is_shown(cx, at, &times_s) {
                continue;
            }
            let (template, answer) = cx.doing(&mut rng, at, text);
            let question = fill(cx, &template, &[at], words);
            let mut draft = Draft::new(TaskKind::TimeBehavior, "named_action", question, answer)
                .scored(conjugate(text, Form::Progressive))
                .about(vec![run_fact(at, run)])
                .at(times_s, style);
            draft.choices = Some(progressives(cx));
            draft.held_out = cx.entity(at).held_out();
            drafts.push(draft);
        }
        for (run, words, times_s) in absences(cx, at, &mut rng) {
            let question = fill(cx, "What {be0} {0} doing {when}?", &[at], words);
            drafts.push(absent(cx, TaskKind::TimeBehavior, at, question, run, times_s, &mut rng));
        }
    }
    drafts
}

/// Times at which an entity certainly cannot be seen.
pub fn absences<'c>(cx: &'c Context<'_>, at: usize, rng: &mut Rng) -> Vec<(&'c Run, &'static str, Vec<f64>)> {
    let runs = cx.entity(at).absences().filter(|run| cx.is_long(run));
    runs.filter_map(|run| {
        let (words, times_s) = when(cx, rng, &run.span)?;
        is_hidden(cx, at, &times_s).then_some((run, words, times_s))
    })
    .collect()
}

/// The answer to a question about a time at which the entity cannot be seen.
pub fn absent(
    cx: &Context<'_>,
    task: TaskKind,
    at: usize,
    question: String,
    run: &Run,
    times_s: Vec<f64>,
    rng: &mut Rng,
) -> Draft {
    let when = if times_s.len() == 2 { "during that time" } else { "at that time" };
    let answer = capitalised(&format!("{} cannot be seen {when}.", cx.pronoun(at)));
    let style = cx.style(rng);
    let mut draft =
        Draft::new(task, "absent", question, answer).about(vec![run_fact(at, run)]).at(times_s, style);
    draft.negative = true;
    draft
}

/// Names and the time into a template.
pub fn fill(cx: &Context<'_>, template: &str, entities: &[usize], when: &str) -> String {
    cx.fill(&template.replace("{when}", when), entities)
}

/// All actions as "moving to the left".
pub fn progressives(cx: &Context<'_>) -> Vec<String> {
    cx.all_actions().iter().map(|text| conjugate(text, Form::Progressive)).collect()
}

/// G4: what happens in a part of the video in which everything that is seen does one thing.
pub fn scene(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("time_scene");
    let mut drafts = Vec::new();
    for (position, clip) in cx.facts.clips.iter().enumerate() {
        let span = Span { start_s: clip.start_s, end_s: clip.end_s };
        let cells = || cx.facts.entities.iter().map(|entity| &entity.cells[position]);
        if span.length_s() < cx.cfg.shortest_s || cells().any(|cell| cell.conflict) {
            continue;
        }
        let does: Vec<(usize, &String)> =
            cells().enumerate().filter_map(|(at, cell)| Some((at, cell.text.as_ref()?))).collect();
        let Some(interval) = cx.interval(&mut rng, &span).filter(|_| !does.is_empty()) else { continue };
        let clauses: Vec<String> = does.iter().map(|(at, text)| cx.named_clause(*at, text)).collect();
        let wordings = [
            "What happens between <time:0> and <time:1>?",
            "Describe the video between <time:0> and <time:1>.",
            "What does each object do between <time:0> and <time:1>?",
        ];
        let facts = does
            .iter()
            .flat_map(|(at, _)| cx.entity(*at).runs.iter().map(move |run| (*at, run)))
            .filter(|(_, run)| (run.clips.0..=run.clips.1).contains(&position))
            .map(|(at, run)| run_fact(at, run))
            .collect();
        let style = cx.style(&mut rng);
        drafts.push(
            Draft::new(
                TaskKind::TimeScene,
                "scene",
                cx.wording(&mut rng, &wordings),
                capitalised(&format!("{}.", list(&clauses))),
            )
            .about(facts)
            .at(vec![interval.start_s, interval.end_s], style),
        );
    }
    drafts
}

/// G5: whether a named object does something in an interval; the false ones are true of it at another time, or of
/// another object at that time.
pub fn verify(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("time_verify");
    let mut drafts = Vec::new();
    for at in named(cx) {
        for (run, text) in cx.entity(at).actions().filter(|(run, _)| cx.is_long(run)) {
            let mut claims = vec![text.to_owned()];
            let elsewhere = cx.entity(at).actions().map(|(_, other)| other);
            let meanwhile = cx
                .seen()
                .filter(|&other| other != at)
                .filter_map(|other| cx.entity(other).action_in(&run.span));
            for claim in elsewhere.chain(meanwhile) {
                if !claims.iter().any(|known| known == claim) {
                    claims.push(claim.to_owned());
                }
            }
            for claim in claims {
                let Some(interval) = cx.interval(&mut rng, &run.span) else { continue };
                if !cx.entity(at).is_sighted(&interval) {
                    continue;
                }
                let base = conjugate(&claim, Form::Base);
                let question =
                    cx.fill(&format!("{{do0}} {{0}} {base} between <time:0> and <time:1>?"), &[at]);
                let is_true = claim == text;
                let reason = if is_true {
                    format!("{} then.", cx.clause(at, text))
                } else {
                    format!("{} not {base} then; {}.", cx.it_does(at), cx.clause(at, text))
                };
                let (question, answer) = cx.yes_or_no(&mut rng, &question, is_true, &reason);
                let style = cx.style(&mut rng);
                let mut draft = Draft::new(TaskKind::TimeVerify, "named_verify", question, answer)
                    .scored(if is_true { "yes" } else { "no" })
                    .format(AnswerFormat::Yesno)
                    .about(vec![run_fact(at, run)])
                    .at(vec![interval.start_s, interval.end_s], style);
                draft.asks.push(Fact::of(at, "behavior"));
                draft.held_out = cx.entity(at).held_out();
                drafts.push(draft);
            }
        }
    }
    drafts
}
