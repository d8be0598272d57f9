//! STKit-Bench. Its files were never released; ours is `stkit/STKit-Bench.jsonl`, samples as the engine's STKit generator
//! writes them, and frames with the boxes drawn at the paths it names below `stkit/`.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;
use strefer_core::jsonl::read_records;
use strefer_core::sample::Role;
use strefer_core::{Sample, StkitAnswer, StkitFacts, StkitTask};

use super::benchmark::{About, Benchmark, Reading, Verdicts};
use super::catalogue::BenchOptions;
use super::item::{Item, Offer};
use super::layout::Layout;
use super::view::View;
use crate::coverage::Unmatched;
use crate::error::{Error, Result};
use crate::records::{Reply, checked};
use crate::sheet::{Line, Sheet};
use crate::statistics::Statistic;
use crate::stkit::{Judged, Question, judge, parse, score};

/// Stands for all where some tasks are not asked, so that there is no mean of their accuracies.
const ALL_QUESTIONS: &str = "all_questions.accuracy_pct";

struct StkitBench {
    about: About,
    questions: Vec<Question>,
}

pub(super) fn open(root: &Path, _: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("stkit", root, "stkit");
    let [file] = layout.files(["STKit-Bench.jsonl"])?;
    let (mut items, mut questions) = (Vec::new(), Vec::new());
    for sample in read_records::<Sample>(&file)? {
        let mut sample = sample?;
        let facts = StkitFacts::of(&sample).ok_or_else(|| Error::NoFacts { id: sample.id.clone() })?;
        let said = |role: Role| sample.conversations.iter().find(|turn| turn.role == role);
        let (user, answer) = (said(Role::User), said(Role::Assistant));
        let (Some(user), Some(answer), Some(media)) = (user, answer, sample.media.first_mut()) else {
            let reason = "it asks or answers nothing, or shows nothing".to_owned();
            return Err(Error::Record { path: file.clone(), record: sample.id, reason });
        };
        media.uri = layout.uri(&media.uri);
        let mut item = Item::new(sample.id.clone(), media.clone(), user.text.clone());
        item.max_new_tokens = 64;
        item.groups.insert("task".to_owned(), facts.task.name().to_owned());
        item.label = json!(facts.label);
        item.right = Some(answer.text.clone());
        if let StkitAnswer::Word(word) = &facts.label {
            let texts = if facts.options.is_empty() {
                vec!["yes".into(), "no".into()]
            } else {
                facts.options.clone()
            };
            let right = texts.iter().position(|text| text.eq_ignore_ascii_case(word));
            item.offer = Some(Offer { question: user.text.clone(), replies: texts.clone(), texts, right });
        }
        questions.push(Question {
            id: sample.id,
            task: facts.task,
            label: json!(facts.label),
            options: facts.options,
        });
        items.push(item);
    }
    let questions = checked(&file, questions.into_iter().map(|question| (question, None)))?;
    let asked: BTreeSet<StkitTask> = questions.iter().map(|question: &Question| question.task).collect();
    let about = About {
        title: "STKit-Bench",
        headline: if asked.len() == StkitTask::ALL.len() { "average_accuracy_pct" } else { ALL_QUESTIONS },
        items,
        probes: View::OF_TIMES.to_vec(),
        facts: json!({ "prompt": "of the samples" }),
    };
    Ok(Box::new(StkitBench { about, questions }))
}

impl Benchmark for StkitBench {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, item: usize, text: &str) -> Reading {
        let question = &self.questions[item];
        let said = parse(question.task, text, &question.options);
        let correct =
            question.task.read(&question.label).is_some_and(|truth| judge(&truth, said.as_ref()).correct);
        Reading { parsed: json!(said), score: Some(f64::from(u8::from(correct))), chosen: None }
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, _: Option<&Verdicts>) -> Result<Sheet> {
        let scores = score(&self.questions, replies, unmatched)?;
        let correct = |it: &Judged| Some(if it.verdict.correct { 100.0 } else { 0.0 });
        let statistic = Statistic::mean(scores.judged.iter().map(correct).collect());
        let mut sheet = scores.sheet();
        sheet.lines.push(Line::of(ALL_QUESTIONS, "%", 1, statistic));
        Ok(sheet)
    }
}
