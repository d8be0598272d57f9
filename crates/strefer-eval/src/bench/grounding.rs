//! When a sentence happens: Charades-STA (`charades/charades_sta_test.txt`, `charades/Charades_v1_480/<id>.mp4`) and
//! ActivityNet Captions (`activitynet/captions/val_2.json`, `activitynet/videos/<id>.mp4|mkv|webm`).

use std::path::Path;

use indexmap::IndexMap;
use serde::Deserialize;
use serde_json::json;

use super::benchmark::{About, Benchmark, Reading, Verdicts};
use super::catalogue::BenchOptions;
use super::item::{Item, in_words, video};
use super::layout::Layout;
use super::prompt::Words;
use super::view::View;
use crate::coverage::Unmatched;
use crate::error::{Error, Result};
use crate::grounding::{Query, score};
use crate::interval::intervals;
use crate::overlap::hull_iou;
use crate::records::{Reply, checked, read_json};
use crate::sheet::Sheet;

struct Grounding {
    about: About,
    queries: Vec<Query>,
}

/// A sentence and when it happens.
struct Sentence {
    query: Query,
    uri: String,
    text: String,
}

impl Grounding {
    fn of(
        title: &'static str,
        file: &Path,
        sentences: Vec<Sentence>,
        options: &BenchOptions,
    ) -> Result<Box<dyn Benchmark>> {
        let words = options.prompt.clone().map_or_else(Words::grounding, Words::of);
        let (mut items, mut queries) = (Vec::new(), Vec::new());
        for Sentence { query, uri, text } in sentences {
            let turn = words.turn(json!({ "query": text.trim().trim_end_matches('.') }))?;
            let mut item = Item::new(query.id.clone(), video(uri), turn);
            item.max_new_tokens = 50;
            item.label = json!(query.window_s);
            item.right = Some(in_words(&[query.window_s]));
            items.push(item);
            queries.push(query);
        }
        let queries = checked(file, queries.into_iter().map(|query| (query, None)))?;
        let facts = json!({ "prompt": words.to_json() });
        let about = About { title, headline: "mIoU", items, probes: View::OF_TIMES.to_vec(), facts };
        Ok(Box::new(Self { about, queries }))
    }
}

pub(super) fn charades(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("charades-sta", root, "charades");
    let split = options.split.as_deref().unwrap_or("test");
    let [file] = layout.files([&format!("charades_sta_{split}.txt")])?;
    let text = std::fs::read_to_string(&file).map_err(|source| Error::Io { path: file.clone(), source })?;
    let mut sentences = Vec::new();
    for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        let (id, window_s, text) = sta_line(line).ok_or_else(|| Error::Record {
            path: file.clone(),
            record: format!("line {}", at + 1),
            reason: format!("expected VIDEO START END##SENTENCE, found {line:?}"),
        })?;
        sentences.push(Sentence {
            query: Query { id: format!("{id}/{at}"), window_s },
            uri: layout.uri(&format!("Charades_v1_480/{id}.mp4")),
            text: text.to_owned(),
        });
    }
    Grounding::of("Charades-STA", &file, sentences, options)
}

/// `VIDEO START END##SENTENCE`
fn sta_line(line: &str) -> Option<(&str, [f64; 2], &str)> {
    let (place, text) = line.split_once("##")?;
    let mut parts = place.split_whitespace();
    let (id, start_s, end_s) = (parts.next()?, parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
    parts.next().is_none().then_some((id, [start_s, end_s], text.trim()))
}

#[derive(Deserialize)]
struct Described {
    timestamps: Vec<[f64; 2]>,
    sentences: Vec<String>,
}

pub(super) fn activity_net(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("activitynet", root, "activitynet");
    let split = options.split.as_deref().unwrap_or("val_2");
    let [file] = layout.files([&format!("captions/{split}.json")])?;
    let mut sentences = Vec::new();
    for (id, described) in read_json::<IndexMap<String, Described>>(&file)? {
        let (n_times, n_sentences) = (described.timestamps.len(), described.sentences.len());
        if n_times != n_sentences {
            let reason = format!("{n_sentences} sentences, {n_times} timestamps");
            return Err(Error::Record { path: file, record: id, reason });
        }
        let uri = layout.first_uri(["mp4", "mkv", "webm"].map(|ending| format!("videos/{id}.{ending}")));
        for (at, (text, [a, b])) in described.sentences.into_iter().zip(described.timestamps).enumerate() {
            sentences.push(Sentence {
                // A few are written end first.
                query: Query { id: format!("{id}/{at}"), window_s: [a.min(b), a.max(b)] },
                uri: uri.clone(),
                text,
            });
        }
    }
    Grounding::of("ActivityNet Captions, grounding", &file, sentences, options)
}

impl Benchmark for Grounding {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, item: usize, text: &str) -> Reading {
        let said_s = intervals(text).first().copied();
        let iou = said_s.map_or(0.0, |said_s| hull_iou(self.queries[item].window_s, said_s));
        Reading { parsed: json!(said_s), score: Some(iou), chosen: None }
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, _: Option<&Verdicts>) -> Result<Sheet> {
        Ok(score(&self.queries, replies, unmatched)?.sheet(self.title()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_charades_are_taken_apart() {
        let line = "3MSZA 24.3 30.4##person turn a light on.";
        assert_eq!(sta_line(line), Some(("3MSZA", [24.3, 30.4], "person turn a light on.")));
        for wrong in ["3MSZA 24.3##x", "3MSZA 24.3 30.4 x", "3MSZA a b##x", "A 1 2 3##x"] {
            assert_eq!(sta_line(wrong), None, "{wrong}");
        }
    }
}
