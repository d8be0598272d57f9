//! The rules of Video-MME's script.

use super::letter::position;

/// What its own script takes away.
const OPENINGS: [&str; 8] = [
    "The best answer is",
    "The correct answer is",
    "The answer is",
    "The answer",
    "The best option is",
    "The correct option is",
    "Best answer:",
    "Best option:",
];

/// What the common harness takes away besides.
pub(super) const HARNESS_OPENINGS: [&str; 2] = ["Answer:", "Option:"];

/// The first capital A to D once the openings and `others` are gone, even inside a word.
pub(super) fn choice(text: &str, others: &[&str]) -> Option<usize> {
    let mut text = text.trim().to_owned();
    for opening in OPENINGS.iter().chain(others) {
        text = text.replace(opening, "");
    }
    text.chars().find(|c| ('A'..='D').contains(c)).and_then(position)
}
