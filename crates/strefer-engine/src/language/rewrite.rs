//! Mask rewriting: a question that names an object becomes one that points at it.
//!
//! Every mention of the expression, and of its noun, becomes "the" with the broad noun the first time and a pronoun
//! afterwards; one `<region:i>` is put beside the first mention, or into a line before the question. What would
//! still tell the object from the others by words alone is a leak, and the question is refused.

use std::ops::Range;

use strefer_core::records::Entity;

use crate::language::nouns::{Grammar, bare, capitalised, generic, is_plural, plural};

/// An entity that a question points at, and the region that shows it.
#[derive(Debug, Clone, Copy)]
pub struct Referent<'a> {
    /// The entity.
    pub entity: &'a Entity,
    /// The `i` of its `<region:i>`.
    pub region: usize,
}

/// Where `<region:i>` stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// Alone, instead of the first mention: "What is <region:0> doing?"
    Alone,
    /// After the broad noun: "What is the toy <region:0> doing?"
    Inline,
    /// In a preface: "About <region:0>: what is the toy doing?"
    Preface,
}

/// Why a question cannot be masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// The text never mentions the entity.
    NotMentioned {
        /// The entity.
        eid: String,
    },
    /// A word of the expression is still there.
    Leak {
        /// The entity.
        eid: String,
        /// The word.
        word: String,
    },
}

