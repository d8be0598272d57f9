//! When all is answered: items in order, scores with intervals, and what every probe costs.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write;

use serde_json::{Map, Value, json};
use strefer_core::jsonl::write_all;

use super::Run;
use super::judged::Rater;
use super::log::{AnswerLine, read_all};
use super::plan::Plan;
use super::record::ItemRecord;
use crate::bench::{Benchmark, Verdicts, View};
use crate::coverage::Unmatched;
use crate::error::Result;
use crate::quiz::{Interval, Share};
use crate::records::Reply;
use crate::sheet::{Line, Sheet, Summary, aligned};
use crate::statistics::{Bootstrap, Difference};

/// What a run came to.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// For people.
    pub table: String,
    /// For programs: `summary.json`.
    pub summary: Value,
    /// Questions without an answer.
    pub unanswered: usize,
}

/// Makes the files of a run that is over.
pub struct Report<'a> {
    /// What was run.
    pub run: &'a Run<'a>,
    /// Who rates answers, where the benchmark needs somebody.
    pub rater: Rater<'a>,
    /// How intervals are drawn.
    pub bootstrap: Bootstrap,
}

/// A view beside the same questions as they are.
struct Beside {
    view: View,
    n: usize,
    value: Option<f64>,
    real: Option<f64>,
    drop: Option<Difference>,
    follows: Option<Share>,
}

