//! QVHighlights as questions about moments with four answers: which of four queries happens in the longest relevant window of
//! one of them. Three are of other videos; where a query comes with the masks of its object (`grounded.rs`), what else that
//! object does comes first, and all say what "it" does.

use std::path::Path;

use serde_json::json;
use strefer_core::sample::Region;

use super::benchmark::Benchmark;
use super::catalogue::BenchOptions;
use super::choices::Choices;
use super::item::{Other, bracketed};
use super::moment_questions::{is_apart, moment, own_window};
use super::moments::Queries;
use super::prompt::Words;
use crate::choice::{self, Question};
use crate::error::{Error, Result};
use crate::qvhighlights::Annotation;
use crate::records::BenchRecord;

const OPTIONS: usize = 4;

/// FNV-1a, 64 bits.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The first three queries of other videos that are `wanted`, or as many as there are, in the order of hashes of both ids.
fn distractors<'a>(
    annotation: &Annotation,
    all: &'a [Annotation],
    mut wanted: impl FnMut(&'a Annotation) -> bool,
) -> Vec<&'a Annotation> {
    let others = all.iter().filter(|other| other.vid != annotation.vid);
    let hash = |other: &Annotation| fnv(&format!("{}:{}", annotation.qid, other.qid));
    let mut ranked: Vec<(u64, u64, &Annotation)> =
        others.map(|other| (hash(other), other.qid, other)).collect();
    let (mut chosen, mut sorted) = (Vec::new(), 0);
    // A few are enough nearly always, and sorting all of them for each would take long.
    while chosen.len() < OPTIONS - 1 && sorted < ranked.len() {
        let end = (sorted + 16).min(ranked.len());
        if end < ranked.len() {
            ranked[sorted..].select_nth_unstable_by_key(end - sorted, |&(hash, qid, _)| (hash, qid));
        }
        ranked[sorted..end].sort_unstable_by_key(|&(hash, qid, _)| (hash, qid));
        chosen.extend(ranked[sorted..end].iter().map(|&(_, _, other)| other).filter(|other| wanted(other)));
        sorted = end;
    }
    chosen.truncate(OPTIONS - 1);
    chosen
}

/// Makes a sentence of a query.
fn sentence(text: &mut String) {
    if let Some(first) = text.chars().next() {
        let capital: String = first.to_uppercase().collect();
        text.replace_range(..first.len_utf8(), &capital);
    }
    if !text.ends_with(['.', '!', '?']) {
        text.push('.');
    }
}

/// What is asked about one query.
struct Asked {
    /// The answers, without letters.
    texts: Vec<String>,
    answer: usize,
    /// The object, where its masks are shown.
    object: Option<String>,
    other: Option<Other>,
}

/// The answers, the right one at a place that goes round.
fn placed(qid: u64, right: String, mut others: Vec<String>) -> (Vec<String>, usize) {
    let answer = ((qid % OPTIONS as u64) as usize).min(others.len());
    others.insert(answer, right);
    (others, answer)
}

/// In words: the query and those of three other videos.
fn in_words(annotation: &Annotation, all: &[Annotation]) -> Asked {
    let others = distractors(annotation, all, |_| true).iter().map(|other| other.query.clone()).collect();
    let (texts, answer) = placed(annotation.qid, annotation.query.clone(), others);
    Asked { texts, answer, object: None, other: None }
}

/// What a query says of "it", where it is about one masked object, called `object` in its words.
fn of_it<'a>(queries: &'a Queries, annotation: &'a Annotation, object: &str) -> Option<(String, &'a Region)> {
    let (query, [region]) = queries.grounded.of(annotation) else { return None };
    Some((query.replace(object, "it"), region))
}

