//! What the checks say about one question with its answer, and what is refused for it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What the checks say about one question with its answer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scores {
    /// The sample.
    pub id: String,
    /// The number of the question in it.
    pub pair: usize,
    /// What is wrong with the words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<String>,
    /// What is wrong with the masks by themselves.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub masks: Option<String>,
    /// Whether an earlier question says the same.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub repeated: bool,
    /// What records speak against, each with their folder before it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub records: Vec<String>,
    /// Log-probability of the answer for its object, less that for the other object of the video that it fits best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cycle: Option<f64>,
    /// Mean log-probability of a token of the answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub likely: Option<f64>,
    /// Why the model could not be asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<String>,
}

/// The scores of a file, the last of each question; a line that a kill cut off at the end is none.
///
/// # Errors
/// The file cannot be read, or holds a line that is no score.
pub fn read(path: &Path) -> Result<Vec<Scores>> {
    let text = std::fs::read(path).map_err(|source| Error::Io { path: path.to_owned(), source })?;
    let (mut all, mut places): (Vec<Scores>, HashMap<(String, usize), usize>) = Default::default();
    for (number, line) in whole_lines(&text).split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let one: Scores = serde_json::from_slice(line).map_err(|error| Error::BadFile {
            path: path.to_owned(),
            reason: format!("line {}: {error}", number + 1),
        })?;
        match places.entry((one.id.clone(), one.pair)) {
            Entry::Occupied(known) => all[*known.get()] = one,
            Entry::Vacant(place) => {
                place.insert(all.len());
                all.push(one);
            }
        }
    }
    Ok(all)
}

/// Lines with their end.
pub(super) fn whole_lines(text: &[u8]) -> &[u8] {
    &text[..text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1)]
}

/// What becomes of a question that records speak against.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Against {
    /// Records do not count.
    Kept,
    /// It is refused.
    Refused,
    /// It is refused unless the model finds a token of its answer at least this likely: records are wrong, too.
    UnlessLikely(f64),
}

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limits {
    /// What has a fault in its words or masks, or was said before.
    pub form: bool,
    /// What records speak against.
    pub records: Against,
    /// What scores less in the cycle.
    pub cycle: Option<f64>,
    /// What is less likely.
    pub likely: Option<f64>,
}

impl Limits {
    /// Nothing is refused.
    pub const NONE: Self = Self { form: false, records: Against::Kept, cycle: None, likely: None };

    /// Why a question is refused, the check first; `None` where it is kept. A question that the model could not be asked about is
    /// refused where the model counts.
    pub fn refusal(&self, scores: &Scores) -> Option<(&'static str, String)> {
        if self.form {
            let words = scores.words.clone().map(|reason| ("words", reason));
            let masks = scores.masks.clone().map(|reason| ("masks", reason));
            let repeated =
                scores.repeated.then(|| ("repeated", "an earlier question says the same".to_owned()));
            if let Some(refusal) = words.or(masks).or(repeated) {
                return Some(refusal);
            }
        }
        if let Some(reason) = scores.records.first() {
            let outweighed = match self.records {
                Against::Kept => true,
                Against::Refused => false,
                Against::UnlessLikely(limit) => scores.likely.is_some_and(|likely| likely >= limit),
            };
            if !outweighed {
                return Some(("records", reason.clone()));
            }
        }
        if let Some(reason) = &scores.failed
            && (self.cycle.is_some() || self.likely.is_some())
        {
            return Some(("model", reason.clone()));
        }
        let below = |score: Option<f64>, limit: Option<f64>| {
            let (score, limit) = (score?, limit?);
            // A score that is no number passes no limit.
            (score.is_nan() || score < limit).then(|| format!("{score:.3} is below {limit:.3}"))
        };
        below(scores.cycle, self.cycle)
            .map(|reason| ("cycle", reason))
            .or_else(|| below(scores.likely, self.likely).map(|reason| ("likely", reason)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_check_that_refuses_is_named() {
        let scores = Scores {
            words: Some("it is empty".to_owned()),
            records: vec!["a: none".to_owned()],
            cycle: Some(-1.0),
            likely: Some(f64::NAN),
            ..Scores::default()
        };
        assert_eq!(Limits::NONE.refusal(&scores), None);
        let all = Limits { form: true, records: Against::Refused, cycle: Some(0.0), likely: Some(-9.0) };
        assert_eq!(all.refusal(&scores).unwrap().0, "words");
        assert_eq!(
            Limits { form: false, ..all }.refusal(&scores).unwrap(),
            ("records", "a: none".to_owned())
        );
        let model = Limits { form: false, records: Against::Kept, ..all };
        assert_eq!(model.refusal(&scores).unwrap(), ("cycle", "-1.000 is below 0.000".to_owned()));
        assert_eq!(Limits { cycle: Some(-2.0), ..model }.refusal(&scores).unwrap().0, "likely");
        let twice = Scores { repeated: true, masks: Some("none".to_owned()), ..Scores::default() };
        assert_eq!(all.refusal(&twice).unwrap().0, "masks");
        assert_eq!(all.refusal(&Scores { masks: None, ..twice }).unwrap().0, "repeated");
        let sure = Scores { records: scores.records.clone(), likely: Some(-0.1), ..Scores::default() };
        for (limit, refused) in [(-0.2, false), (0.0, true)] {
            let limits = Limits { records: Against::UnlessLikely(limit), ..Limits::NONE };
            assert_eq!(limits.refusal(&sure).is_some(), refused);
        }
        let failed = Scores { failed: Some("no video".to_owned()), ..Scores::default() };
        assert_eq!((model.refusal(&failed).unwrap().0, Limits::NONE.refusal(&failed)), ("model", None));
    }
}
