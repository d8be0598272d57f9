//! Group 7, all at once: everything that a masked object does, with times.

use crate::facts::Run;
use crate::instruct::context::{Context, millis};
use crate::instruct::draft::{Draft, Fact};
use crate::instruct::story;
use crate::instruct::task::TaskKind;
use crate::language::nouns::capitalised;

/// What a masked object does from when to when: "From <time:0> to <time:1> it jumps, from …".
pub fn timelines(cx: &Context<'_>) -> Vec<Draft> {
    let mut rng = cx.rng("mask_timeline");
    let templates = [
        "When {do0} {0} do what?",
        "Tell everything that {0} {do0}, with times.",
        "From when to when {do0} {0} do what?",
    ];
    let mut drafts = Vec::new();
    for &at in cx.referable() {
        let runs: Vec<(&Run, &str)> = cx
            .entity(at)
            .actions()
            .filter(|(run, _)| cx.is_long(run) && cx.entity(at).is_sighted(&run.span))
            .collect();
        if runs.is_empty() {
            continue;
        }
        let parts: Vec<String> = runs
            .iter()
            .enumerate()
            .map(|(nth, (_, text))| {
                let (start, end) = (2 * nth, 2 * nth + 1);
                format!("from <time:{start}> to <time:{end}> {}", cx.clause(at, text))
            })
            .collect();
        let times_s = runs.iter().flat_map(|(run, _)| [millis(run.span.start_s), cx.within(run.span.end_s)]);
        let template = cx.wording(&mut rng, &templates);
        let Some(question) = cx.masked(&mut rng, template, &[at]) else { continue };
        let answer = format!("{}.", capitalised(&parts.join(", ")));
        let mut told = story::all_runs(cx, at);
        told.push(Fact::of(at, "timeline"));
        let style = cx.style(&mut rng);
        let mut draft = Draft::new(TaskKind::MaskTimeline, "timeline", question, answer)
            .about(told)
            .at(times_s.collect(), style);
        draft.asks = vec![Fact::of(at, "timeline")];
        draft.regions = vec![at];
        draft.held_out = cx.entity(at).held_out();
        drafts.push(draft);
    }
    drafts
}
