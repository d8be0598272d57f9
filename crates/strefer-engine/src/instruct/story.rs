//! What an entity does over the whole video, in order.

use crate::facts::Run;
use crate::instruct::context::Context;
use crate::instruct::draft::Fact;
use crate::language::nouns::capitalised;

/// The name of the fact that a run holds.
pub fn run_fact(at: usize, run: &Run) -> Fact {
    Fact::of(at, format!("run:{}", run.clips.0))
}

/// That everything has been told.
pub fn whole(at: usize) -> Fact {
    Fact::of(at, "behavior")
}

/// All facts about what an entity does.
pub fn all_runs(cx: &Context<'_>, at: usize) -> Vec<Fact> {
    cx.entity(at).runs.iter().map(|run| run_fact(at, run)).chain([whole(at)]).collect()
}

/// Predicates in order; longer stretches out of sight are told, neighbours that say the same are one.
pub fn predicates(cx: &Context<'_>, at: usize) -> Vec<String> {
    let mut told: Vec<String> = Vec::new();
    for run in &cx.entity(at).runs {
        let text = match (&run.text, run.visible) {
            (Some(text), _) => text.clone(),
            (None, Some(false)) if cx.is_long(run) => "is out of sight".to_owned(),
            _ => continue,
        };
        if told.last() != Some(&text) {
            told.push(text);
        }
    }
    told
}

/// "First it stands still, then it jumps and finally it moves away." `None` when it does nothing.
pub fn in_order(cx: &Context<'_>, at: usize) -> Option<String> {
    let told = predicates(cx, at);
    if !told.iter().any(|text| text != "is out of sight") {
        return None;
    }
    let clauses: Vec<String> = told.iter().map(|text| cx.clause(at, text)).collect();
    Some(match clauses.as_slice() {
        [] => return None,
        [one] => format!("{} the whole time.", capitalised(one)),
        [first, second] => format!("First {first}, then {second}."),
        [first, middle @ .., last] => {
            format!("First {first}, then {}, and finally {last}.", middle.join(", then "))
        }
    })
}

/// "the large red ball stands still, then jumps, then moves away"; `None` when it does nothing.
pub fn named(cx: &Context<'_>, at: usize) -> Option<String> {
    let told = predicates(cx, at);
    let (first, rest) = told.split_first()?;
    let mut text = cx.named_clause(at, first);
    for predicate in rest {
        text.push_str(", then ");
        text.push_str(&cx.predicate(at, predicate));
    }
    Some(text)
}
