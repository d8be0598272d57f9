//! QVHighlights, moment retrieval: `qvhighlights/highlight_val_release.jsonl` (`--split test`:
//! `highlight_test_with_gt.jsonl`), `qvhighlights/videos/<vid>.mp4`.
//!
//! A Video LLM names windows and no scores: windows count in the order in which they are named. Saliency is made of them:
//! clips inside the first window count most, those outside all of them nothing. With masks of what queries name: `grounded.rs`.

use std::path::Path;

use serde_json::{Value, json};

use super::benchmark::{About, Benchmark, Reading, Verdicts};
use super::catalogue::BenchOptions;
use super::grounded::{self, Grounded};
use super::item::{Item, in_words, video};
use super::layout::Layout;
use super::prompt::Words;
use super::view::View;
use crate::coverage::{Unmatched, pair};
use crate::error::Result;
use crate::interval::intervals;
use crate::overlap::iou;
use crate::qvhighlights::{Annotation, CLIP_S, Prediction, score};
use crate::records::{BenchRecord, Reply, read_lines};
use crate::sheet::Sheet;

struct Moments {
    about: About,
    annotations: Vec<Annotation>,
}

/// The annotations of a split, with what is known of where their videos lie and what their queries name.
pub(super) struct Queries {
    layout: Layout,
    pub annotations: Vec<Annotation>,
    pub grounded: Grounded,
}

impl Queries {
    pub fn open(benchmark: &'static str, root: &Path, options: &BenchOptions) -> Result<Self> {
        let layout = Layout::new(benchmark, root, "qvhighlights");
        let name = match options.split.as_deref().unwrap_or("val") {
            "test" => "highlight_test_with_gt.jsonl".to_owned(),
            split => format!("highlight_{split}_release.jsonl"),
        };
        let [file] = layout.files([name.as_str()])?;
        let annotations: Vec<Annotation> = read_lines(&file)?;
        let mut grounded = Grounded::default();
        if options.grounded {
            let objects = grounded::file_of(&file);
            let name = objects.file_name().unwrap_or_default().to_string_lossy();
            let [objects] = layout.files([&name])?;
            grounded = Grounded::read(&objects, options.objects, &annotations)?;
        }
        Ok(Self { layout, annotations, grounded })
    }

    /// An item about an annotation's video, with the objects that its query names.
    pub fn item(&self, annotation: &Annotation, turn: String) -> Item {
        let names = ["mp4", "mkv", "webm"].map(|ending| format!("videos/{}.{ending}", annotation.vid));
        let mut item = Item::new(annotation.key(), video(self.layout.first_uri(names)), turn);
        item.sample.regions = self.grounded.of(annotation).1.to_vec();
        item
    }

    /// What shows whether a model looked.
    pub fn probes(&self) -> Vec<View> {
        if self.grounded.len() > 0 { View::OF_MASKS_AND_TIMES.to_vec() } else { View::OF_TIMES.to_vec() }
    }

    /// What a run says of how questions are put, beside `facts`.
    pub fn facts(&self, mut facts: Value) -> Value {
        if self.grounded.len() > 0 {
            facts["grounded"] = self.grounded.len().into();
        }
        facts
    }
}

pub(super) fn open(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let queries = Queries::open("qvhighlights", root, options)?;
    let words = options.prompt.clone().map_or_else(Words::moments, Words::of);
    let item = |annotation: &Annotation| {
        let query = queries.grounded.of(annotation).0;
        let turn = words.turn(json!({ "query": query, "duration": annotation.duration_s }))?;
        let mut item = queries.item(annotation, turn);
        item.max_new_tokens = 128;
        item.label = json!(annotation.relevant_windows);
        item.right = Some(in_words(&annotation.relevant_windows));
        Ok(item)
    };
    let items = queries.annotations.iter().map(item).collect::<Result<_>>()?;
    let about = About {
        title: "QVHighlights",
        headline: "MR-mIoU",
        items,
        probes: queries.probes(),
        facts: queries.facts(json!({ "prompt": words.to_json(), "saliency": "of the windows" })),
    };
    Ok(Box::new(Moments { about, annotations: queries.annotations }))
}

/// What a text names: windows inside the video, each with a score that falls with its place in the text.
fn prediction(annotation: &Annotation, text: &str) -> Prediction {
    let inside = |at_s: f64| at_s.clamp(0.0, annotation.duration_s);
    let named = intervals(text).into_iter().map(|window| window.map(inside));
    let windows: Vec<[f64; 3]> = named
        .enumerate()
        .map(|(rank, [start_s, end_s])| [start_s, end_s, (1.0 - 0.01 * rank as f64).max(0.0)])
        .collect();
    let saliency = (0..annotation.n_clips()).map(|clip| {
        let [start_s, end_s] = [clip, clip + 1].map(|edge| CLIP_S * edge as f64);
        let rank = windows.iter().position(|window| window[0] < end_s && start_s < window[1]);
        rank.map_or(0.0, |rank| 1.0 - 0.001 * rank as f64)
    });
    Prediction {
        qid: annotation.qid,
        vid: None,
        pred_saliency_scores: Some(saliency.collect()),
        pred_relevant_windows: Some(windows),
    }
}

impl Benchmark for Moments {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, item: usize, text: &str) -> Reading {
        let annotation = &self.annotations[item];
        let said = prediction(annotation, text);
        let Some(&[start_s, end_s, _]) = said.windows().first() else {
            return Reading { score: Some(0.0), ..Reading::default() };
        };
        let overlaps = annotation.relevant_windows.iter().map(|&window| iou(window, [start_s, end_s]));
        Reading {
            parsed: json!(said.windows().iter().map(|window| &window[..2]).collect::<Vec<_>>()),
            score: overlaps.max_by(f64::total_cmp),
            chosen: None,
        }
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, _: Option<&Verdicts>) -> Result<Sheet> {
        let paired = pair(&self.annotations, replies, unmatched)?;
        let said: Vec<Prediction> =
            paired.pairs.iter().map(|(annotation, reply)| prediction(annotation, &reply.text)).collect();
        let mut scores = score(&self.annotations, &said, unmatched)?;
        scores.coverage = paired.coverage;
        Ok(scores.sheet())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_become_predictions_and_saliency() {
        let annotation: Annotation = serde_json::from_value(json!({
            "qid": 1, "query": "x", "duration": 10, "vid": "a", "relevant_windows": [[2, 4]],
            "relevant_clip_ids": [1], "saliency_scores": [[4, 4, 4]],
        }))
        .unwrap();
        let said = prediction(&annotation, "4 - 6.5, and 20 - 9");
        assert_eq!(said.windows(), [[4.0, 6.5, 1.0], [9.0, 10.0, 0.99]]);
        assert_eq!(said.saliency(), [0.0, 0.0, 1.0, 1.0, 0.999]);
        assert!(prediction(&annotation, "never").windows().is_empty());
    }
}
