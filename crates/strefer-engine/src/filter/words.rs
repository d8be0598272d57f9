//! What is wrong with the words of a question and its answer.

use strefer_core::Sample;
use strefer_core::placeholder::{Piece, pieces};
use strefer_core::sample::Role;

use crate::facts::Facts;
use crate::language::rewrite::find_leak;

/// Words that speak of a picture's making, which an answer about a video has no use for.
const META: [&str; 8] =
    ["highlighted", "bounding box", "segmentation", "masked", "as an ai", "the mask", "outlined", "red box"];

/// The first thing that is wrong with the words of one question with its answer; `None` when they pass. Who is meant is told by `facts`.
pub(super) fn fault(pair: &Sample, facts: Option<&Facts>) -> Option<String> {
    for turn in pair.conversations.iter().filter(|turn| turn.role != Role::System) {
        let who = if turn.role == Role::User { "question" } else { "answer" };
        let plain = plain(&turn.text);
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
    let lower = plain.to_lowercase();
    if let Some(word) = META.into_iter().find(|word| lower.contains(word)) {
        return Some(format!("{word:?} speaks of the picture's making"));
    }
    let words: Vec<&str> =
        lower.split(|c: char| !(c.is_alphanumeric() || c == '\'')).filter(|word| !word.is_empty()).collect();
    // "that that" and "had had" are right now and then, and nothing of ours says them.
    if let Some(pair) =
        words.windows(2).find(|pair| pair[0] == pair[1] && pair[0].chars().all(char::is_alphabetic))
    {
        let placed = matches!(pair[0], "region" | "time");
        if !placed {
            return Some(format!("\"{} {}\"", pair[0], pair[1]));
        }
    }
    let vowel = |word: &str| word.starts_with(['a', 'e', 'i', 'o']);
    let sounded =
        |word: &str| ["one", "once", "uni", "use", "eu"].iter().any(|start| word.starts_with(start));
    let article = words.windows(2).find(|pair| {
        pair[0] == "a" && vowel(pair[1]) && !sounded(pair[1]) && pair[1].len() > 1
            || pair[0] == "an" && !vowel(pair[1]) && !pair[1].starts_with(['u', 'h', 'x', '8', '1', 'm'])
    });
    if let Some(pair) = article {
        return Some(format!("\"{} {}\"", pair[0], pair[1]));
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
            ("The highlighted ball.", "answer: \"highlighted\" speaks of the picture's making"),
            ("It moves (left.", "answer: a bracket or quotation mark is left open"),
        ] {
            assert_eq!(fault_of("What is it?", answer).as_deref(), Some(expected));
        }
        assert!(fault_of("", "Yes.").unwrap().starts_with("question"));
    }
}
