//! TempCompass' rules, without a judge.

use super::letter::position;

fn plain(text: &str) -> &str {
    text.trim().trim_end_matches("</s>").trim()
}

/// A whole option (`A. …`), one letter A to D, or text that starts with `A.` or `A)`.
pub(super) fn multiple_choice(text: &str, options: &[String]) -> Option<usize> {
    let text = plain(text);
    if let Some(at) = options.iter().position(|option| option == text) {
        return Some(at);
    }
    let mut chars = text.chars();
    let letter = chars.next().filter(|c| ('A'..='D').contains(c))?;
    matches!(chars.next(), None | Some('.' | ')')).then(|| position(letter)).flatten()
}

/// Yes is 0, no is 1.
pub(super) fn yes_or_no(text: &str) -> Option<usize> {
    let text = plain(text).to_lowercase();
    ["yes", "no"].iter().position(|word| text.starts_with(word))
}

/// Options are lines like `Option 1: …`; of several ways to name one the last counts.
pub(super) fn caption_matching(text: &str, options: &[String]) -> Option<usize> {
    let text = plain(text);
    let parts = |option: &str| {
        let (head, sentence) = option.split_once(": ").unwrap_or((option, option));
        let index = head.rsplit(' ').next().unwrap_or(head);
        (head.to_owned(), sentence.to_owned(), index.to_owned())
    };
    let undotted = text.replace('.', "");
    let after_bracket = text.split_once(") ").map_or(text, |(_, rest)| rest);
    let is = |option: &str, way: usize| {
        let (head, sentence, index) = parts(option);
        match way {
            0 => text == option,
            1 => text == sentence || after_bracket == sentence,
            2 => text == head || undotted == head,
            _ => text == index || undotted == index,
        }
    };
    (0..4).rev().find_map(|way| options.iter().position(|option| is(option, way)))
}
