//! Stage F, second half: questions in other words. Templates choose the facts; a teacher only says them otherwise, and what
//! does not pass the check keeps its template.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;
use strefer_core::Sample;
use strefer_core::placeholder::{Piece, pieces};
use strefer_core::records::{Entities, Entity};
use strefer_core::sample::Role;
use strefer_teacher::{Prompt, Question};

use super::fault::Fault;
use super::store::Note;
use super::teachers::{Asked, Said};
use super::watch::Watch;
use crate::config::RephraseConfig;
use crate::language::nouns::bare;
use crate::language::rewrite::find_leak;

/// What stands before the first question of a sample.
const HEAD: &str = "<video>\n";

/// Remarks on how to answer that have to stay, in lower case.
const REMARKS: [&str; 2] = ["yes or no", "in a sentence"];

#[derive(Deserialize)]
struct Answer {
    questions: Vec<String>,
}

/// Puts questions into other words, one ask a sample. What a teacher does not answer in the form asked for stays.
///
/// # Errors
/// No answer at all, no time, no budget.
pub fn rephrase(
    samples: &mut [Sample],
    entities: &Entities,
    cfg: &RephraseConfig,
    prompt: &Prompt,
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<Vec<Note>, Fault> {
    let mut notes = Vec::new();
    for sample in samples {
        // Choices that a question lists are compared letter by letter.
        if sample.choices.is_some() {
            continue;
        }
        let turns: Vec<usize> = (0..sample.conversations.len())
            .filter(|&turn| sample.conversations[turn].role == Role::User)
            .collect();
        let old: Vec<String> = turns
            .iter()
            .map(|&turn| sample.conversations[turn].text.trim_start_matches(HEAD).to_owned())
            .collect();
        let question = prompt
            .ask(json!({ "questions": old }))
            .map_err(|error| Fault::Records { reason: error.to_string() })?;
        let (least, most) = (old.len(), old.len());
        let list =
            json!({ "type": "array", "items": { "type": "string" }, "minItems": least, "maxItems": most });
        let question = Question {
            schema: Some(json!({
                "type": "object",
                "properties": { "questions": list },
                "required": ["questions"],
                "additionalProperties": false,
            })),
            sampling: cfg.sampling,
            ..question
        };
        let new = match teacher.try_ask::<Answer>(&question, watch)? {
            Said::Well(answer) if answer.questions.len() == old.len() => answer.questions,
            Said::Well(_) => {
                notes.push(Note::new("kept_template", &sample.id, "another number of questions"));
                continue;
            }
            Said::Badly(fault) => {
                notes.push(Note::new("kept_template", &sample.id, fault.to_string()));
                continue;
            }
        };
        let mut changed = false;
        for ((turn, old), new) in turns.into_iter().zip(&old).zip(&new) {
            match check(old, new, sample, entities) {
                Ok(new) => {
                    let head = if sample.conversations[turn].text.starts_with(HEAD) { HEAD } else { "" };
                    sample.conversations[turn].text = format!("{head}{new}");
                    changed = true;
                }
                Err(why) => {
                    let about = format!("{}, turn {turn}", sample.id);
                    notes.push(Note::new("kept_template", about, format!("{why}: {new:?}")));
                }
            }
        }
        if let Some(provenance) = sample.provenance.as_mut().filter(|_| changed) {
            provenance.model = Some(teacher.teacher.model().to_owned());
        }
    }
    Ok(notes)
}

/// The new question, if it asks the same as far as can be told.
fn check(old: &str, new: &str, sample: &Sample, entities: &Entities) -> Result<String, String> {
    let new = new.trim();
    if new.is_empty() || new.contains('\n') {
        return Err("it is not one line".to_owned());
    }
    let (was, is) = (marks(old), marks(new));
    if was != is {
        return Err("its marks are others".to_owned());
    }
    if new.len() > 3 * old.len() + 20 || 3 * new.len() + 20 < old.len() {
        return Err("its length is another".to_owned());
    }
    let (old_lower, new_lower) = (old.to_lowercase(), new.to_lowercase());
    let lost = REMARKS.into_iter().find(|remark| old_lower.contains(remark) && !new_lower.contains(remark));
    if let Some(remark) = lost {
        return Err(format!("it lost {remark:?}"));
    }
    let numbers = |text: &str| {
        let plain: String = pieces(text)
            .iter()
            .filter_map(|piece| match piece {
                Piece::Text(text) => Some(*text),
                _ => None,
            })
            .collect();
        let mut numbers: Vec<String> = plain
            .split(|letter: char| !letter.is_ascii_digit())
            .filter(|number| !number.is_empty())
            .map(str::to_owned)
            .collect();
        numbers.sort();
        numbers
    };
    if numbers(old) != numbers(new) {
        return Err("its numbers are others".to_owned());
    }
    let pointed = |entity: &&Entity| {
        let shown = sample.regions.iter().filter(|region| region.eid.as_ref() == Some(&entity.eid));
        shown.into_iter().any(|region| was.contains_key(&format!("region {}", region.rid)))
    };
    for entity in &entities.items {
        let name = bare(&entity.expression).to_lowercase();
        if pointed(&entity) {
            if let Some(word) = find_leak(new, entity).filter(|_| find_leak(old, entity).is_none()) {
                return Err(format!("{word:?} tells which object is meant"));
            }
        } else if old_lower.contains(&name) && !new_lower.contains(&name) {
            return Err(format!("it lost {name:?}"));
        } else if !old_lower.contains(&name) && new_lower.contains(&name) {
            return Err(format!("it names {name:?}"));
        }
    }
    Ok(new.to_owned())
}

/// How often each mark stands in a text.
fn marks(text: &str) -> BTreeMap<String, usize> {
    let mut marks = BTreeMap::new();
    for piece in pieces(text) {
        let name = match piece {
            Piece::Text(_) => continue,
            Piece::Visual => "visual".to_owned(),
            Piece::Region(index) => index.map_or("region".to_owned(), |index| format!("region {index}")),
            Piece::Time(index) => format!("time {index}"),
            Piece::Unknown(tag) => tag.to_owned(),
        };
        *marks.entry(name).or_insert(0) += 1;
    }
    marks
}

#[cfg(test)]
mod tests {
    use strefer_core::IndexSpace;
    use strefer_core::sample::{Region, RegionMode};

    use super::*;

    #[test]
    fn a_question_in_other_words_asks_the_same_or_is_refused() {
        let entity = |eid: &str, expression: &str| Entity {
            eid: eid.to_owned(),
            expression: expression.to_owned(),
            noun: "boy".to_owned(),
            general_noun: "person".to_owned(),
            active: true,
            source_span: None,
            attributes: Default::default(),
        };
        let entities = Entities {
            schema: Default::default(),
            video_id: "v".into(),
            provenance: None,
            paragraph: None,
            items: vec![entity("e0", "the boy in red"), entity("e1", "the tall woman")],
        };
        let mut sample = Sample::new("s", "v", vec![]);
        sample.regions.push(Region {
            rid: 0,
            eid: Some("e0".to_owned()),
            masks: Default::default(),
            index_space: IndexSpace::STREFER,
            mode: RegionMode::Multi,
            fixed_key: None,
        });
        let try_it = |old: &str, new: &str| check(old, new, &sample, &entities);
        let old = "What is <region:0> doing at <time:0>?";
        assert!(try_it(old, " At <time:0>, what does <region:0> do? ").is_ok());
        let refused = |old: &str, new: &str, why: &str| {
            let reason = try_it(old, new).unwrap_err();
            assert!(reason.contains(why), "{reason}");
        };
        refused(old, "What is <region:0> doing?", "marks");
        refused(old, "What is <region:1> doing at <time:0>?", "marks");
        refused(old, "What is <region:0>, <region:0>, doing at <time:0>?", "marks");
        refused(old, "What is the boy <region:0> doing at <time:0>?", "\"boy\" tells");
        refused(old, "What is <region:0> in red doing at <time:0>?", "\"red\" tells");
        refused(old, "What is <region:0> doing at <time:0> beside the tall woman?", "names");
        refused(old, "What\nis <region:0> doing at <time:0>?", "line");
        refused(old, "", "line");
        let named = "Is the tall woman sitting at second 12? Answer yes or no.";
        assert!(try_it(named, "At second 12, does the tall woman sit? Answer yes or no.").is_ok());
        refused(named, "At second 13, does the tall woman sit? Answer yes or no.", "numbers");
        refused(named, "At second 12, does the woman sit? Answer yes or no.", "lost \"tall woman\"");
        refused(named, "At second 12, does the tall woman sit?", "yes or no");
        refused("Why?", &"Why is it that this happens ".repeat(9), "length");
    }
}
