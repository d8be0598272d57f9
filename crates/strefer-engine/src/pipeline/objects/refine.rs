//! The refiner: motion and looks become one text, without what is said twice or cannot be.

use serde::Deserialize;
use serde_json::json;
use strefer_core::records::{Descriptions, Entities};
use strefer_teacher::Prompt;

use super::asking::{Asker, Fared, question, texts, tidy};
use super::{entity, names, words};
use crate::config::RefineConfig;
use crate::pipeline::fault::Fault;
use crate::pipeline::store::Note;
use crate::pipeline::teachers::Asked;
use crate::pipeline::watch::Watch;

#[derive(Deserialize)]
struct Answer {
    caption: String,
}

/// Adds a caption to each object that was not refused.
///
/// # Errors
/// No answer, no time; a teacher that never answers in the form asked for.
pub fn refine(
    (entities, before): (&Entities, &Descriptions),
    cfg: &RefineConfig,
    prompt: &Prompt,
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<(Descriptions, Vec<Note>), Fault> {
    let (mut after, mut notes, mut fared) = (before.clone(), Vec::new(), Fared::default());
    let names = names(entities);
    let asker = Asker { teacher, sampling: cfg.sampling, tries: cfg.tries, watch };
    for item in after.items.iter_mut().filter(|item| !item.is_refused()) {
        let Some(entity) = entity(entities, item) else { continue };
        let facts = json!({
            "expression": entity.expression,
            "noun": entity.noun,
            "motion": item.motion,
            "appearance": item.appearance,
        });
        let question = question(prompt, &facts, texts(&["caption"]))?;
        let said = asker.until(&question, &mut fared, |answer: Answer| {
            let text = tidy(&answer.caption);
            words::problem(&text, &names).map_or(Ok(text), Err)
        })?;
        match said {
            Ok(caption) => item.caption = Some(caption),
            Err(why) => notes.push(Note::new("no_caption", &item.eid, why)),
        }
    }
    fared.check()?;
    Ok((after, notes))
}
