//! QVHighlights as questions about moments, as choices of four and as yes or no. How Strefer made its own is not
//! published; these are made of the same annotations by a fixed rule.

use std::path::Path;

use serde_json::{Value, json};

use super::benchmark::{About, Benchmark, Reading, Verdicts};
use super::catalogue::BenchOptions;
use super::choices::Choices;
use super::item::{Item, Other, bracketed, video};
use super::moments::annotations;
use super::prompt::Words;
use super::view::View;
use crate::choice::{self, Question};
use crate::coverage::{Unmatched, pair};
use crate::error::{Error, Result};
use crate::qvhighlights::{Annotation, CLIP_S};
use crate::records::{BenchRecord, Reply};
use crate::sheet::{Line, Sheet};
use crate::statistics::Statistic;

const OPTIONS: usize = 4;

/// The longest of the relevant windows, the earliest of several.
fn own_window(annotation: &Annotation) -> [f64; 2] {
    let mut longest = [0.0, 0.0];
    for &[start_s, end_s] in &annotation.relevant_windows {
        let longer = end_s - start_s - (longest[1] - longest[0]);
        if longer > 0.0 || (longer == 0.0 && start_s < longest[0]) {
            longest = [start_s, end_s];
        }
    }
    longest
}

/// The earliest window on the grid of clips that is as long as `like` and touches no relevant window.
fn empty_window(annotation: &Annotation, like: [f64; 2]) -> Option<[f64; 2]> {
    let length_s = like[1] - like[0];
    let starts = (0..annotation.n_clips()).map(|clip| CLIP_S * clip as f64);
    let free = |&[start_s, end_s]: &[f64; 2]| {
        end_s <= annotation.duration_s
            && annotation.relevant_windows.iter().all(|&[from_s, to_s]| end_s <= from_s || to_s <= start_s)
    };
    starts.map(|start_s| [start_s, start_s + length_s]).find(free)
}

/// FNV-1a, 64 bits.
fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// The queries of three other videos.
fn distractors<'a>(annotation: &Annotation, all: &'a [Annotation]) -> Vec<&'a str> {
    let others = all.iter().filter(|other| other.vid != annotation.vid);
    let mut ranked: Vec<(u64, u64, &str)> = others
        .map(|other| (fnv(&format!("{}:{}", annotation.qid, other.qid)), other.qid, other.query.as_str()))
        .collect();
    let wanted = (OPTIONS - 1).min(ranked.len());
    if wanted < ranked.len() {
        ranked.select_nth_unstable(wanted);
        ranked.truncate(wanted);
    }
    ranked.sort_unstable();
    ranked.into_iter().map(|(_, _, query)| query).collect()
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

fn moment(words: &Words, mut facts: Value) -> Result<String> {
    facts["start"] = "<time:0>".into();
    facts["end"] = "<time:1>".into();
    words.turn(facts)
}

/// What happens in the longest relevant window: its query and those of three other videos.
pub(super) fn choice(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let (annotations, uri) = annotations("qvhighlights-choice", root, options)?;
    let words = options.prompt.clone().map_or_else(Words::moment_choice, Words::of);
    let reading = options.reading.unwrap_or(choice::Reading::MvBenchFirstWord);
    let mut all = Choices::new("QVHighlights, timestamp choice", reading, words);
    all.about.probes = View::OF_TIMES.to_vec();
    for annotation in &annotations {
        let others = distractors(annotation, &annotations);
        if others.len() + 1 < OPTIONS {
            return Err(Error::Record {
                path: root.join("qvhighlights"),
                record: annotation.key(),
                reason: format!("it needs queries of three other videos, {} are there", others.len()),
            });
        }
        let answer = (annotation.qid % OPTIONS as u64) as usize;
        let mut texts: Vec<String> = others.into_iter().map(str::to_owned).collect();
        texts.insert(answer, annotation.query.clone());
        let shown = bracketed(&texts);
        let turn = moment(&all.words, json!({ "options": shown }))?;
        let mut item = Item::new(annotation.key(), video(uri(annotation)), turn);
        item.at(&own_window(annotation));
        let question = Question {
            id: annotation.key(),
            options: texts,
            answer,
            groups: Default::default(),
            reading: None,
        };
        all.push(item, question, &shown, "What happens between <time:0> and <time:1>?");
        let offer = all.about.items.last_mut().and_then(|item| item.offer.as_mut());
        if let Some(offer) = offer {
            offer.texts.iter_mut().for_each(sentence);
        }
    }
    Ok(Box::new(all))
}

