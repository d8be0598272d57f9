//! Group 6: questions without masks or times.

use strefer_core::Span;
use strefer_core::sample::AnswerFormat;

use crate::instruct::context::Context;
use crate::instruct::draft::Draft;
use crate::instruct::story;
use crate::instruct::task::TaskKind;
use crate::instruct::timed::progressives;
use crate::language::nouns::capitalised;
use crate::language::verbs::{Form, agree, conjugate};

/// A run lies in a part of the video when this share of it does.
const MOSTLY: f64 = 0.75;

const ANSWERS: [&str; 3] = ["at the beginning", "in the middle", "at the end"];

/// The third of the video that holds most of a span.
fn part_of(span: &Span, duration_s: f64) -> Option<&'static str> {
    let third = duration_s / 3.0;
    (0..3)
        .find(|&part| {
            let bounds = Span { start_s: third * part as f64, end_s: third * (part + 1) as f64 };
            bounds.intersection(span).is_some_and(|both| both.length_s() >= MOSTLY * span.length_s())
        })
        .map(|part| ANSWERS[part])
}

/// G6: in which third of the video a named object does something; some ask about what it never does.
pub fn coarse_locate(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("coarse_locate");
    let mut drafts = Vec::new();
    for at in (0..cx.facts.entities.len()).filter(|&at| cx.facts.is_unique(at)) {
        let entity = cx.entity(at);
        for predicate in cx.all_actions() {
            let mut runs = entity.actions().filter(|(_, text)| *text == predicate);
            let (run, more) = (runs.next(), runs.next().is_some());
            let wordings = [
                "In which part of the video {do0} {0} {base}: the beginning, the middle or the end?",
                "When {do0} {0} {base}, at the beginning, in the middle or at the end of the video?",
            ];
            let template =
                cx.wording(&mut rng, &wordings).replace("{base}", &conjugate(&predicate, Form::Base));
            let question = cx.fill(&template, &[at]);
            let draft = match run {
                Some((run, _)) if !more => {
                    let Some(part) = part_of(&run.span, cx.facts.duration_s()) else { continue };
                    let mut draft = Draft::new(
                        TaskKind::CoarseLocate,
                        "part",
                        question,
                        capitalised(&format!("{part}.")),
                    )
                    .format(AnswerFormat::CoarseTime)
                    .about(vec![story::run_fact(at, run), story::whole(at)]);
                    draft.choices = Some(ANSWERS.map(str::to_owned).to_vec());
                    draft.tells.truncate(1);
                    draft
                }
                None if entity.actions().next().is_some() => {
                    let never = format!("{} never", cx.pronoun(at));
                    let plural = cx.it_is(at).ends_with("are");
                    let answer = capitalised(&format!("{never} {}.", agree(&predicate, plural)));
                    let mut draft = Draft::new(TaskKind::CoarseLocate, "never", question, answer)
                        .format(AnswerFormat::CoarseTime)
                        .about(vec![story::whole(at)]);
                    draft.tells.clear();
                    draft.negative = true;
                    draft
                }
                _ => continue,
            };
            drafts.push(Draft { held_out: entity.held_out(), ..draft });
        }
    }
    drafts
}

/// G6: what one named object does while another does something.
pub fn concurrent(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("concurrent");
    let mut drafts = Vec::new();
    let named: Vec<usize> = (0..cx.facts.entities.len()).filter(|&at| cx.facts.is_unique(at)).collect();
    for &other in &named {
        for (run, anchor) in cx.entity(other).actions().filter(|(run, _)| cx.is_long(run)) {
            if cx.entity(other).actions().filter(|(_, text)| *text == anchor).count() > 1 {
                continue;
            }
            for &at in named.iter().filter(|&&at| at != other) {
                let Some(text) = cx.entity(at).action_in(&run.span) else { continue };
                let clause = cx.named_clause(other, anchor);
                let (template, answer) = cx.doing(&mut rng, at, text);
                let template = template.replace("{when}", &format!("while {clause}"));
                let own = cx
                    .entity(at)
                    .runs
                    .iter()
                    .find(|own| own.text.as_deref() == Some(text) && own.span.end_s >= run.span.end_s);
                let mut facts = vec![story::run_fact(other, run)];
                facts.extend(own.map(|own| story::run_fact(at, own)));
                let mut draft =
                    Draft::new(TaskKind::Concurrent, "concurrent", cx.fill(&template, &[at]), answer)
                        .scored(conjugate(text, Form::Progressive))
                        .about(facts);
                draft.choices = Some(progressives(cx));
                draft.held_out = cx.entity(at).held_out() || cx.entity(other).held_out();
                drafts.push(draft);
            }
        }
    }
    drafts
}
