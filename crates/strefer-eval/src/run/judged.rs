//! Answers that a judge rates, and two runs beside each other.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use serde_json::Value;
use strefer_core::jsonl::Reader;

use super::gather::Report;
use super::record::ItemRecord;
use crate::error::{Error, Result};
use crate::judge::Judge;
use crate::records::read_json;
use crate::sheet::Summary;

/// Who is asked about answers that have no score of their own, and what is called after each of them.
pub type Rater<'a> = Option<(&'a Judge<'a>, &'a (dyn Fn() + Sync))>;

impl Report<'_> {
    /// This run beside another one of the same questions: what it is better by, and how sure that is.
    ///
    /// # Errors
    /// A folder without items, or a run that answers other questions.
    pub fn compare(&self, other: &Path) -> Result<String> {
        let answered = |dir: &Path| -> Result<Vec<ItemRecord>> {
            let items: strefer_core::Result<Vec<ItemRecord>> =
                Reader::open(dir.join("items.jsonl"))?.collect();
            Ok(items?.into_iter().filter(|it| it.prediction_text.is_some()).collect())
        };
        let dir = self.run.folder.path("");
        let (own, mut theirs) = (answered(&dir)?, answered(other)?);
        let only = |these: &[ItemRecord], those: &[ItemRecord]| -> Vec<String> {
            let known: HashSet<&str> = those.iter().map(|it| it.id.as_str()).collect();
            these.iter().filter(|it| !known.contains(it.id.as_str())).map(|it| it.id.clone()).collect()
        };
        let (own_only, other_only) = (only(&own, &theirs), only(&theirs, &own));
        if !own_only.is_empty() || !other_only.is_empty() {
            return Err(Error::OtherQuestions { own_only, other_only });
        }
        if own.iter().chain(&theirs).any(|it| it.verdict.is_some()) {
            let (by, their_judge) = (judge_of(&dir)?, judge_of(other)?);
            // Ratings by two judges are no pairs: ours is asked about the other answers, too.
            if by != their_judge || theirs.iter().all(|it| it.verdict.is_none()) {
                if self.rater.is_none() {
                    let reason =
                        "it was judged by another judge, or by none: name this run's judge".to_owned();
                    return Err(Error::Run { dir: other.to_owned(), reason });
                }
                self.judge(&mut theirs);
            }
            let (own, theirs) = (self.sheet(&own, Some(&by))?, self.sheet(&theirs, Some(&by))?);
            return Ok(Summary::new(&own, Some(&theirs), self.bootstrap)?.to_table());
        }
        let (own, theirs) = (self.sheet(&own, None)?, self.sheet(&theirs, None)?);
        Ok(Summary::new(&own, Some(&theirs), self.bootstrap)?.to_table())
    }

    /// Has answers rated that have no score of their own; what the judge does not reply to has no rating.
    pub(super) fn judge(&self, records: &mut [ItemRecord]) {
        let Some((judge, each)) = self.rater else { return };
        let benchmark = self.run.benchmark;
        let ids = benchmark.items().iter().enumerate().map(|(at, item)| (item.id(), at));
        let places: HashMap<&str, usize> = ids.collect();
        let (mut asked, mut questions) = (Vec::new(), Vec::new());
        for record in records {
            let at = places.get(record.id.as_str()).copied();
            let text = record.prediction_text.as_deref();
            let question = at.zip(text).and_then(|(at, text)| Some((at, benchmark.judged(at, text)?)));
            if let Some((at, question)) = question {
                (record.score, record.verdict) = (None, None);
                record.points.clear();
                asked.push((at, record));
                questions.push(question);
            }
        }
        for ((at, record), reply) in asked.into_iter().zip(judge.ask(&questions, each)) {
            if let Ok(reply) = reply {
                record.judge(benchmark, at, reply);
            }
        }
    }
}

/// Who judged the run of a folder; null when nobody did.
fn judge_of(dir: &Path) -> Result<Value> {
    let summary: Value = read_json(&dir.join("summary.json"))?;
    Ok(summary["config"]["judge"].clone())
}
