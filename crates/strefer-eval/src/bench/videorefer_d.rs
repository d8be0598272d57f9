//! VideoRefer-Bench-D: `videorefer/VideoRefer-Bench-D.json`, videos in `videorefer/Panda-70M/`.

use std::path::Path;

use serde::Deserialize;
use serde_json::{Value, json};
use strefer_core::import::ForeignObject;

use super::benchmark::{About, Benchmark, Rating, Reading, Verdicts, unjudged};
use super::catalogue::BenchOptions;
use super::item::Item;
use super::layout::Layout;
use super::prompt::Words;
use super::videorefer_q::{frame_key, medium, regions};
use super::view::View;
use crate::coverage::{Unmatched, pair};
use crate::error::{Error, Result};
use crate::records::{BenchRecord, Reply, read_array};
use crate::sheet::Sheet;
use crate::statistics::mean;
use crate::videorefer::bench_d::{self, Axis, Judgement, Question};
use crate::videorefer::judge::comparison;

/// A record as the benchmark has it.
#[derive(Debug, Deserialize)]
struct Record {
    #[serde(flatten)]
    question: Question,
    frame_idx: Value,
    annotation: Vec<ForeignObject>,
}

impl BenchRecord for Record {
    fn key(&self) -> String {
        self.question.key()
    }

    fn fault(&self) -> Option<String> {
        let objects = self.annotation.len();
        let wrong = (objects != 1).then(|| format!("{objects} objects are annotated, one is described"));
        self.question.fault().or(wrong)
    }
}

struct BenchD {
    about: About,
    questions: Vec<Question>,
}

pub(super) fn open(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("videorefer-d", root, "videorefer");
    let [file] = layout.files(["VideoRefer-Bench-D.json"])?;
    let words = options.prompt.clone().map_or_else(Words::describe, Words::of);
    let (masks, objects) = (options.masks, options.objects);
    let (mut items, mut questions) = (Vec::new(), Vec::new());
    for Record { question, frame_idx, annotation } in read_array::<Record>(&file)? {
        let refuse = |reason: String| Error::Record { path: file.clone(), record: question.key(), reason };
        let frame = frame_key(&frame_idx).map_err(refuse)?;
        let turn = words.turn(json!({ "object": objects.of(0) }))?;
        let media = medium(layout.uri(&format!("Panda-70M/{}", question.video)));
        let mut item = Item::new(question.key(), media, turn);
        item.sample.regions = regions(&question.key(), annotation, masks, frame).map_err(refuse)?;
        item.max_new_tokens = 512;
        item.label = json!(question.caption);
        item.right = Some(question.caption.clone());
        items.push(item);
        questions.push(question);
    }
    let about = About {
        title: "VideoRefer-Bench-D",
        headline: "mean",
        items,
        probes: View::OF_MASKS.to_vec(),
        facts: json!({ "prompt": words.to_json(), "masks": masks, "objects": objects }),
    };
    Ok(Box::new(BenchD { about, questions }))
}

impl Benchmark for BenchD {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, _: usize, text: &str) -> Reading {
        Reading::words(text)
    }

    fn judged(&self, item: usize, text: &str) -> Option<String> {
        Some(comparison(&self.questions[item], text))
    }

    fn rating(&self, _: usize, reply: &str) -> Rating {
        let ratings = bench_d::parse(reply);
        let all: Option<Vec<f64>> = ratings.into_iter().collect();
        let named = Axis::ALL.into_iter().zip(ratings);
        let points = named.filter_map(|(axis, rating)| Some((axis.name().to_owned(), rating?))).collect();
        Rating { score: all.map(mean), points }
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, verdicts: Option<&Verdicts>) -> Result<Sheet> {
        let paired = pair(&self.questions, replies, unmatched)?;
        let Some(verdicts) = verdicts else {
            let what =
                "not judged: name a judge, or give answers and its replies to `strefer score videorefer-d`";
            return Ok(unjudged(self.title(), paired.coverage, what));
        };
        let judgement = |(question, _): &(&Question, &Reply)| Judgement {
            id: question.id,
            reply: verdicts.replies.get(&question.key()).cloned(),
        };
        let judgements: Vec<Judgement> = paired.pairs.iter().map(judgement).collect();
        let mut scores = bench_d::score(&self.questions, &judgements, unmatched)?;
        scores.judge = Some(verdicts.judge.clone());
        Ok(scores.sheet())
    }
}
