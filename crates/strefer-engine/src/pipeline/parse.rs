//! Stage B: the paragraph becomes entities, each with an expression, a noun and a broad noun.

use serde::Deserialize;
use serde_json::{Value, json};
use strefer_core::records::{Entities, Entity};
use strefer_teacher::{Prompt, Question, Sampling};

use super::fault::Fault;
use super::store::Note;
use super::teachers::{Asked, Said};
use super::watch::Watch;
use crate::config::ParseConfig;
use crate::language::nouns::bare;

/// Later tries are drawn at this temperature at least: the same draw would give the same answer.
const WARMER: f64 = 0.7;

/// What models write where they have nothing to say.
const NOTHING: [&str; 8] = ["none", "null", "n/a", "na", "nil", "unknown", "nothing", "not visible"];

/// Whether a text says that there is nothing.
pub(super) fn is_nothing(text: &str) -> bool {
    let text = text.trim().trim_end_matches('.').to_lowercase();
    text.is_empty() || NOTHING.contains(&text.as_str())
}

#[derive(Deserialize)]
struct List {
    entities: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    expression: String,
    noun: String,
}

#[derive(Deserialize)]
struct Broad {
    noun: String,
}

/// The entities of a paragraph. What cannot be made an entity of is left out and noted.
///
/// # Errors
/// No list of the form asked for after all tries, no answer, no time.
pub fn parse(
    recognised: &Entities,
    cfg: &ParseConfig,
    (prompt, noun_prompt): (&Prompt, &Prompt),
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<(Entities, Vec<Note>), Fault> {
    let paragraph = recognised.paragraph.clone().unwrap_or_default();
    let mut notes = Vec::new();
    let mut entities = Entities { items: Vec::new(), ..recognised.clone() };
    if is_nothing(&paragraph) {
        notes.push(Note::new("no_entity", "", "the paragraph is empty: nothing acts"));
        return Ok((entities, notes));
    }
    for named in list(&paragraph, cfg, prompt, teacher, watch)? {
        let expression = named.expression.trim().trim_end_matches('.').to_owned();
        let mut drop = |why: String| notes.push(Note::new("dropped_entity", &expression, why));
        let same = |known: &Entity| bare(&known.expression).eq_ignore_ascii_case(bare(&expression));
        if is_nothing(&expression) {
            drop("the expression is empty".to_owned());
        } else if entities.items.iter().any(same) {
            drop("another entity has the same expression".to_owned());
        } else if entities.items.len() == cfg.most_entities {
            drop(format!("{} entities are kept", cfg.most_entities));
        } else if let Some(noun) = category(&named.noun) {
            let general = match cfg.broad_nouns {
                true => broad(&expression, &noun, cfg, noun_prompt, teacher, watch)?,
                false => Ok(noun.clone()),
            };
            match general {
                Ok(general_noun) => entities.items.push(Entity {
                    eid: format!("e{}", entities.items.len()),
                    source_span: find(&paragraph, &expression),
                    expression,
                    noun,
                    general_noun,
                    active: true,
                    attributes: Default::default(),
                }),
                Err(why) => drop(why),
            }
        } else {
            drop(format!("{:?} is no noun", named.noun));
        }
    }
    if entities.items.is_empty() {
        notes.push(Note::new("no_entity", "", "no entity is left"));
    }
    Ok((entities, notes))
}

/// The first answer that is a list.
fn list(
    paragraph: &str,
    cfg: &ParseConfig,
    prompt: &Prompt,
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<Vec<Named>, Fault> {
    let item = json!({
        "type": "object",
        "properties": { "expression": { "type": "string" }, "noun": { "type": "string" } },
        "required": ["expression", "noun"],
        "additionalProperties": false,
    });
    let schema = json!({
        "type": "object",
        "properties": { "entities": { "type": "array", "items": item } },
        "required": ["entities"],
        "additionalProperties": false,
    });
    let facts = json!({ "paragraph": paragraph, "most": cfg.most_entities });
    let mut last = None;
    for number in 0..cfg.tries {
        match teacher.try_ask::<List>(&question(prompt, &facts, schema.clone(), cfg, number)?, watch)? {
            Said::Well(list) => return Ok(list.entities),
            Said::Badly(fault) => last = Some(fault),
        }
    }
    Err(last.expect("there is one try at least"))
}

/// The broad noun of an expression, or why there is none.
fn broad(
    expression: &str,
    noun: &str,
    cfg: &ParseConfig,
    prompt: &Prompt,
    teacher: Asked<'_>,
    watch: &Watch<'_>,
) -> Result<Result<String, String>, Fault> {
    let schema = json!({
        "type": "object",
        "properties": { "noun": { "type": "string" } },
        "required": ["noun"],
        "additionalProperties": false,
    });
    let facts = json!({ "expression": expression, "noun": noun });
    let mut last = String::new();
    for number in 0..cfg.tries {
        match teacher.try_ask::<Broad>(&question(prompt, &facts, schema.clone(), cfg, number)?, watch)? {
            Said::Well(broad) => match category(&broad.noun) {
                Some(noun) => return Ok(Ok(noun)),
                None => last = format!("{:?} is no broad noun", broad.noun),
            },
            Said::Badly(fault) => last = fault.to_string(),
        }
    }
    Ok(Err(format!("no broad noun after {} tries, the last: {last}", cfg.tries)))
}

fn question(
    prompt: &Prompt,
    facts: &Value,
    schema: Value,
    cfg: &ParseConfig,
    number: u32,
) -> Result<Question, Fault> {
    let question = prompt.ask(facts).map_err(|error| Fault::Records { reason: error.to_string() })?;
    let sampling = again(cfg.sampling, number);
    Ok(Question { schema: Some(schema), sampling, ..question })
}

/// How try `number` is drawn; the first is 0.
pub(super) fn again(first: Sampling, number: u32) -> Sampling {
    let mut sampling = first;
    if number > 0 {
        sampling.seed += 1000 * u64::from(number);
        sampling.temperature = sampling.temperature.max(WARMER);
    }
    sampling
}

/// A noun as it is looked for: in lower case, without article, of one to three words of letters.
fn category(text: &str) -> Option<String> {
    let noun = bare(text).trim_end_matches('.').to_lowercase();
    let words = noun.split_whitespace().count();
    let letters = noun.chars().all(|letter| letter.is_alphabetic() || " -'".contains(letter));
    ((1..=3).contains(&words) && letters && !is_nothing(&noun)).then_some(noun)
}

/// Where the expression stands in the paragraph, in bytes.
fn find(paragraph: &str, expression: &str) -> Option<(usize, usize)> {
    let (text, sought) = (paragraph.to_ascii_lowercase(), bare(expression).to_ascii_lowercase());
    text.find(&sought).map(|start| (start, start + sought.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nouns_are_words_and_never_the_word_for_nothing() {
        assert_eq!(category("The Poodle."), Some("poodle".to_owned()));
        assert_eq!(category("fire engine"), Some("fire engine".to_owned()));
        for text in ["None", "null", " ", "n/a", "one two three four", "dog2", "[dog]", "Unknown."] {
            assert_eq!(category(text), None, "{text}");
        }
        assert_eq!(find("A man in Red runs.", "the man in red"), Some((2, 12)));
    }
}
