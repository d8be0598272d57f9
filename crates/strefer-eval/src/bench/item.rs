//! What one item of a benchmark shows, asks and counts for.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use strefer_core::Sample;
use strefer_core::sample::{Media, MediaKind, Region, Role, TimeRef, TimeStyle};

use crate::error::Result;

/// One question of a benchmark.
#[derive(Debug, Clone)]
pub struct Item {
    /// What is shown and asked; its id is the item's.
    pub sample: Sample,
    /// The most tokens of an answer.
    pub max_new_tokens: usize,
    /// What it is counted under, by name.
    pub groups: BTreeMap<String, String>,
    /// What is true, as it is logged.
    pub label: Value,
    /// What a right answer says, in the form that the question asks for.
    pub right: Option<String>,
    /// The answers it offers, where it offers some.
    pub offer: Option<Offer>,
    /// What the same question is about when another object or another moment is put in.
    pub other: Option<Other>,
    /// Its words, where they depend on the video.
    pub late: Option<LateTurn>,
}

/// Words of a question that are known once its video can be opened.
#[derive(Clone)]
pub struct LateTurn(Arc<dyn Fn() -> Result<String> + Send + Sync>);

impl LateTurn {
    /// Words that a function gives.
    pub(super) fn new(turn: impl Fn() -> Result<String> + Send + Sync + 'static) -> Self {
        Self(Arc::new(turn))
    }

    /// The user's turn.
    ///
    /// # Errors
    /// A video or a file beside it that cannot be read.
    pub fn turn(&self) -> Result<String> {
        (self.0)()
    }
}

impl fmt::Debug for LateTurn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LateTurn")
    }
}

/// Given answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Offer {
    /// The user's turn that asks without naming them.
    pub question: String,
    /// Each answer in words.
    pub texts: Vec<String>,
    /// How a model says that it chooses each of them.
    pub replies: Vec<String>,
    /// The position of the right one.
    pub right: Option<usize>,
}

/// Another object or moment for the same question.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Other {
    /// The objects that are put in, in the order of the item's regions.
    pub regions: Option<Vec<Region>>,
    /// The moments that are put in, in seconds, in the order of the item's times.
    pub times_s: Option<Vec<f64>>,
    /// The position of the answer that is then right, where that is known.
    pub answer: Option<usize>,
}

impl Item {
    /// A question about one video or folder of frames, given as a user's turn.
    pub(super) fn new(id: impl Into<String>, media: Media, turn: String) -> Self {
        let video_id = media.uri.clone();
        let mut sample = Sample::new(id, video_id, vec![media]);
        sample.say(Role::User, turn);
        Self {
            sample,
            max_new_tokens: 16,
            groups: BTreeMap::new(),
            label: Value::Null,
            right: None,
            offer: None,
            other: None,
            late: None,
        }
    }

    /// Its id.
    pub fn id(&self) -> &str {
        &self.sample.id
    }

    /// Sets the moments that `<time:0>`, `<time:1>`, … stand for, in seconds.
    pub(super) fn at(&mut self, times_s: &[f64]) {
        self.sample.times = times_s
            .iter()
            .enumerate()
            .map(|(tid, &s)| TimeRef { tid, s, rel_to: "media:0".to_owned(), style: TimeStyle::Token })
            .collect();
    }
}

/// A video file.
pub(super) fn video(uri: String) -> Media {
    Media { kind: MediaKind::Video, uri, segment: None, size: None }
}

/// A folder of frames.
pub(super) fn frames(uri: String) -> Media {
    Media { kind: MediaKind::Frames, uri, segment: None, size: None }
}

/// Stretches of seconds: `3.0 - 7.5, 12.0 - 20.0`, each end with as many digits as it needs, one at least.
pub(super) fn in_words(windows_s: &[[f64; 2]]) -> String {
    let window = |[start_s, end_s]: &[f64; 2]| format!("{start_s:?} - {end_s:?}");
    windows_s.iter().map(window).collect::<Vec<_>>().join(", ")
}

/// `(A) red`: how options are written that have no letters of their own.
pub(super) fn bracketed(texts: &[String]) -> Vec<String> {
    lettered(texts, |letter, text| format!("({letter}) {text}"))
}

/// `A. red`
pub(super) fn dotted(texts: &[String]) -> Vec<String> {
    lettered(texts, |letter, text| format!("{letter}. {text}"))
}

fn lettered(texts: &[String], form: impl Fn(char, &str) -> String) -> Vec<String> {
    ('A'..='Z').zip(texts).map(|(letter, text)| form(letter, text)).collect()
}

/// An option's words without its letter: `(A) red`, `A. red` and `A) red` all say "red".
pub(super) fn unlettered(option: &str) -> &str {
    letter_and_words(option).1
}

/// An option's letter as it is written there, `(A)` or `A`; all of an option that has none.
pub(super) fn letter(option: &str) -> &str {
    let (letter, words) = letter_and_words(option);
    if letter.is_empty() { words } else { letter }
}

fn letter_and_words(option: &str) -> (&str, &str) {
    let option = option.trim();
    let bracket = usize::from(option.starts_with('('));
    match option.as_bytes()[bracket..] {
        [b'A'..=b'Z', sign @ (b')' | b'.'), ..] => {
            let (before, words) = option.split_at(bracket + 2);
            let letter = if bracket == 1 && sign == b')' { before } else { &before[bracket..=bracket] };
            (letter, words.trim())
        }
        _ => ("", option),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_have_words_behind_their_letters() {
        for option in ["(A) It's red", "A. It's red", " B) It's red "] {
            assert_eq!(unlettered(option), "It's red");
        }
        assert_eq!(unlettered("A man"), "A man");
        let letters = ["(A) It's red", "A. It's red", "B) It's red ", "Yes.", "(A man)"].map(letter);
        assert_eq!(letters, ["(A)", "A", "B", "Yes.", "(A man)"]);
        assert_eq!(bracketed(&["red".to_owned(), "blue".to_owned()]), ["(A) red", "(B) blue"]);
    }
}