/// Whether the query happens: every other one is asked about a window in which it does not, where there is one.
pub(super) fn yes_no(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let (annotations, uri) = annotations("qvhighlights-yes-no", root, options)?;
    let words = options.prompt.clone().map_or_else(Words::moment_yes_no, Words::of);
    let reading = options.reading.unwrap_or(choice::Reading::YesNo);
    let mut all = Choices::new("QVHighlights, timestamp yes/no", reading, words);
    all.about.probes = View::OF_TIMES.to_vec();
    for (at, annotation) in annotations.iter().enumerate() {
        let own = own_window(annotation);
        let empty = empty_window(annotation, own);
        let (window, other, answer, form) = match (at % 2, empty) {
            (1, Some(empty)) => (empty, Some(own), 1, "no"),
            (1, None) => (own, None, 0, "yes, as it happens all the time"),
            (_, empty) => (own, empty, 0, "yes"),
        };
        let turn = moment(&all.words, json!({ "query": annotation.query }))?;
        let bare = turn.trim_start_matches("<video>\n").to_owned();
        let mut item = Item::new(annotation.key(), video(uri(annotation)), turn);
        item.at(&window);
        item.other = other.map(|other| Other {
            regions: None,
            times_s: Some(other.to_vec()),
            answer: Some(1 - answer),
        });
        let texts = ["Yes.", "No."].map(str::to_owned);
        let question = Question {
            id: annotation.key(),
            options: ["yes", "no"].map(str::to_owned).to_vec(),
            answer,
            groups: [("form".to_owned(), form.to_owned())].into(),
            reading: None,
        };
        all.push(item, question, &texts, &bare);
    }
    all.about.headline = "balanced accuracy";
    Ok(Box::new(YesNo(all)))
}

/// Questions whose answer is yes or no: also what a constant answer cannot get.
struct YesNo(Choices);

impl Benchmark for YesNo {
    fn about(&self) -> &About {
        &self.0.about
    }

    fn read(&self, item: usize, text: &str) -> Reading {
        self.0.read(item, text)
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, verdicts: Option<&Verdicts>) -> Result<Sheet> {
        let mut sheet = self.0.sheet(replies, unmatched, verdicts)?;
        let paired = pair(&self.0.questions, replies, unmatched)?.pairs;
        let chosen: Vec<(usize, Option<usize>)> = paired
            .iter()
            .map(|(question, reply)| (question.answer, question.choice(&reply.text, self.0.reading)))
            .collect();
        let percent = |holds: bool| if holds { 100.0 } else { 0.0 };
        let of_answer = |answer: usize| {
            chosen
                .iter()
                .map(|&(truth, said)| (truth == answer).then(|| percent(said == Some(truth))))
                .collect()
        };
        let balanced = Statistic::mean_of_means(vec![of_answer(0), of_answer(1)]);
        let yes = Statistic::mean(chosen.iter().map(|(_, said)| Some(percent(*said == Some(0)))).collect());
        sheet.lines.insert(1, Line::of("balanced accuracy", "%", 1, balanced));
        sheet.lines.insert(2, Line::of("answered yes", "%", 1, yes));
        Ok(sheet)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn annotation(qid: u64, vid: &str, windows: &[[f64; 2]]) -> Annotation {
        Annotation {
            qid,
            query: format!("query {qid}"),
            duration_s: 20.0,
            vid: vid.to_owned(),
            relevant_windows: windows.to_vec(),
            relevant_clip_ids: Vec::new(),
            saliency_scores: Vec::new(),
        }
    }

    #[test]
    fn windows_are_the_longest_and_the_first_empty_one() {
        let one = annotation(1, "a", &[[4.0, 8.0], [12.0, 16.0], [18.0, 20.0]]);
        assert_eq!(own_window(&one), [4.0, 8.0]);
        assert_eq!(empty_window(&one, [4.0, 8.0]), Some([0.0, 4.0]));
        let early = annotation(1, "a", &[[0.0, 4.0], [6.0, 8.0]]);
        assert_eq!(empty_window(&early, own_window(&early)), Some([8.0, 12.0]));
        let whole = annotation(1, "a", &[[0.0, 20.0]]);
        assert_eq!(empty_window(&whole, own_window(&whole)), None);
    }

    #[test]
    fn distractors_come_from_other_videos_in_the_order_of_their_hashes() {
        // Published values of FNV-1a.
        assert_eq!((fnv(""), fnv("a")), (0xcbf2_9ce4_8422_2325, 0xaf63_dc4c_8601_ec8c));
        let all: Vec<Annotation> =
            (0..9).map(|qid| annotation(qid, if qid < 3 { "a" } else { "b" }, &[[0.0, 2.0]])).collect();
        let mut expected: Vec<u64> = (3..9).collect();
        expected.sort_by_key(|other| (fnv(&format!("0:{other}")), *other));
        let expected: Vec<String> = expected[..3].iter().map(|qid| format!("query {qid}")).collect();
        assert_eq!(distractors(&all[0], &all), expected);
    }
}
