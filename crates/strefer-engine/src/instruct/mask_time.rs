//! Groups 7 and 8: a masked object at a time, and false premises about it.

use strefer_core::Span;

use crate::instruct::context::Context;
use crate::instruct::draft::Draft;
use crate::instruct::story::run_fact;
use crate::instruct::task::TaskKind;
use crate::instruct::timed::{absences, absent, is_shown, progressives, when};
use crate::language::nouns::capitalised;
use crate::language::verbs::{Form, conjugate};

/// G7: what a masked object does at a time. Another object does something else then.
pub fn behavior(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_time_behavior");
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        for (run, text) in cx.entity(at).actions().filter(|(run, _)| cx.is_long(run)) {
            let Some((words, times_s)) = when(cx, &mut rng, &run.span) else { continue };
            let style = cx.style(&mut rng);
            if !is_shown(cx, at, &times_s) {
                continue;
            }
            let asked = Span { start_s: times_s[0], end_s: times_s[times_s.len() - 1] };
            let others: Vec<(usize, String)> = cx
                .referable()
                .iter()
                .filter_map(|&other| Some((other, cx.entity(other).action_in(&asked)?)))
                .filter(|(other, does)| *other != at && *does != text && is_shown(cx, *other, &times_s))
                .map(|(other, does)| (other, conjugate(does, Form::Progressive)))
                .collect();
            let (template, answer) = cx.doing(&mut rng, at, text);
            let template = template.replace("{when}", words);
            let Some(question) = cx.masked(&mut rng, &template, &[at]) else { continue };
            let mut draft = Draft::new(TaskKind::MaskTimeBehavior, "action_at_time", question, answer)
                .scored(conjugate(text, Form::Progressive))
                .about(vec![run_fact(at, run)])
                .at(times_s, style);
            draft.regions = vec![at];
            draft.choices = Some(progressives(cx));
            let other = rng.choose(&others).cloned();
            drafts.extend(cx.contrast(draft, other));
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
