//! Items with their right answers, as samples to train on.

use serde::{Deserialize, Serialize};
use strefer_core::Sample;
use strefer_core::sample::{Provenance, Role, Task};

use super::catalogue::BenchId;
use super::item::Item;
use crate::error::Result;

/// How a lesson asks and answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LessonForm {
    /// In the words that the benchmark asks in, and the form of answer that it asks for.
    #[default]
    Asked,
    /// The question without the answers it offers, and the right one in words.
    Bare,
}

/// The group of all lessons, as the mixture sees it.
const GROUP: &str = "benchmark";

/// An item with its right answer said; `None` where no words are known to be right, or where it offers no answers and is
/// to be asked without them.
///
/// # Errors
/// Words of the question that depend on a video which cannot be read.
pub fn lesson(id: BenchId, item: &Item, form: LessonForm) -> Result<Option<Sample>> {
    let mut sample = item.sample.clone();
    let answer = match form {
        LessonForm::Asked => {
            if let Some(late) = &item.late {
                sample.conversations.clear();
                sample.say(Role::User, late.turn()?);
            }
            item.right.clone()
        }
        LessonForm::Bare => item.offer.as_ref().and_then(|offer| {
            sample.conversations.clear();
            sample.say(Role::User, offer.question.clone());
            offer.texts.get(offer.right?).cloned()
        }),
    };
    let Some(answer) = answer else { return Ok(None) };
    sample.say(Role::Assistant, answer);
    sample.provenance = Some(Provenance {
        dataset: id.name().to_owned(),
        stage: Some("lessons".to_owned()),
        ..Provenance::default()
    });
    let name = format!("{}-{}", id.name(), if form == LessonForm::Bare { "bare" } else { "asked" });
    sample.task = Some(Task { group: GROUP.to_owned(), name, negative: false });
    Ok(Some(sample))
}
