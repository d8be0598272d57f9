//! Accuracies over all questions and by group, and two runs side by side.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::reading::Reading;
use super::record::Question;
use crate::coverage::{Coverage, Unmatched, pair};
use crate::error::{Error, Result};
use crate::quiz::Interval;
use crate::records::Reply;
use crate::statistics::{Bootstrap, Difference, mean};

/// What became of one question.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// The question.
    pub id: String,
    /// The chosen option's position; absent when none is chosen.
    pub chosen: Option<usize>,
    /// Whether it is the right one.
    pub correct: bool,
}

/// Accuracy over some questions.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GroupScores {
    /// Questions.
    pub n: usize,
    /// Share of right answers, 0 to 1; an answer without a choice is wrong.
    pub accuracy: f64,
    /// Its 95 % interval.
    pub interval: Interval,
    /// Answers without a choice.
    pub unparsed: usize,
}

/// The scores of a run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scores {
    /// Which questions are scored.
    pub coverage: Coverage,
    /// Over all of them.
    pub all: GroupScores,
    /// By name and value of what questions are counted under.
    pub by_group: BTreeMap<String, BTreeMap<String, GroupScores>>,
    /// In the order of the questions.
    pub verdicts: Vec<Verdict>,
}

fn share(verdict: &Verdict) -> f64 {
    f64::from(u8::from(verdict.correct))
}

impl GroupScores {
    fn of(verdicts: &[&Verdict], bootstrap: Bootstrap) -> Self {
        let shares: Vec<f64> = verdicts.iter().map(|verdict| share(verdict)).collect();
        Self {
            n: shares.len(),
            accuracy: mean(shares.iter().copied()),
            interval: bootstrap.interval(&shares),
            unparsed: verdicts.iter().filter(|verdict| verdict.chosen.is_none()).count(),
        }
    }
}

/// Reads and scores what a model says.
///
/// # Errors
/// When questions have no reply or replies no question, see [`Unmatched`].
pub fn score(
    questions: &[Question],
    replies: &[Reply],
    reading: Reading,
    unmatched: Unmatched,
    bootstrap: Bootstrap,
) -> Result<Scores> {
    let paired = pair(questions, replies, unmatched)?;
    let verdict = |(question, reply): &(&Question, &Reply)| {
        let chosen = reading.choice(&reply.text, &question.options);
        Verdict { id: question.id.clone(), chosen, correct: chosen == Some(question.answer) }
    };
    let verdicts: Vec<Verdict> = paired.pairs.iter().map(verdict).collect();
    let mut groups: BTreeMap<String, BTreeMap<String, Vec<&Verdict>>> = BTreeMap::new();
    for ((question, _), verdict) in paired.pairs.iter().zip(&verdicts) {
        for (name, value) in &question.groups {
            groups.entry(name.clone()).or_default().entry(value.clone()).or_default().push(verdict);
        }
    }
    let scored = |(value, own): (String, Vec<&Verdict>)| (value, GroupScores::of(&own, bootstrap));
    let by_group =
        groups.into_iter().map(|(name, values)| (name, values.into_iter().map(scored).collect())).collect();
    let all = GroupScores::of(&verdicts.iter().collect::<Vec<_>>(), bootstrap);
    Ok(Scores { coverage: paired.coverage, all, by_group, verdicts })
}

/// Two runs over the same questions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Comparison {
    /// Questions.
    pub n: usize,
    /// Right in the first run only.
    pub first_only: usize,
    /// Right in the second run only.
    pub second_only: usize,
    /// The second run's accuracy less the first's.
    pub difference: Difference,
}

/// Compares two runs question by question.
///
/// # Errors
/// When they are not over the same questions.
pub fn compare(first: &[Verdict], second: &[Verdict], bootstrap: Bootstrap) -> Result<Comparison> {
    let by_id: BTreeMap<&str, &Verdict> =
        second.iter().map(|verdict| (verdict.id.as_str(), verdict)).collect();
    let ids: BTreeSet<&str> = first.iter().map(|verdict| verdict.id.as_str()).collect();
    let both: Vec<(&Verdict, &Verdict)> =
        first.iter().filter_map(|own| Some((own, *by_id.get(own.id.as_str())?))).collect();
    let named = |ids: &mut dyn Iterator<Item = &str>| ids.map(str::to_owned).collect();
    let coverage = Coverage {
        matched: both.len(),
        missing: named(&mut ids.iter().copied().filter(|id| !by_id.contains_key(id))),
        extra: named(&mut by_id.keys().copied().filter(|id| !ids.contains(id))),
    };
    if !coverage.is_complete() {
        return Err(Error::Unmatched { coverage });
    }
    let only = |of: fn(&(&Verdict, &Verdict)) -> (bool, bool)| {
        both.iter().filter(|pair| of(pair) == (true, false)).count()
    };
    let shares: (Vec<f64>, Vec<f64>) =
        both.iter().map(|(first, second)| (share(first), share(second))).unzip();
    Ok(Comparison {
        n: both.len(),
        first_only: only(|(first, second)| (first.correct, second.correct)),
        second_only: only(|(first, second)| (second.correct, first.correct)),
        difference: bootstrap.compare(&shares.0, &shares.1),
    })
}