/// About a masked object: what it does, what else it does in the video, and what others do in other videos. What it does
/// in the same window besides is no wrong answer, and is not offered.
fn about_it(queries: &Queries, annotation: &Annotation, object: &str) -> Option<Asked> {
    let all = &queries.annotations;
    let (right, region) = of_it(queries, annotation, object)?;
    let window = own_window(annotation);
    let mut known = vec![right.clone()];
    let mut is_new = |words: &String| {
        let new = !known.contains(words);
        if new {
            known.push(words.clone());
        }
        new
    };
    let same = all.iter().filter(|other| other.vid == annotation.vid && other.qid != annotation.qid);
    let mut elsewhere: Vec<(String, &Annotation)> = same
        .filter_map(|other| {
            let (words, its) = of_it(queries, other, object)?;
            let another = its.masks == region.masks && is_new(&words);
            (another && is_apart(window, &other.relevant_windows)).then_some((words, other))
        })
        .collect();
    elsewhere.truncate(OPTIONS - 1);
    let words_of = |other: &Annotation| of_it(queries, other, object).map(|(words, _)| words);
    let strangers = distractors(annotation, all, |other| words_of(other).is_some_and(|words| is_new(&words)));
    let mut others: Vec<String> = elsewhere.iter().map(|(words, _)| words.clone()).collect();
    others.extend(strangers.into_iter().filter_map(words_of));
    others.truncate(OPTIONS - 1);
    let (texts, answer) = placed(annotation.qid, right, others);
    // At the moments of something else that it does, that is right.
    let other = elsewhere.iter().find_map(|(words, other)| {
        let window = own_window(other);
        let answer = texts.iter().position(|text| text == words);
        let is_other = is_apart(window, &annotation.relevant_windows);
        is_other.then(|| Other { regions: None, times_s: Some(window.to_vec()), answer })
    });
    Some(Asked { texts, answer, object: Some(object.to_owned()), other })
}

/// What happens in the longest relevant window: its query and those of three other videos, or what its object does.
pub(super) fn open(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let queries = Queries::open("qvhighlights-choice", root, options)?;
    let words = options.prompt.clone().map_or_else(Words::moment_choice, Words::of);
    let reading = options.reading.unwrap_or(choice::Reading::MvBenchFirstWord);
    let mut all = Choices::new("QVHighlights, timestamp choice", reading, words);
    all.about.probes = queries.probes();
    all.about.facts = queries.facts(all.about.facts);
    let object = options.objects.of(0);
    for annotation in &queries.annotations {
        let about_it = about_it(&queries, annotation, &object);
        let Asked { texts, answer, object, other } =
            about_it.unwrap_or_else(|| in_words(annotation, &queries.annotations));
        if texts.len() < OPTIONS {
            return Err(Error::Record {
                path: root.join("qvhighlights"),
                record: annotation.key(),
                reason: format!("it needs three other answers from queries, {} are there", texts.len() - 1),
            });
        }
        let shown = bracketed(&texts);
        let turn = moment(&all.words, json!({ "options": shown, "object": object }))?;
        let mut item = queries.item(annotation, turn);
        if object.is_none() {
            item.sample.regions.clear();
        }
        item.at(&own_window(annotation));
        item.other = other;
        let question = Question {
            id: annotation.key(),
            options: texts,
            answer,
            groups: Default::default(),
            reading: None,
        };
        let bare = match &object {
            Some(object) => format!("What is {object} doing between <time:0> and <time:1>?"),
            None => "What happens between <time:0> and <time:1>?".to_owned(),
        };
        all.push(item, question, &shown, &bare);
        let offer = all.about.items.last_mut().and_then(|item| item.offer.as_mut());
        if let Some(offer) = offer {
            offer.texts.iter_mut().for_each(sentence);
        }
    }
    Ok(Box::new(all))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(qid: u64, vid: &str) -> Annotation {
        Annotation {
            qid,
            query: format!("query {qid}"),
            duration_s: 20.0,
            vid: vid.to_owned(),
            relevant_windows: vec![[0.0, 2.0]],
            relevant_clip_ids: Vec::new(),
            saliency_scores: Vec::new(),
        }
    }

    #[test]
    fn distractors_come_from_other_videos_in_the_order_of_their_hashes() {
        // Published values of FNV-1a.
        assert_eq!((fnv(""), fnv("a")), (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c));
        let all: Vec<Annotation> =
            (0..99).map(|qid| annotation(qid, if qid < 3 { "a" } else { "b" })).collect();
        let mut expected: Vec<u64> = (3..99).collect();
        expected.sort_by_key(|other| (fnv(&format!("0:{other}")), *other));
        let chosen = |wanted: &dyn Fn(&Annotation) -> bool| -> Vec<u64> {
            distractors(&all[0], &all, wanted).iter().map(|other| other.qid).collect()
        };
        assert_eq!(chosen(&|_| true), expected[..3]);
        // Of those that are wanted, however deep they stand.
        assert_eq!(chosen(&|other| expected[40..].contains(&other.qid)), expected[40..43]);
        assert_eq!(chosen(&|other| other.qid == expected[95]), [expected[95]]);
    }
}
