//! What teachers of objects say: one that knows the world's truth, and one with weaknesses.

use std::collections::{BTreeSet, HashMap};
use std::sync::OnceLock;

use serde_json::{Value, json};

use crate::lab::{fields, words};

/// What stands between two pieces of a prompt.
fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let begin = text.find(before)? + before.len();
    let length = text[begin..].find(after)?;
    Some(text[begin..begin + length].trim())
}

/// Things of a caption "Here are the A, the B.", one by one.
fn listed(prompt: &str) -> Vec<Value> {
    let things = between(prompt, "Here are ", ".\n").unwrap_or_default();
    let thing = |phrase: &str| {
        let noun = phrase.rsplit(' ').next().unwrap_or_default();
        json!({ "expression": phrase, "noun": noun })
    };
    things.split(", ").map(thing).collect()
}

/// What each body of the world does, by its name.
pub(super) static DEEDS: OnceLock<HashMap<String, String>> = OnceLock::new();

/// How many of the words that describe a body agree.
fn shared_words(one: &str, other: &str) -> usize {
    let words = |text: &str| -> BTreeSet<String> {
        let split = text.split(|letter: char| !letter.is_alphabetic()).map(str::to_lowercase);
        split.filter(|word| !["", "a", "an", "the"].contains(&word.as_str())).collect()
    };
    words(one).intersection(&words(other)).count()
}

/// What a good teacher says about objects, from the truth of the world.
pub(super) fn knows(body: &Value) -> String {
    let (fields, words) = (fields(body), words(body));
    let has = |name: &str| fields.contains(name);
    let named = || {
        let about = [
            ("Look only at this: ", ".\n"),
            ("asked about an object of a video: ", ".\n"),
            ("notes were taken about one object of a video: ", ".\n"),
            ("- It is: ", ".\n"),
        ];
        about.into_iter().find_map(|(before, after)| between(&words, before, after)).unwrap_or_default()
    };
    let answer = if has("entities") {
        json!({ "entities": listed(&words) })
    } else if has("same") {
        let seen = between(&words, "said what it is: ", "\n").unwrap_or_default();
        // Of size, colour, pattern and shape one may be mistaken.
        let shared = shared_words(named(), seen);
        json!({ "same": shared >= 3, "reason": format!("{shared} words agree") })
    } else if has("caption") {
        let look = between(&words, "How it looks: ", "\n").unwrap_or_default();
        let deed = between(&words, "What it does: ", "\n").unwrap_or_default();
        json!({ "caption": format!("{look} {deed}") })
    } else if has("pairs") {
        let pair = |kind: &str, question: &str, answer: String| json!({ "kind": kind, "question": question, "answer": answer });
        let bare = named().trim_start_matches("the ");
        json!({ "pairs": [
            pair("basic", "What is <region>?", format!("It is a {bare}.")),
            pair("reasoning", "Why does <region> stay near the others?", "It plays with them.".to_owned()),
            pair("future", "What will <region> do next?", "It will probably go on like this.".to_owned()),
        ] })
    } else if words.contains("how it looks:") {
        json!({ "description": format!("It is {}.", named()) })
    } else {
        let deed = DEEDS.get().and_then(|deeds| deeds.get(named().trim_start_matches("the ")));
        json!({ "description": deed.cloned().unwrap_or("It stands still.".to_owned()) })
    };
    answer.to_string()
}

/// A teacher with weaknesses: of the dog it cannot keep to the matter, odd things and foxes make it talk nonsense.
pub(super) fn errs(body: &Value) -> String {
    let (fields, words) = (fields(body), words(body));
    let about = |name: &str| words.contains(name);
    if (about("odd") || about("shy fox")) && fields.contains("same") {
        return "as I said: well".to_owned();
    }
    let only_seen = fields.contains("description") && words.contains("A red line");
    let pair = |kind: &str, question: &str| json!({ "kind": kind, "question": question, "answer": "It is how it is." });
    let answer = if only_seen {
        json!({ "description": "A plain thing." })
    } else if fields.contains("same") {
        json!({ "same": true, "reason": "they agree" })
    } else if about("pale dog") && fields.contains("caption") {
        json!({ "caption": "The image shows a dog." })
    } else if about("pale dog") && fields.contains("pairs") {
        json!({ "pairs": [pair("basic", "What is <region>?"), pair("future", "Where will the dog go?")] })
    } else {
        return knows(body);
    };
    answer.to_string()
}
