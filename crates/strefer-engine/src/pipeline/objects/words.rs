//! Whether texts of teachers are about the object, and not about the picture that they were shown.

use strefer_core::placeholder::{Piece, pieces};
use strefer_core::records::Entity;

use crate::language::nouns::bare;
use crate::language::said as words;
use crate::pipeline::parse::is_nothing;

/// Words of whoever looks at a marked picture, wherever they stand.
const MARKED: [&str; 6] = ["outlined", "highlighted", "outline", "screenshot", "contour", "contoured"];

/// Words for what is looked at or drawn into it, after one of [`POINTING`].
const PICTURES: [&str; 11] = [
    "image",
    "images",
    "picture",
    "pictures",
    "photo",
    "photograph",
    "frame",
    "frames",
    "box",
    "boxes",
    "footage",
];

/// What outlines are called in prompts.
const LINE: [&str; 2] = ["red", "line"];

/// What makes a picture of a video of any of these: "a picture frame" may hang on a wall, "the frame" is looked at.
const POINTING: [&str; 21] = [
    "the", "this", "these", "those", "that", "each", "every", "all", "first", "second", "third", "last",
    "final", "next", "previous", "bounding", "given", "shown", "provided", "still", "video",
];

/// Words that come twice in a row of so many are a loop.
const LOOP: usize = 6;

/// The same word so often in a row is one, too.
const STUTTER: usize = 4;

/// More words than that describe no object.
const MOST_WORDS: usize = 300;

/// What is wrong with a text about an object, if anything. `names`, in lower case, are words that mean objects of the video.
pub fn problem(text: &str, names: &str) -> Option<String> {
    if is_nothing(text) {
        return Some("it is empty".to_owned());
    }
    if pieces(text).iter().any(|piece| !matches!(piece, Piece::Text(_))) {
        return Some("it holds a mark".to_owned());
    }
    let words = words(text);
    if words.len() > MOST_WORDS {
        return Some(format!("it has {} words", words.len()));
    }
    picture_word(&words, names)
        .map(|word| format!("it speaks of {word:?}, not of the object"))
        .or_else(|| repeated(text, &words).map(|what| format!("it repeats {what:?}")))
}

/// What is wrong with a question about an object and its answer, if anything.
pub fn pair_problem(question: &str, answer: &str, entity: &Entity, names: &str) -> Option<String> {
    let marks = pieces(question).into_iter().filter(|piece| !matches!(piece, Piece::Text(_)));
    if marks.collect::<Vec<_>>() != [Piece::Region(None)] {
        return Some("the question does not hold <region> once, and nothing else".to_owned());
    }
    let plain = question.replace("<region>", " ");
    if is_nothing(&plain) || question.trim().contains('\n') || !question.trim().ends_with(['?', '.']) {
        return Some("it is no question on one line".to_owned());
    }
    // A whole noun phrase before the mark: "the dog <region>".
    let before = question.split("<region>").next().unwrap_or_default();
    let nouns = [&entity.noun, &entity.general_noun].map(|noun| words(noun));
    if nouns.iter().any(|noun| !noun.is_empty() && words(before).ends_with(noun)) {
        return Some("the question names the object beside <region>".to_owned());
    }
    for (place, text) in [("question", plain.as_str()), ("answer", answer)] {
        if let Some(name) = named(text, entity) {
            return Some(format!("the {place} says {name:?} of the object"));
        }
        if let Some(problem) = problem(text, names) {
            return Some(format!("the {place}: {problem}"));
        }
    }
    // "It is a brown dog" may be the answer; a question would give it away.
    let expression = words(bare(&entity.expression));
    let given_away = expression.len() > 1 && holds(&words(&plain), &expression);
    given_away.then(|| format!("the question says {:?} of the object", expression.join(" ")))
}

/// The object by its expression or its noun after "the", which tells a reader which one is meant.
fn named(text: &str, entity: &Entity) -> Option<String> {
    let said = words(text);
    let after_article = |name: &str| {
        ["the", "this", "that"].iter().find_map(|article| {
            let mut phrase = vec![(*article).to_owned()];
            phrase.extend(words(name));
            (phrase.len() > 1 && holds(&said, &phrase)).then(|| phrase.join(" "))
        })
    };
    after_article(bare(&entity.expression))
        .or_else(|| after_article(&entity.noun))
        .or_else(|| after_article(&entity.general_noun))
}

/// Whether words stand in a text one after the other.
fn holds(text: &[String], phrase: &[String]) -> bool {
    text.windows(phrase.len()).any(|window| window == phrase)
}