impl Report<'_> {
    /// Writes `items*.jsonl`, `summary.json` and `table.md`.
    ///
    /// # Errors
    /// Files that cannot be read or written.
    pub fn write(&self) -> Result<Outcome> {
        let lines = read_all(&self.run.folder.path(""))?;
        let mut unanswered = Vec::new();
        let mut said: BTreeMap<View, Vec<ItemRecord>> = BTreeMap::new();
        for &view in &self.run.record.views {
            let mut records = self.items(view, &lines)?;
            self.judge(&mut records);
            let silent = records.iter().filter(|record| record.prediction_text.is_none());
            unanswered.extend(silent.map(|record| match view {
                View::Real => record.id.clone(),
                _ => format!("{} ({view})", record.id),
            }));
            let name = match view {
                View::Real => "items.jsonl".to_owned(),
                _ => format!("items-{view}.jsonl"),
            };
            write_all(self.run.folder.path(&name), &records)?;
            said.insert(view, records);
        }
        let outcome = self.outcome(&said, unanswered)?;
        let text = serde_json::to_string_pretty(&outcome.summary).expect("a summary is plain JSON");
        self.run.folder.write("summary.json", &format!("{text}\n"))?;
        self.run.folder.write("table.md", &outcome.table)?;
        Ok(outcome)
    }

    /// Items in the benchmark's order; one that nobody came to has no answer.
    fn items(&self, view: View, lines: &HashMap<(View, String), AnswerLine>) -> Result<Vec<ItemRecord>> {
        let mut records = Vec::new();
        for &at in self.run.plan.items.iter().filter(|&&at| self.run.views.fits(view, at)) {
            let id = self.run.benchmark.items()[at].id();
            let missing = || AnswerLine {
                view,
                id: id.to_owned(),
                prompt: String::new(),
                frame_indices: Vec::new(),
                text: None,
                error: Some("it was not asked".to_owned()),
            };
            let line = lines.get(&(view, id.to_owned())).cloned().unwrap_or_else(missing);
            records.push(ItemRecord::new(self.run.benchmark, self.run.views, at, &line)?);
        }
        Ok(records)
    }

    fn outcome(&self, said: &BTreeMap<View, Vec<ItemRecord>>, unanswered: Vec<String>) -> Result<Outcome> {
        let real = said.get(&View::Real).map_or(&[][..], Vec::as_slice);
        let judge = self.rater.map(|(judge, _)| judge.to_json());
        let record = self.run.record;
        let mut summary = json!({
            "benchmark": self.run.record.benchmark,
            "title": self.run.record.title,
            "split": self.run.record.split,
            "headline": self.run.benchmark.headline(),
            "complete": unanswered.is_empty() && self.run.plan.items() == self.run.benchmark.items().len(),
            "n": real.len(),
            "n_benchmark": self.run.benchmark.items().len(),
            "n_published": record.benchmark.published_count(record.split.as_deref()),
            "n_unparsed": real.iter().filter(|it| it.prediction_text.is_some() && it.parsed.is_null()).count(),
            "n_unanswered": unanswered.len(),
            "unanswered": unanswered,
        });
        let mut table = String::new();
        let all = summary.as_object_mut().expect("it was made an object");
        if real.iter().all(|it| it.prediction_text.is_none()) {
            table.push_str("No question was answered.\n");
        } else {
            let sheet = self.sheet(real, judge.as_ref())?;
            let scored = Summary::new(&sheet, None, self.bootstrap)?;
            table += &scored.to_table();
            if let Value::Object(scores) = scored.to_json() {
                let wanted = ["metrics", "scores", "notes", "bootstrap"];
                all.extend(scores.into_iter().filter(|(name, _)| wanted.contains(&name.as_str())));
            }
            all.insert("baselines".to_owned(), baselines(self.run.benchmark, self.run.plan));
            let beside = self.run.record.views.iter().filter(|view| **view != View::Real);
            let beside = beside
                .map(|&view| self.beside(view, real, &said[&view], judge.as_ref()))
                .collect::<Result<Vec<_>>>()?;
            if !beside.is_empty() {
                table += &views_table(&beside, &sheet, self.run.benchmark.headline());
                let entry = |one: &Beside| (one.view.name().to_owned(), one.to_json());
                all.insert("views".to_owned(), beside.iter().map(entry).collect::<Map<_, _>>().into());
                all.insert("reliance".to_owned(), reliance(&beside));
            }
        }
        if !unanswered.is_empty() {
            // Writing to a String cannot fail.
            let _ =
                writeln!(table, "\n{}", crate::error::named("without an answer, in no score", &unanswered));
        }
        all.insert(
            "config".to_owned(),
            json!({
                "questions": self.run.record.questions,
                "answers": self.run.record.answers,
                "judge": judge,
                "seed": self.run.record.seed,
            }),
        );
        Ok(Outcome { table, summary, unanswered: unanswered.len() })
    }

    /// Scores records, by what a judge said of them where one is named.
    pub(super) fn sheet(&self, records: &[ItemRecord], judge: Option<&Value>) -> Result<Sheet> {
        let reply = |it: &ItemRecord| Some(Reply { id: it.id.clone(), text: it.prediction_text.clone()? });
        let replies: Vec<Reply> = records.iter().filter_map(reply).collect();
        let verdict = |it: &ItemRecord| Some((it.id.clone(), it.verdict.clone()?));
        let verdicts = judge.map(|judge| Verdicts {
            judge: judge.clone(),
            replies: records.iter().filter_map(verdict).collect(),
        });
        let mut sheet = self.run.benchmark.sheet(&replies, Unmatched::LEAVE_OUT, verdicts.as_ref())?;
        // What was never asked is told by the number of items; what has no answer is listed on its own.
        sheet.coverage.missing.clear();
        Ok(sheet)
    }

    fn beside(
        &self,
        view: View,
        real: &[ItemRecord],
        own: &[ItemRecord],
        judge: Option<&Value>,
    ) -> Result<Beside> {
        let by_id: HashMap<&str, &ItemRecord> = real.iter().map(|it| (it.id.as_str(), it)).collect();
        let answered = |it: &&ItemRecord| {
            it.prediction_text.is_some()
                && by_id.get(it.id.as_str()).is_some_and(|real| real.prediction_text.is_some())
        };
        let own: Vec<ItemRecord> = own.iter().filter(answered).cloned().collect();
        let same: Vec<ItemRecord> = own.iter().map(|it| by_id[it.id.as_str()].clone()).collect();
        let known = own.iter().filter_map(|it| it.follows);
        let follows = known.fold(Share::default(), |share, follows| Share {
            right: share.right + usize::from(follows),
            of: share.of + 1,
        });
        let mut beside = Beside {
            view,
            n: own.len(),
            value: None,
            real: None,
            drop: None,
            follows: (follows.of > 0).then_some(follows),
        };
        if own.is_empty() {
            return Ok(beside);
        }
        let (own, same) = (self.sheet(&own, judge)?, self.sheet(&same, judge)?);
        let headline =
            |sheet: &'_ Sheet| sheet.lines.iter().position(|line| line.name == self.run.benchmark.headline());
        if let (Some(own_at), Some(same_at)) = (headline(&own), headline(&same)) {
            let (own, same): (&Line, &Line) = (&own.lines[own_at], &same.lines[same_at]);
            (beside.value, beside.real) = (own.value, same.value);
            let statistics = own.statistic.as_ref().zip(same.statistic.as_ref());
            beside.drop = statistics.map(|(own, same)| self.bootstrap.compare(own, same));
        }
        Ok(beside)
    }
}

