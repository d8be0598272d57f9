//! QVHighlights as questions about moments, yes or no. How Strefer made its own is not published; these, and the choices of
//! four in `moment_choice.rs`, are made of the same annotations by a fixed rule.

use std::path::Path;

use serde_json::{Value, json};

use super::benchmark::{About, Benchmark, Reading, Verdicts};
use super::catalogue::BenchOptions;
use super::choices::Choices;
use super::item::Other;
use super::moments::Queries;
use super::prompt::Words;
use crate::choice::{self, Question};
use crate::coverage::{Unmatched, pair};
use crate::error::Result;
use crate::qvhighlights::{Annotation, CLIP_S};
use crate::records::{BenchRecord, Reply};
use crate::sheet::{Line, Sheet};
use crate::statistics::Statistic;

/// The longest of the relevant windows, the earliest of several.
pub(super) fn own_window(annotation: &Annotation) -> [f64; 2] {
    let mut longest = [0.0, 0.0];
    for &[start_s, end_s] in &annotation.relevant_windows {
        let longer = end_s - start_s - (longest[1] - longest[0]);
        if longer > 0.0 || (longer == 0.0 && start_s < longest[0]) {
            longest = [start_s, end_s];
        }
    }
    longest
}

/// Whether a window overlaps none of others.
pub(super) fn is_apart([start_s, end_s]: [f64; 2], windows: &[[f64; 2]]) -> bool {
    windows.iter().all(|&[from_s, to_s]| end_s <= from_s || to_s <= start_s)
}

/// The earliest window on the grid of clips that is as long as `like` and touches no relevant window.
fn empty_window(annotation: &Annotation, like: [f64; 2]) -> Option<[f64; 2]> {
    let length_s = like[1] - like[0];
    let starts = (0..annotation.n_clips()).map(|clip| CLIP_S * clip as f64);
    let free = |window: &[f64; 2]| {
        window[1] <= annotation.duration_s && is_apart(*window, &annotation.relevant_windows)
    };
    starts.map(|start_s| [start_s, start_s + length_s]).find(free)
}

/// A turn about the moments from `<time:0>` to `<time:1>`.
pub(super) fn moment(words: &Words, mut facts: Value) -> Result<String> {
    facts["start"] = "<time:0>".into();
    facts["end"] = "<time:1>".into();
    words.turn(facts)
}

/// Whether the query happens: every other one is asked about a window in which it does not, where there is one.
pub(super) fn yes_no(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let queries = Queries::open("qvhighlights-yes-no", root, options)?;
    let words = options.prompt.clone().map_or_else(Words::moment_yes_no, Words::of);
    let reading = options.reading.unwrap_or(choice::Reading::YesNo);
    let mut all = Choices::new("QVHighlights, timestamp yes/no", reading, words);
    all.about.probes = queries.probes();
    all.about.facts = queries.facts(all.about.facts);
    for (at, annotation) in queries.annotations.iter().enumerate() {
        let own = own_window(annotation);
        let empty = empty_window(annotation, own);
        let (window, other, answer, form) = match (at % 2, empty) {
            (1, Some(empty)) => (empty, Some(own), 1, "no"),
            (1, None) => (own, None, 0, "yes, as it happens all the time"),
            (_, empty) => (own, empty, 0, "yes"),
        };
        let turn = moment(&all.words, json!({ "query": queries.grounded.of(annotation).0 }))?;
        let bare = turn.trim_start_matches("<video>\n").to_owned();
        let mut item = queries.item(annotation, turn);
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
}
