//! Benchmarks whose questions offer answers.

use serde_json::json;

use super::benchmark::{About, Benchmark, Reading, Verdicts};
use super::item::{Item, Offer, letter, unlettered};
use super::prompt::Words;
use super::view::View;
use crate::choice::{self, Question};
use crate::coverage::Unmatched;
use crate::error::Result;
use crate::records::Reply;
use crate::sheet::Sheet;

/// A benchmark of questions with given answers.
pub(super) struct Choices {
    pub about: About,
    /// In the order of the items.
    pub questions: Vec<Question>,
    /// For questions that have no rules of their own.
    pub reading: choice::Reading,
    pub words: Words,
}

impl Choices {
    pub fn new(title: &'static str, reading: choice::Reading, words: Words) -> Self {
        let facts = json!({ "prompt": words.to_json(), "reading": reading });
        let probes = vec![View::NoVideo];
        let about = About { title, headline: "accuracy", items: Vec::new(), probes, facts };
        Self { about, questions: Vec::new(), reading, words }
    }

    /// Adds an item whose options are written `shown` in the question; `bare` is the question without them.
    pub fn push(&mut self, mut item: Item, question: Question, shown: &[String], bare: &str) {
        item.groups = question.groups.clone();
        item.label = json!(shown.get(question.answer));
        item.right = shown.get(question.answer).map(|option| letter(option).to_owned());
        item.offer = Some(Offer {
            question: format!("<video>\n{bare}"),
            texts: shown.iter().map(|option| unlettered(option).to_owned()).collect(),
            replies: shown.to_vec(),
            right: Some(question.answer),
        });
        self.about.items.push(item);
        self.questions.push(question);
    }
}

impl Benchmark for Choices {
    fn about(&self) -> &About {
        &self.about
    }

    fn read(&self, item: usize, text: &str) -> Reading {
        let question = &self.questions[item];
        Reading::choice(question.choice(text, self.reading), question.answer)
    }

    fn sheet(&self, replies: &[Reply], unmatched: Unmatched, _: Option<&Verdicts>) -> Result<Sheet> {
        let scores = choice::score(&self.questions, replies, self.reading, unmatched)?;
        Ok(Sheet { benchmark: self.title(), ..scores.sheet(&self.questions) })
    }
}
