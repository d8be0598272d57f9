//! Questions about each object, with answers: what can be seen, what follows from it, and what comes next.

use serde::Deserialize;
use serde_json::json;
use strefer_core::records::{
    Description, Descriptions, Entities, Entity, Masklets, ObjectQuestion, QuestionKind,
};
use strefer_teacher::{Part, Prompt, Question};

use super::asking::{Asker, Fared, question, tidy};
use super::pointers::{outlined, pointers, spread};
use super::{entity, names, words};
use crate::config::QuestionConfig;
use crate::pipeline::at_hand::AtHand;
use crate::pipeline::fault::Fault;
use crate::pipeline::store::Note;
use crate::pipeline::teachers::Asked;
use crate::pipeline::watch::Watch;

#[derive(Deserialize)]
struct Answer {
    pairs: Vec<ObjectQuestion>,
}

/// Adds questions to each object that was not refused. A kind of which no pair is good after all tries is noted.
///
/// # Errors
/// No frame, no answer, no time; a teacher that never answers in the form asked for.
pub fn ask(
    at: &AtHand<'_>,
    (entities, masklets, before): (&Entities, &Masklets, &Descriptions),
    cfg: &QuestionConfig,
    prompt: &Prompt,
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<(Descriptions, Vec<Note>), Fault> {
    let (mut after, mut notes, mut fared) = (before.clone(), Vec::new(), Fared::default());
    let names = names(entities);
    let asker = Asker { teacher, sampling: cfg.sampling, tries: cfg.tries, watch };
    for item in after.items.iter_mut().filter(|item| !item.is_refused()) {
        let Some(entity) = entity(entities, item) else { continue };
        let question = put(at, entity, item, masklets, cfg, prompt)?;
        let (mut taken, mut refused): (Vec<ObjectQuestion>, Vec<String>) = (Vec::new(), Vec::new());
        let lacks = |taken: &[ObjectQuestion], kind: QuestionKind| {
            taken.iter().filter(|pair| pair.kind == kind).count() < cfg.pairs
        };
        let said = asker.until(&question, &mut fared, |answer: Answer| {
            for pair in answer.pairs {
                let pair = ObjectQuestion {
                    kind: pair.kind,
                    question: tidy(&pair.question),
                    answer: tidy(&pair.answer),
                };
                let known = taken.iter().any(|other| other.question == pair.question);
                if known || !cfg.kinds.contains(&pair.kind) || !lacks(&taken, pair.kind) {
                    continue;
                }
                match words::pair_problem(&pair.question, &pair.answer, entity, &names) {
                    None => taken.push(pair),
                    Some(why) => refused.push(format!("{}: {why}: {:?}", pair.kind.name(), pair.question)),
                }
            }
            match cfg.kinds.iter().any(|kind| lacks(&taken, *kind)) {
                false => Ok(()),
                true => Err(refused.last().cloned().unwrap_or_else(|| "too few pairs".to_owned())),
            }
        })?;
        if let Err(why) = said {
            for kind in cfg.kinds.iter().filter(|kind| !taken.iter().any(|pair| pair.kind == **kind)) {
                notes.push(Note::new("no_question", &item.eid, format!("{}: {why}", kind.name())));
            }
        }
        // In the order of the kinds, whichever try they came from.
        taken.sort_by_key(|pair| cfg.kinds.iter().position(|kind| *kind == pair.kind));
        item.questions = taken
            .into_iter()
            .map(|pair| ObjectQuestion { question: pair.question.replace("<region>", "<region:0>"), ..pair })
            .collect();
    }
    fared.check()?;
    Ok((after, notes))
}

/// The question about an object.
fn put(
    at: &AtHand<'_>,
    entity: &Entity,
    item: &Description,
    masklets: &Masklets,
    cfg: &QuestionConfig,
    prompt: &Prompt,
) -> Result<Question, Fault> {
    let all = pointers(masklets, &item.eid, at.video.n_frames);
    let shown = spread(&all, cfg.frames);
    let clip = match shown.is_empty() {
        true => None,
        false => Some(outlined(at.source()?, &shown, cfg.side)?),
    };
    // A caption says all that motion and looks do.
    let said = match &item.caption {
        Some(caption) => vec![caption],
        None => item.appearance.iter().chain(&item.motion).collect(),
    };
    let others = entity.attributes.iter().filter(|(name, _)| name.starts_with("expression_"));
    let known: Vec<String> =
        others.map(|(_, text)| format!("It is also: {text}.")).chain(said.into_iter().cloned()).collect();
    let facts = json!({
        "frames": clip.as_ref().map_or(0, |clip| clip.frames.len()),
        "expression": entity.expression.trim_end_matches('.'),
        "known": known,
        "kinds": cfg.kinds,
        "pairs": cfg.pairs,
    });
    let text = json!({ "type": "string" });
    let pair = json!({
        "type": "object",
        "properties": { "kind": { "enum": cfg.kinds }, "question": text, "answer": text },
        "required": ["kind", "question", "answer"],
        "additionalProperties": false,
    });
    let form = json!({
        "type": "object",
        "properties": { "pairs": { "type": "array", "items": pair } },
        "required": ["pairs"],
        "additionalProperties": false,
    });
    let question = question(prompt, &facts, form)?;
    Ok(match clip {
        Some(clip) => question.showing(Part::Clip(clip)),
        None => question,
    })
}
