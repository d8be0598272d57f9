//! TempCompass' captions: `tempcompass/questions/captioning.json` and `multi-choice.json`, `tempcompass/videos/<id>.mp4`. A
//! judge who knows a caption alone answers the question with options about the same video; a caption is right if it does.

use std::path::Path;

use serde_json::json;

use super::benchmark::{About, Benchmark, Rating, Reading, Verdicts, unjudged};
use super::catalogue::BenchOptions;
use super::item::{Item, video};
use super::layout::Layout;
use super::prompt::Words;
use super::view::View;
use crate::choice::{self, Question, read_captions, score};
use crate::coverage::{Unmatched, pair};
use crate::error::Result;
use crate::records::{Reply, checked};
use crate::sheet::{Note, Sheet};

struct Captions {
    about: About,
    /// What the judge chooses between, in the order of the items.
    questions: Vec<Question>,
    /// What the judge is asked.
    asked: Vec<String>,
}

pub(super) fn open(root: &Path, options: &BenchOptions) -> Result<Box<dyn Benchmark>> {
    let layout = Layout::new("tempcompass-captioning", root, "tempcompass");
    let [file, choices] = layout.files(["questions/captioning.json", "questions/multi-choice.json"])?;
    let words = options.prompt.clone().map_or_else(Words::question, Words::of);
    let (mut items, mut questions, mut asked) = (Vec::new(), Vec::new(), Vec::new());
    for (caption, about) in read_captions(&file, &choices)? {
        let media = video(layout.uri(&format!("videos/{}.mp4", caption.video)));
        let turn = words.turn(json!({ "question": caption.text }))?;
        let mut item = Item::new(caption.question.id.clone(), media, turn);
        item.max_new_tokens = 256;
        item.groups = caption.question.groups.clone();
        item.label = json!(caption.question.options[caption.question.answer]);
        items.push(item);
        questions.push(caption.question);
        asked.push(about);
    }
    let questions = checked(&file, questions.into_iter().map(|question| (question, None)))?;
    let about = About {
        title: "TempCompass, captioning",
        headline: "accuracy",
        items,
        probes: View::OF_ORDER.to_vec(),
        facts: json!({ "prompt": words.to_json() }),
    };
    Ok(Box::new(Captions { about, questions, asked }))
}

impl Benchmark for Captions {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, _: usize, text: &str) -> Reading {
        Reading::words(text)
    }

    fn judged(&self, item: usize, text: &str) -> Option<String> {
        let caption = text.replace("</s>", "");
        let (caption, about) = (caption.trim(), self.asked[item].trim());
        Some(format!("Description of the video: {caption}\nQuestion:\n{about}"))
    }

    fn rating(&self, item: usize, reply: &str) -> Rating {
        let question = &self.questions[item];
        let chosen = question.choice(reply, choice::Reading::TempCompassJudge);
        let score = if chosen == Some(question.answer) { 1.0 } else { 0.0 };
        Rating { score: Some(score), ..Rating::default() }
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, verdicts: Option<&Verdicts>) -> Result<Sheet> {
        let paired = pair(&self.questions, replies, unmatched)?;
        let ids = paired.pairs.iter().map(|(question, _)| &question.id);
        let Some(verdicts) = verdicts else {
            return Ok(unjudged(self.title(), paired.coverage, "not judged: name a judge"));
        };
        let (judged, silent): (Vec<&String>, Vec<&String>) =
            ids.partition(|id| verdicts.replies.contains_key(*id));
        let silent =
            Note::about("without a reply of the judge, in no score", silent.into_iter().cloned().collect());
        if judged.is_empty() {
            let sheet = unjudged(self.title(), paired.coverage, "the judge replied to nothing");
            return Ok(Sheet { notes: sheet.notes.into_iter().chain(silent).collect(), ..sheet });
        }
        let reply = |id: &String| Reply { id: id.clone(), text: verdicts.replies[id].clone() };
        let chosen: Vec<Reply> = judged.into_iter().map(reply).collect();
        let reading = choice::Reading::TempCompassJudge;
        let scores = score(&self.questions, &chosen, reading, Unmatched::LEAVE_OUT)?;
        let unread = scores.verdicts.iter().filter(|verdict| verdict.chosen.is_none());
        let unread = unread.map(|verdict| verdict.id.clone()).collect();
        let unread = Note::about("the judge chose no option or several, counted as wrong", unread);
        let sheet = scores.sheet(&self.questions);
        let mut metrics = sheet.metrics;
        metrics["judge"] = verdicts.judge.clone();
        let notes = silent.into_iter().chain(unread).collect();
        Ok(Sheet { benchmark: self.title(), coverage: paired.coverage, notes, metrics, ..sheet })
    }
}
