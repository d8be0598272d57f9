//! Which questions have predictions: what is missing or too much is counted, named, and refused unless asked for.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::records::BenchRecord;

/// What may pass when predictions and questions are not the same set. What passes is not scored and stands in
/// [`Coverage`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unmatched {
    /// Questions without a prediction.
    pub allow_missing: bool,
    /// Predictions without a question.
    pub allow_extra: bool,
}

impl Unmatched {
    /// Nothing passes.
    pub const REFUSE: Self = Self { allow_missing: false, allow_extra: false };
    /// Only what is in both is scored.
    pub const LEAVE_OUT: Self = Self { allow_missing: true, allow_extra: true };

    /// Gives the coverage back if it may pass; where nothing matches it may not.
    pub(crate) fn admit(self, coverage: Coverage) -> Result<Coverage> {
        let missing = !self.allow_missing && !coverage.missing.is_empty();
        let extra = !self.allow_extra && !coverage.extra.is_empty();
        if missing || extra || coverage.matched == 0 {
            return Err(Error::Unmatched { coverage });
        }
        Ok(coverage)
    }
}

/// Which questions have predictions.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// How many questions have one.
    pub matched: usize,
    /// Questions without a prediction.
    pub missing: Vec<String>,
    /// Predictions without a question.
    pub extra: Vec<String>,
}

impl Coverage {
    /// Whether every question has a prediction and every prediction a question.
    pub fn is_complete(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty()
    }
}

/// Questions beside their predictions, in the order of the questions.
#[derive(Debug)]
pub struct Paired<'a, Q, P> {
    /// What is in both.
    pub pairs: Vec<(&'a Q, &'a P)>,
    /// What is not.
    pub coverage: Coverage,
}

/// Puts predictions beside the questions that they answer.
///
/// # Errors
/// When something is missing or too much and `unmatched` refuses it, or when nothing matches.
pub fn pair<'a, Q: BenchRecord, P: BenchRecord>(
    questions: &'a [Q],
    predictions: &'a [P],
    unmatched: Unmatched,
) -> Result<Paired<'a, Q, P>> {
    let by_key: HashMap<String, &P> = predictions.iter().map(|it| (it.key(), it)).collect();
    let asked: HashSet<String> = questions.iter().map(BenchRecord::key).collect();
    let mut coverage = Coverage::default();
    let mut pairs = Vec::new();
    for question in questions {
        match by_key.get(&question.key()) {
            Some(prediction) => pairs.push((question, *prediction)),
            None => coverage.missing.push(question.key()),
        }
    }
    coverage.matched = pairs.len();
    coverage.extra = predictions.iter().map(BenchRecord::key).filter(|key| !asked.contains(key)).collect();
    Ok(Paired { pairs, coverage: unmatched.admit(coverage)? })
}