/// A word of whoever looks at a marked picture and not at what it shows, if a text has one. `names`, in lower case, are words that mean
/// objects of the video.
pub fn speaks_of_picture(text: &str, names: &str) -> Option<String> {
    picture_word(&words(text), names)
}

fn picture_word(words: &[String], names: &str) -> Option<String> {
    let is_name = |word: &str| names.split(|letter: char| !letter.is_alphanumeric()).any(|name| name == word);
    let marked = words.iter().find(|word| MARKED.contains(&word.as_str()) && !is_name(word));
    let shown = || {
        let pairs = words.windows(2).find(|pair| {
            let pointed = POINTING.contains(&pair[0].as_str()) && PICTURES.contains(&pair[1].as_str());
            (pointed || *pair == LINE) && !is_name(&pair[1])
        });
        pairs.map(|pair| pair.join(" "))
    };
    marked.cloned().or_else(shown)
}

/// A sentence that comes twice, a run of words that does, or a word again and again.
fn repeated(text: &str, all: &[String]) -> Option<String> {
    let sentences: Vec<Vec<String>> =
        text.split_inclusive(['.', '!', '?']).map(words).filter(|sentence| sentence.len() > 2).collect();
    let twice = sentences.iter().enumerate().find(|(at, sentence)| sentences[..*at].contains(sentence));
    if let Some((_, sentence)) = twice {
        return Some(sentence.join(" "));
    }
    let mut seen = std::collections::BTreeSet::new();
    if let Some(run) = all.windows(LOOP).find(|run| !seen.insert(*run)) {
        return Some(run.join(" "));
    }
    let stutter = all.windows(STUTTER).find(|run| run.iter().all(|word| *word == run[0]));
    stutter.map(|run| run.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str, why: &str) {
        let problem = problem(text, "the red box the boy box");
        assert!(problem.as_deref().is_some_and(|problem| problem.contains(why)), "{text}: {problem:?}");
    }

    #[test]
    fn texts_about_pictures_and_texts_that_go_in_circles_are_refused() {
        for text in ["", " None. ", "n/a"] {
            refused(text, "empty");
        }
        refused("The boy in the image walks.", "the image");
        refused("In the first frame the boy sits.", "first frame");
        refused("The boy outlined in red walks.", "outlined");
        refused("A highlighted boy.", "highlighted");
        refused("The boy inside the red line walks.", "red line");
        refused("The boy <region:0> walks.", "mark");
        refused("The boy walks. He sits down. The boy walks.", "the boy walks");
        refused("A boy with a ball with a ball with a ball with a ball.", "repeats");
        refused("A very very very very tall boy.", "repeats");
        refused(&"word and ".repeat(200), "400 words");
        for text in [
            "The boy walks past the red box and looks at a picture frame.",
            "A man takes a photo of the boy, then the boy takes a photo of the man.",
            "It carries a red box along a line.",
        ] {
            assert_eq!(problem(text, "the red box the boy box"), None, "{text}");
        }
        assert!(problem("It stands in the box.", "the boy").is_some());
    }

    #[test]
    fn pairs_point_at_the_object_with_the_mark_alone() {
        let entity = Entity {
            eid: "e0".into(),
            expression: "the small brown dog".into(),
            noun: "dog".into(),
            general_noun: "animal".into(),
            active: true,
            source_span: None,
            attributes: Default::default(),
        };
        let try_it = |question: &str, answer: &str| pair_problem(question, answer, &entity, "dog");
        assert_eq!(try_it("What is <region>?", "It is a small dog."), None);
        assert_eq!(try_it("Why does <region> bark at another dog?", "It is afraid."), None);
        let refused = |question: &str, answer: &str, why: &str| {
            let problem = try_it(question, answer).unwrap_or_default();
            assert!(problem.contains(why), "{question}: {problem}");
        };
        refused("What does it do?", "It barks.", "once");
        refused("Does <region> see <region>?", "Yes.", "once");
        refused("Does <region> see <time:0>?", "Yes.", "once");
        refused("What does the dog <region> do?", "It barks.", "beside");
        refused("What does <region> do, and is the dog old?", "It barks.", "the dog");
        refused("Is <region> the small brown dog?", "Yes.", "the small brown dog");
        refused("Is <region> a small brown dog?", "Yes.", "small brown dog");
        assert_eq!(try_it("What is <region>?", "It is a small brown dog."), None);
        refused("What does <region> do?", "The dog barks.", "answer says");
        refused("What does <region> do?", "", "empty");
        refused("What does <region> do in the frame?", "It barks.", "the frame");
        refused("<region>", "It barks.", "no question");
    }
}
