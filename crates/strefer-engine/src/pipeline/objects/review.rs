//! The reviewer: somebody who was not told what it is says what the masks of an object show, and somebody else compares.

use serde::Deserialize;
use serde_json::json;
use strefer_core::records::{Description, Descriptions, Entities, Masklets, Review};
use strefer_teacher::{Part, Prompt};

use super::asking::{Asker, Fared, question, texts, tidy};
use super::describer::Describer;
use super::entity;
use super::pointers::{Pointer, largest, outlined, pointers};
use crate::config::ReviewConfig;
use crate::pipeline::at_hand::AtHand;
use crate::pipeline::fault::Fault;
use crate::pipeline::parse::is_nothing;
use crate::pipeline::store::Note;
use crate::pipeline::teachers::Asked;
use crate::pipeline::watch::Watch;

#[derive(Deserialize)]
struct Seen {
    description: String,
}

#[derive(Deserialize)]
struct Verdict {
    same: bool,
    reason: String,
}

/// Who says what masks show.
pub enum Eyes<'a> {
    /// A teacher, with its prompt, that sees outlines.
    Teacher(Asked<'a>, &'a Prompt),
    /// A model in this process.
    Model(&'a dyn Describer),
}

/// Adds a verdict to each object. One that cannot be judged is dropped; one that is refused stays, with the reason, and is asked
/// about no more.
///
/// # Errors
/// No frame, no answer, no time; a teacher that never answers in the form asked for.
pub fn review(
    at: &AtHand<'_>,
    (entities, masklets, before): (&Entities, &Masklets, &Descriptions),
    cfg: &ReviewConfig,
    eyes: &Eyes<'_>,
    (teacher, prompt): (Asked<'_>, &Prompt),
    watch: &Watch<'_>,
) -> Result<(Descriptions, Vec<Note>), Fault> {
    let mut after = Descriptions { items: Vec::new(), ..before.clone() };
    let (mut notes, mut looked, mut compared) = (Vec::new(), Fared::default(), Fared::default());
    let judge = Asker { teacher, sampling: cfg.sampling, tries: cfg.tries, watch };
    for item in &before.items {
        let Some(entity) = entity(entities, item) else { continue };
        watch.check()?;
        let all = pointers(masklets, &item.eid, at.video.n_frames);
        let shown = largest(&all, cfg.frames);
        let mut drop = |why: String| notes.push(Note::new("not_reviewed", &item.eid, why));
        if shown.is_empty() {
            drop("its masks lie outside the video".to_owned());
            continue;
        }
        let seen = match look(at, &shown, cfg, eyes, &mut looked, watch)? {
            Ok(seen) => seen,
            Err(why) => {
                drop(format!("nobody says what its masks show, {why}"));
                continue;
            }
        };
        let facts = json!({
            "expression": entity.expression,
            "noun": entity.noun,
            "appearance": item.appearance,
            "seen": seen,
        });
        let form = json!({
            "type": "object",
            "properties": { "same": { "type": "boolean" }, "reason": { "type": "string" } },
            "required": ["same", "reason"],
            "additionalProperties": false,
        });
        let question = question(prompt, &facts, form)?;
        let verdict = judge.until(&question, &mut compared, |verdict: Verdict| Ok::<_, String>(verdict))?;
        match verdict {
            Ok(Verdict { same, reason }) => {
                let reason = tidy(&reason);
                if !same {
                    let text = format!("{}; its masks show: {seen}; {reason}", entity.expression);
                    notes.push(Note::new("refused_object", &item.eid, text));
                }
                let review = Some(Review { seen, same, reason });
                after.items.push(Description { review, ..item.clone() });
            }
            Err(why) => drop(format!("no verdict, {why}")),
        }
    }
    looked.check()?;
    compared.check()?;
    Ok((after, notes))
}

/// What the masks show, or why nobody says it.
fn look(
    at: &AtHand<'_>,
    shown: &[&Pointer],
    cfg: &ReviewConfig,
    eyes: &Eyes<'_>,
    fared: &mut Fared,
    watch: &Watch<'_>,
) -> Result<Result<String, String>, Fault> {
    let filled = |text: &str| match tidy(text) {
        text if is_nothing(&text) => Err("the answer is empty".to_owned()),
        text => Ok(text),
    };
    match eyes {
        Eyes::Model(model) => Ok(filled(&model.describe(at, shown, &cfg.question)?)),
        Eyes::Teacher(teacher, prompt) => {
            let clip = outlined(at.source()?, shown, cfg.side)?;
            let facts = json!({ "frames": clip.frames.len() });
            let question = question(prompt, &facts, texts(&["description"]))?.showing(Part::Clip(clip));
            let asker = Asker { teacher: *teacher, sampling: cfg.sampling, tries: cfg.tries, watch };
            asker.until(&question, fared, |seen: Seen| filled(&seen.description))
        }
    }
}
