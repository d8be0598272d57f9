//! The annotator: how each object moves and how it looks, asked apart.

use serde::Deserialize;
use serde_json::json;
use strefer_core::records::{Descriptions, Entities};
use strefer_teacher::{Part, Prompt};
use strefer_video::sample::linspace_trunc;

use super::asking::{Asker, Fared, question, texts, tidy};
use super::{entity, names, words};
use crate::config::AnnotateConfig;
use crate::pipeline::at_hand::AtHand;
use crate::pipeline::fault::Fault;
use crate::pipeline::frames;
use crate::pipeline::store::Note;
use crate::pipeline::teachers::Asked;
use crate::pipeline::watch::Watch;

#[derive(Deserialize)]
struct Answer {
    description: String,
}

/// Adds motion and looks. An object of which neither is said is dropped.
///
/// # Errors
/// No frame, no answer, no time; a teacher that never answers in the form asked for.
pub fn annotate(
    at: &AtHand<'_>,
    (entities, before): (&Entities, &Descriptions),
    cfg: &AnnotateConfig,
    (motion, appearance): (&Prompt, &Prompt),
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<(Descriptions, Vec<Note>), Fault> {
    let mut after = Descriptions { items: Vec::new(), ..before.clone() };
    let (mut notes, mut fared) = (Vec::new(), Fared::default());
    if before.items.is_empty() {
        return Ok((after, notes));
    }
    let source = at.source()?;
    let clip = frames::clip(source, &linspace_trunc(source.info().n_frames(), cfg.frames), cfg.side)?;
    let names = names(entities);
    let asker = Asker { teacher, sampling: cfg.sampling, tries: cfg.tries, watch };
    for item in &before.items {
        let Some(entity) = entity(entities, item) else { continue };
        let facts = json!({
            "frames": clip.frames.len(),
            "duration": format!("{:.1}", at.video.duration_s),
            "expression": entity.expression,
            "noun": entity.noun,
        });
        let mut ask = |prompt: &Prompt, what: &str| -> Result<Option<String>, Fault> {
            let question =
                question(prompt, &facts, texts(&["description"]))?.showing(Part::Clip(clip.clone()));
            let said = asker.until(&question, &mut fared, |answer: Answer| {
                let text = tidy(&answer.description);
                words::problem(&text, &names).map_or(Ok(text), Err)
            })?;
            Ok(said.map_err(|why| notes.push(Note::new(&format!("no_{what}"), &item.eid, why))).ok())
        };
        let (motion, appearance) = (ask(motion, "motion")?, ask(appearance, "appearance")?);
        match (&motion, &appearance) {
            (None, None) => {
                let why = format!("{}: nothing is said about it", entity.expression);
                notes.push(Note::new("dropped_object", &item.eid, why));
            }
            _ => after.items.push(strefer_core::records::Description { motion, appearance, ..item.clone() }),
        }
    }
    fared.check()?;
    Ok((after, notes))
}
