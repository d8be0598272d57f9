//! What is wrong with the words of a question and its answer.

use strefer_core::Sample;
use strefer_core::placeholder::{Piece, pieces};
use strefer_core::sample::Role;

use crate::facts::Facts;
use crate::language::rewrite::find_leak;
use crate::pipeline::objects::words::speaks_of_picture;

/// Words that stand twice in a row in good English.
const TWICE: [&str; 2] = ["that", "had"];

/// The first thing that is wrong with the words of one question with its answer; `None` when they pass. Who is meant is told by `facts`.
pub(super) fn fault(pair: &Sample, facts: Option<&Facts>) -> Option<String> {
    let names = facts.map(|facts| {
        let names =
            facts.entities.iter().map(|known| format!("{} {}", known.entity.expression, known.entity.noun));
        names.collect::<Vec<_>>().join(" ").to_lowercase()
    });
    for turn in pair.conversations.iter().filter(|turn| turn.role != Role::System) {
        let who = if turn.role == Role::User { "question" } else { "answer" };
        let plain = plain(&turn.text);
        let spoken = names.as_ref().and_then(|names| speaks_of_picture(&plain, names));
        if let Some(word) = spoken {
            return Some(format!("{who}: it speaks of {word:?}"));
        }
        if let Some(reason) = sentence_fault(&plain, &turn.text) {
            return Some(format!("{who}: {reason}"));
        }
        if turn.role == Role::User
            && let Some(reason) = leak(pair, &turn.text, facts)
        {
            return Some(format!("{who}: {reason}"));
        }
    }
    None
}

/// The text with a word where each placeholder stands.
fn plain(text: &str) -> String {
    pieces(text)
        .iter()
        .map(|piece| match piece {
            Piece::Text(text) | Piece::Unknown(text) => text,
            Piece::Visual => "",
            Piece::Region(_) => "REGION",
            Piece::Time(_) => "TIME",
        })
        .collect::<String>()
        .trim()
        .to_owned()
}

fn sentence_fault(plain: &str, text: &str) -> Option<String> {
    if plain.is_empty() {
        return Some("it is empty".to_owned());
    }
    for sentence in plain.split(['.', '!', '?', ';', ':']) {
        let words: Vec<&str> = sentence.split_whitespace().collect();
        if let Some(fault) = words.windows(2).find_map(|pair| pair_fault(pair[0], pair[1])) {
            return Some(fault);
        }
    }
    if let Some(tag) = pieces(text).iter().find_map(|piece| match piece {
        Piece::Unknown(tag) => Some(*tag),
        _ => None,
    }) {
        return Some(format!("{tag} means nothing"));
    }
    let open =
        plain.matches('(').count() != plain.matches(')').count() || plain.matches('"').count() % 2 == 1;
    open.then(|| "a bracket or quotation mark is left open".to_owned())
}

/// Two words that do not stand one behind the other: the same word twice, an article before the wrong sound.
fn pair_fault(first: &str, second: &str) -> Option<String> {
    // "a)" and "(a" are letters of choices.
    let second_word = second.trim_matches(|c: char| !c.is_alphanumeric());
    let (lower, next) = (first.to_lowercase(), second_word.to_lowercase());
    let is_word = !lower.is_empty() && lower.chars().all(char::is_alphabetic);
    if is_word && lower == next && !TWICE.contains(&lower.as_str()) && !matches!(first, "REGION" | "TIME") {
        return Some(format!("\"{lower} {next}\""));
    }
    // Letters that are spelled, digits and placeholders sound as they like.
    let spelled = second_word.chars().all(|c| !c.is_lowercase());
    if spelled || second_word.len() < 2 {
        return None;
    }
    let vowel = next.starts_with(['a', 'e', 'i', 'o']);
    let sounded = ["one", "once", "uni", "use", "eu"].iter().any(|start| next.starts_with(start));
    let wrong = match lower.as_str() {
        "a" => vowel && !sounded,
        "an" => !vowel && !next.starts_with(['u', 'h']),
        _ => false,
    };
    wrong.then(|| format!("\"{lower} {next}\""))
}

/// A word of the question that tells which object is meant without the mask.
fn leak(pair: &Sample, question: &str, facts: Option<&Facts>) -> Option<String> {
    let facts = facts?;
    pair.regions.iter().find_map(|region| {
        let entity = facts.entities.iter().find(|known| region.eid.as_ref() == Some(&known.entity.eid))?;
        let word = find_leak(question, &entity.entity)?;
        Some(format!("{word:?} tells which object is meant"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault_of(question: &str, answer: &str) -> Option<String> {
        let mut sample = Sample::new("s", "v", Vec::new());
        sample.say(Role::User, question);
        sample.say(Role::Assistant, answer);
        fault(&sample, None)
    }

    #[test]
    fn sentences_pass_and_broken_ones_do_not() {
        for answer in [
            "It moves to the left.",
            "An hour.",
            "A one-eyed cat (a tom).",
            "It is a unicorn.",
            "A.",
            "An umbrella.",
        ] {
            assert_eq!(fault_of("What does <region:0> do at <time:0>?", answer), None, "{answer}");
        }
        assert_eq!(fault_of("Between <time:0> <time:1>?", "Yes."), None);
        for (answer, expected) in [
            ("", "answer: it is empty"),
            ("It it moves.", "answer: \"it it\""),
            ("It is a apple.", "answer: \"a apple\""),
            ("It is an ball.", "answer: \"an ball\""),
            ("It moves (left.", "answer: a bracket or quotation mark is left open"),
        ] {
            assert_eq!(fault_of("What is it?", answer).as_deref(), Some(expected));
        }
        assert!(fault_of("", "Yes.").unwrap().starts_with("question"));
    }
}