/// Rewrites a question that names every referent by its expression or noun.
///
/// # Errors
/// A referent that is not mentioned, or whose words survive.
pub fn mask_question(named: &str, referents: &[Referent<'_>], place: Place) -> Result<String, Refusal> {
    let mut text = named.to_owned();
    for (at, referent) in referents.iter().enumerate() {
        // The nouns inside the expressions of those who come later are theirs.
        let others: Vec<&Entity> = referents[at + 1..].iter().map(|other| other.entity).collect();
        text = replace_mentions(&text, *referent, &others, place)?;
    }
    for referent in referents {
        if let Some(word) = find_leak(&text, referent.entity) {
            return Err(Refusal::Leak { eid: referent.entity.eid.clone(), word });
        }
    }
    if place == Place::Preface {
        let tags: Vec<String> =
            referents.iter().map(|referent| format!("<region:{}>", referent.region)).collect();
        text = format!("About {}: {}", tags.join(" and "), lowercased(&text));
    }
    Ok(text)
}

/// A word of the entity's expression or noun that `text` still holds, outside placeholders; `None` when it is safe.
/// The broad noun and function words tell nothing.
pub fn find_leak(text: &str, entity: &Entity) -> Option<String> {
    let harmless: Vec<String> = words(&generic(entity)).chain(words(&entity.general_noun)).collect();
    let mut telling: Vec<String> = words(bare(&entity.expression))
        .chain(words(bare(&entity.noun)))
        .filter(|word| !is_function_word(word))
        .collect();
    let many: Vec<String> = telling.iter().map(|word| plural(word)).collect();
    telling.extend(many);
    let plain = without_placeholders(text);
    words(&plain).find(|word| telling.contains(word) && !harmless.contains(word))
}

fn replace_mentions(
    text: &str,
    referent: Referent<'_>,
    others: &[&Entity],
    place: Place,
) -> Result<String, Refusal> {
    let entity = referent.entity;
    let mentions = mentions(text, entity, others);
    if mentions.is_empty() {
        return Err(Refusal::NotMentioned { eid: entity.eid.clone() });
    }
    let grammar = Grammar::of(entity);
    let (mut rewritten, mut from) = (String::new(), 0);
    for (nth, mention) in mentions.iter().enumerate() {
        rewritten.push_str(&text[from..mention.start]);
        from = mention.end;
        let possessive = text[from..].starts_with("'s");
        let mut phrase = match (nth, place) {
            (0, Place::Alone) => format!("<region:{}>", referent.region),
            (0, Place::Inline) => format!("the {} <region:{}>", generic(entity), referent.region),
            (0, Place::Preface) => format!("the {}", generic(entity)),
            _ if possessive => {
                from += 2;
                grammar.possessive().to_owned()
            }
            _ if is_subject(&text[..mention.start], &text[from..]) => subject(entity, &text[from..]),
            _ => grammar.object_pronoun().to_owned(),
        };
        if starts_sentence(&rewritten) && !phrase.starts_with('<') {
            phrase = capitalised(&phrase);
        }
        rewritten.push_str(&phrase);
    }
    rewritten.push_str(&text[from..]);
    Ok(rewritten)
}

/// The pronoun before a verb. One person is repeated by noun where the verb stands in the singular.
fn subject(entity: &Entity, after: &str) -> String {
    let grammar = Grammar::of(entity);
    let next = after.split_whitespace().next().unwrap_or_default();
    if grammar.person && !grammar.plural && next.ends_with('s') {
        return format!("the {}", generic(entity));
    }
    grammar.pronoun().to_owned()
}

/// Where the expression stands with its article, and otherwise where the noun does outside of `others`.
fn mentions(text: &str, entity: &Entity, others: &[&Entity]) -> Vec<Range<usize>> {
    let mut found = find_phrase(text, bare(&entity.expression));
    let theirs: Vec<Range<usize>> =
        others.iter().flat_map(|other| find_phrase(text, bare(&other.expression))).collect();
    for range in find_phrase(text, bare(&entity.noun)) {
        if !found.iter().chain(&theirs).any(|other| other.start < range.end && range.start < other.end) {
            found.push(range);
        }
    }
    found.sort_by_key(|range| range.start);
    for range in &mut found {
        let before = text[..range.start].to_ascii_lowercase();
        for article in ["the ", "a ", "an ", "this ", "that "] {
            let at = range.start.saturating_sub(article.len());
            if before.ends_with(article) && (at == 0 || !before.as_bytes()[at - 1].is_ascii_alphanumeric()) {
                range.start = at;
                break;
            }
        }
    }
    found
}

/// All places of a phrase as whole words, in any case.
fn find_phrase(text: &str, phrase: &str) -> Vec<Range<usize>> {
    let (haystack, needle) = (text.to_ascii_lowercase(), phrase.to_ascii_lowercase());
    if needle.is_empty() {
        return Vec::new();
    }
    let is_word =
        |letter: Option<char>| letter.is_some_and(|letter| letter.is_alphanumeric() || letter == '-');
    haystack
        .match_indices(&needle)
        .map(|(start, _)| start..start + needle.len())
        .filter(|range| {
            !is_word(haystack[..range.start].chars().next_back())
                && !is_word(haystack[range.end..].chars().next())
        })
        .collect()
}

/// Whether a mention is what a verb agrees with: after an auxiliary or a conjunction, or before a verb.
fn is_subject(before: &str, after: &str) -> bool {
    const LEADS: [&str; 15] = [
        "does", "do", "did", "is", "are", "was", "were", "while", "when", "as", "once", "because", "that",
        "before", "after",
    ];
    let last = before.split_whitespace().next_back().map(str::to_ascii_lowercase);
    let next = after.split_whitespace().next().unwrap_or_default();
    let sentence_start = starts_sentence(before);
    sentence_start
        || last.is_some_and(|last| LEADS.contains(&last.as_str()))
        || matches!(next, "is" | "are" | "does" | "do" | "was" | "were" | "has" | "have")
}

fn starts_sentence(before: &str) -> bool {
    let before = before.trim_end();
    before.is_empty() || before.ends_with(['.', '?', '!'])
}

fn lowercased(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

fn without_placeholders(text: &str) -> String {
    strefer_core::placeholder::render(text, |_| " ".to_owned())
}

fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    text.split(|letter: char| !letter.is_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_ascii_lowercase)
}

fn is_function_word(word: &str) -> bool {
    const FUNCTION: [&str; 38] = [
        "a", "an", "the", "this", "that", "of", "in", "on", "at", "to", "with", "and", "or", "by", "for",
        "from", "his", "her", "its", "their", "is", "are", "who", "which", "it", "they", "one", "two",
        "three", "four", "over", "under", "near", "as", "up", "down", "into", "while",
    ];
    FUNCTION.contains(&word) || word.len() < 2
}

/// Whether verbs in a question agree in the plural with an entity's name.
pub fn verbs_are_plural(entity: &Entity) -> bool {
    Grammar::of(entity).plural || is_plural(bare(&entity.noun))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entity(expression: &str, noun: &str, general_noun: &str) -> Entity {
        Entity {
            eid: "e0".to_owned(),
            expression: expression.to_owned(),
            noun: noun.to_owned(),
            general_noun: general_noun.to_owned(),
            active: true,
            source_span: None,
            attributes: Default::default(),
        }
    }

    fn mask(text: &str, entity: &Entity, place: Place) -> Result<String, Refusal> {
        mask_question(text, &[Referent { entity, region: 0 }], place)
    }

    #[test]
    fn the_broad_noun_comes_first_and_pronouns_after() {
        let girl = entity("girl in a white dress", "girl", "person");
        let text =
            "What does the girl in a white dress do after the girl sits down, and what is the girl's aim?";
        assert_eq!(
            mask(text, &girl, Place::Inline).unwrap(),
            "What does the person <region:0> do after the person sits down, and what is their aim?"
        );
        assert_eq!(
            mask("The girl in a white dress is seen. Who helps the girl?", &girl, Place::Preface).unwrap(),
            "About <region:0>: the person is seen. Who helps them?"
        );
        assert_eq!(mask("What is a girl doing?", &girl, Place::Alone).unwrap(), "What is <region:0> doing?");
    }

    #[test]
    fn number_agrees_with_the_noun() {
        let girls = entity("two girls in white", "girls", "person");
        assert_eq!(
            mask("What do the two girls in white do while the girls dance?", &girls, Place::Inline).unwrap(),
            "What do the people <region:0> do while they dance?"
        );
        let ball = entity("large red ball", "ball", "toy");
        assert_eq!(
            mask("Does the large red ball jump when the large red ball is hit?", &ball, Place::Inline)
                .unwrap(),
            "Does the toy <region:0> jump when it is hit?"
        );
    }

    #[test]
    fn a_planted_leak_is_found() {
        let ball = entity("large red striped ball", "ball", "toy");
        let leaks = |text| mask(text, &ball, Place::Inline).unwrap_err();
        let leak = |word: &str| Refusal::Leak { eid: "e0".to_owned(), word: word.to_owned() };
        assert_eq!(leaks("Why is the large red striped ball near the red wall?"), leak("red"));
        assert_eq!(leaks("Which of the balls is the large red striped ball?"), leak("balls"));
        assert_eq!(leaks("Does the ball, striped as it is, move?"), leak("striped"));
        assert_eq!(leaks("What moves?"), Refusal::NotMentioned { eid: "e0".to_owned() });
        assert!(mask("Does the ball roll into the bedroom near <region:9>?", &ball, Place::Inline).is_ok());
    }

    #[test]
    fn two_referents_keep_their_own_regions() {
        let (ball, mut other) =
            (entity("large red ball", "ball", "toy"), entity("small blue ball", "ball", "toy"));
        other.eid = "e1".to_owned();
        let referents = [Referent { entity: &ball, region: 0 }, Referent { entity: &other, region: 1 }];
        assert_eq!(
            mask_question(
                "What happens between the large red ball and the small blue ball?",
                &referents,
                Place::Inline
            ),
            Ok("What happens between the toy <region:0> and the toy <region:1>?".to_owned())
        );
    }
}
