//! Accuracies over all questions and by group.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::reading::Reading;
use super::record::Question;
use crate::coverage::{Coverage, Unmatched, pair};
use crate::error::Result;
use crate::records::Reply;
use crate::statistics::mean;

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

impl GroupScores {
    fn of(verdicts: &[&Verdict]) -> Self {
        Self {
            n: verdicts.len(),
            accuracy: mean(verdicts.iter().map(|verdict| f64::from(u8::from(verdict.correct)))),
            unparsed: verdicts.iter().filter(|verdict| verdict.chosen.is_none()).count(),
        }
    }
}

/// Reads and scores what a model says; `reading` is for questions that name no rules of their own.
///
/// # Errors
/// When questions have no reply or replies no question, see [`Unmatched`].
pub fn score(
    questions: &[Question],
    replies: &[Reply],
    reading: Reading,
    unmatched: Unmatched,
) -> Result<Scores> {
    let paired = pair(questions, replies, unmatched)?;
    let verdict = |(question, reply): &(&Question, &Reply)| {
        let chosen = question.choice(&reply.text, reading);
        Verdict { id: question.id.clone(), chosen, correct: chosen == Some(question.answer) }
    };
    let verdicts: Vec<Verdict> = paired.pairs.iter().map(verdict).collect();
    let mut groups: BTreeMap<String, BTreeMap<String, Vec<&Verdict>>> = BTreeMap::new();
    for ((question, _), verdict) in paired.pairs.iter().zip(&verdicts) {
        for (name, value) in &question.groups {
            groups.entry(name.clone()).or_default().entry(value.clone()).or_default().push(verdict);
        }
    }
    let scored = |(value, own): (String, Vec<&Verdict>)| (value, GroupScores::of(&own));
    let by_group =
        groups.into_iter().map(|(name, values)| (name, values.into_iter().map(scored).collect())).collect();
    let all = GroupScores::of(&verdicts.iter().collect::<Vec<_>>());
    Ok(Scores { coverage: paired.coverage, all, by_group, verdicts })
}
