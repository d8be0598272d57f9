//! The rules of Video-MME's script.

use super::letter::position;

/// What its own script takes away.
pub(super) const OPENINGS: [&str; 8] = [
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
];

/// What the common harness takes away.
pub(super) const HARNESS_OPENINGS: [&str; 10] = [
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
    "Answer:",
    "Option:",
];

/// The first capital A to D once the openings are gone, even inside a word.
pub(super) fn choice(text: &str, openings: &[&str]) -> Option<usize> {
    let mut text = text.trim().to_owned();
    for opening in openings {
        text = text.replace(opening, "");
    }
    text.chars().find(|c| ('A'..='D').contains(c)).and_then(position)
}
