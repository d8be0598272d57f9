//! NExT-QA, answers in words: `nextqa/<split>_oe.csv`, `nextqa/add_reference_answer_<split>.json` where there is one,
//! `nextqa/map_vid_vidorID.json`, `nextqa/NExTVideo/<path>.mp4`; for the score `nextqa/stopwords.txt` and WordNet's files in
//! `nextqa/wordnet/`.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};

use super::benchmark::{About, Benchmark, Reading, Verdicts};
use super::catalogue::BenchOptions;
use super::item::Item;
use super::layout::Layout;
use super::prompt::Words;
use super::tables::NextQaVideos;
use super::view::View;
use crate::choice::next_qa_groups;
use crate::coverage::{Unmatched, pair};
use crate::error::{Error, Result};
use crate::records::{BenchRecord, Reply, checked, read_json};
use crate::sheet::{Line, Note, Sheet};
use crate::statistics::Statistic;
use crate::wups::{WordNet, Wups};

/// A row of the table. Some copies have the additional answer in it.
#[derive(Debug, Deserialize)]
struct Row {
    video: String,
    question: String,
    answer: String,
    qid: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    additional_ref_answer: Option<String>,
}

/// What is true.
#[derive(Debug, Deserialize)]
struct Truth {
    id: String,
    groups: BTreeMap<String, String>,
    /// Words of every reference.
    references: Vec<Vec<String>>,
    /// Nothing but the same words will do: counts and yes or no.
    exact: bool,
}

impl BenchRecord for Truth {
    fn key(&self) -> String {
        self.id.clone()
    }

    fn fault(&self) -> Option<String> {
        None
    }
}

struct Open {
    about: About,
    truths: Vec<Truth>,
    wups: Wups,
}

pub(super) fn open(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("nextqa-open", root, "nextqa");
    let split = options.split.as_deref().unwrap_or("test");
    let names = [&format!("{split}_oe.csv"), "map_vid_vidorID.json", "stopwords.txt", "wordnet"];
    let [file, map, stop, dict] = layout.files(names)?;
    let videos = NextQaVideos::open(&layout, map)?;
    let stop_text = std::fs::read_to_string(&stop).map_err(|source| Error::Io { path: stop, source })?;
    let stop = stop_text.lines().map(|line| line.trim().to_owned()).collect();
    let wups = Wups { words: WordNet::open(&dict)?, stop };
    let more = file.with_file_name(format!("add_reference_answer_{split}.json"));
    let more: HashMap<String, HashMap<String, String>> =
        if more.exists() { read_json(&more)? } else { HashMap::new() };

    let words = options.prompt.clone().map_or_else(Words::few_words, Words::of);
    let refuse = |record: String, reason: String| Error::Record { path: file.clone(), record, reason };
    let mut table =
        csv::Reader::from_path(&file).map_err(|error| refuse("the table".to_owned(), error.to_string()))?;
    let (mut items, mut truths) = (Vec::new(), Vec::new());
    for (at, row) in table.deserialize::<Row>().enumerate() {
        // The first line names the columns.
        let row = row.map_err(|error| refuse(format!("row {}", at + 2), error.to_string()))?;
        let id = format!("{}/{}", row.video, row.qid);
        let groups = next_qa_groups(&row.kind)
            .ok_or_else(|| refuse(id.clone(), format!("its type {:?} is none of NExT-QA's", row.kind)))?;
        let groups = groups.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let listed = more.get(&row.video).and_then(|answers| answers.get(&row.qid)).cloned();
        let second = row.additional_ref_answer.filter(|answer| !answer.trim().is_empty()).or(listed);
        let answers: Vec<String> = std::iter::once(row.answer).chain(second).collect();
        let turn = words.turn(json!({ "question": row.question.trim().trim_end_matches('?') }))?;
        let mut item = Item::new(id.clone(), videos.of(&row.video, &id)?, turn);
        item.max_new_tokens = 32;
        item.groups = groups.clone().into();
        item.label = json!(answers);
        item.right = answers.first().cloned();
        items.push(item);
        truths.push(Truth {
            id,
            groups: groups.into(),
            references: answers.iter().map(|answer| wups.clean(answer)).collect(),
            exact: matches!(row.kind.as_str(), "DC" | "DB"),
        });
    }
    let truths = checked(&file, truths.into_iter().map(|truth| (truth, None)))?;
    let about = About {
        title: "NExT-QA, open-ended",
        headline: "WUPS@0",
        items,
        probes: View::OF_ORDER.to_vec(),
        facts: json!({ "prompt": words.to_json(), "lemmas": "WordNet's shortest, without a tagger" }),
    };
    Ok(Box::new(Open { about, truths, wups }))
}

impl Open {
    fn score(&self, truth: &Truth, said: &[String]) -> f64 {
        let one = |reference: &Vec<String>| match truth.exact {
            true => f64::from(u8::from(said == reference.as_slice())),
            false => self.wups.alike(said, reference),
        };
        truth.references.iter().map(one).fold(0.0, f64::max)
    }
}

impl Benchmark for Open {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, item: usize, text: &str) -> Reading {
        let said = self.wups.clean(text);
        let score = Some(self.score(&self.truths[item], &said));
        Reading { parsed: if said.is_empty() { Value::Null } else { json!(said) }, score, chosen: None }
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, _: Option<&Verdicts>) -> Result<Sheet> {
        let paired = pair(&self.truths, replies, unmatched)?;
        let said: Vec<Vec<String>> =
            paired.pairs.iter().map(|(_, reply)| self.wups.clean(&reply.text)).collect();
        let scores: Vec<f64> = paired
            .pairs
            .iter()
            .zip(&said)
            .map(|((truth, _), said)| 100.0 * self.score(truth, said))
            .collect();
        let line = |name: String, counts: &dyn Fn(&Truth) -> bool| {
            let of = paired.pairs.iter().zip(&scores);
            let counted = of.map(|((truth, _), score)| counts(truth).then_some(*score)).collect();
            Line::of(name, "%", 2, Statistic::mean(counted))
        };
        let mut groups: Vec<(&String, &String)> =
            paired.pairs.iter().flat_map(|(truth, _)| &truth.groups).collect();
        groups.sort();
        groups.dedup();
        let all = std::iter::once(line(self.headline().to_owned(), &|_| true));
        let own = groups.into_iter().map(|(name, value)| {
            line(format!("{name}: {value}"), &|truth| truth.groups.get(name) == Some(value))
        });
        let lines: Vec<Line> = all.chain(own).collect();
        let silent = paired.pairs.iter().zip(&said).filter(|(_, said)| said.is_empty());
        let silent = silent.map(|((truth, _), _)| truth.id.clone()).collect();
        Ok(Sheet {
            benchmark: self.title(),
            coverage: paired.coverage.clone(),
            notes: Note::about("answered with no word that counts", silent).into_iter().collect(),
            metrics: lines.iter().map(|line| (line.name.clone(), json!(line.value))).collect(),
            lines,
        })
    }
}