impl Beside {
    fn to_json(&self) -> Value {
        let mut entry = json!({ "n": self.n, "score": self.value, "real": self.real, "drop": self.drop });
        if let Some(follows) = self.follows {
            entry["follows"] =
                json!({ "share": follows.value(), "n": follows.of, "interval": follows.interval() });
        }
        entry
    }
}

/// By how much the score falls with another mask, and with other times: what answers rest on.
fn reliance(beside: &[Beside]) -> Value {
    let drop = |view: View| beside.iter().find(|it| it.view == view).and_then(|it| it.drop);
    json!({
        "mask": drop(View::OtherMask),
        "time": drop(View::ShuffledTimes),
        "video": drop(View::NoVideo),
    })
}

/// A wording that is asked so often has a best answer.
const OFTEN: usize = 10;

/// What needs no looking: chance, the best position of an answer, the best answer to each wording of a question.
fn baselines(benchmark: &dyn Benchmark, plan: &Plan) -> Value {
    let (mut n, mut chance) = (0_usize, 0.0);
    let mut positions: BTreeMap<usize, usize> = BTreeMap::new();
    let mut answers: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    for &at in &plan.items {
        let item = &benchmark.items()[at];
        let Some(offer) = &item.offer else { continue };
        let label = item.label.as_str();
        let Some(right) = offer.replies.iter().position(|reply| Some(reply.as_str()) == label) else {
            continue;
        };
        n += 1;
        chance += 1.0 / offer.replies.len() as f64;
        *positions.entry(right).or_default() += 1;
        *answers.entry(&offer.question).or_default().entry(&offer.texts[right]).or_default() += 1;
    }
    if n == 0 {
        return Value::Null;
    }
    let percent = |part: usize, whole: usize| (whole > 0).then(|| 100.0 * part as f64 / whole as f64);
    // Of a wording that is asked a few times only, the best answer says nothing.
    let counts = answers.values().map(|counts| (counts.values().max(), counts.values().sum::<usize>()));
    let often: Vec<(Option<&usize>, usize)> = counts.filter(|(_, asked)| *asked >= OFTEN).collect();
    let best: usize = often.iter().filter_map(|(most, _)| *most).sum();
    let asked_often: usize = often.iter().map(|(_, asked)| asked).sum();
    json!({
        "n": n,
        "chance_pct": 100.0 * chance / n as f64,
        "best_position_pct": percent(positions.values().copied().max().unwrap_or(0), n),
        "best_answer_to_each_wording_pct": percent(best, asked_often),
        "n_asked_often": asked_often,
    })
}

/// The headline in every view, with what it loses.
fn views_table(beside: &[Beside], sheet: &Sheet, headline: &str) -> String {
    let line = sheet.lines.iter().find(|line| line.name == headline);
    let decimals = line.map_or(1, |line| line.decimals);
    let number = |value: Option<f64>| value.map_or("-".to_owned(), |value| format!("{value:.decimals$}"));
    let range = |Interval { low, high }: Interval| format!("{low:.decimals$} to {high:.decimals$}");
    let head = ["", "n", headline, "as it is", "drop", "95 % interval", "p", "true of what was put in, %"];
    let row = |one: &Beside| {
        vec![
            one.view.name().to_owned(),
            one.n.to_string(),
            number(one.value),
            number(one.real),
            one.drop.map(|it| format!("{:+.decimals$}", it.mean)).unwrap_or_default(),
            one.drop.map(|it| range(it.interval)).unwrap_or_default(),
            one.drop.map(|it| format!("{:.3}", it.p_value)).unwrap_or_default(),
            one.follows.map_or("-".to_owned(), |it| format!("{:.1} of {}", 100.0 * it.value(), it.of)),
        ]
    };
    let rows: Vec<Vec<String>> = beside.iter().map(row).collect();
    format!("\n{}", aligned(&head.map(str::to_owned), &rows))
}
