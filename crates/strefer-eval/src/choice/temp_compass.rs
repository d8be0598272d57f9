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

/// What a judge answers, who chooses an option by a caption alone: the line with `Answer`, or all of it. It chooses the
/// option whose letter stands before its first full stop, if it names no other.
pub(super) fn judged(reply: &str, options: &[String]) -> Option<usize> {
    let line = reply.lines().rfind(|line| line.contains("Answer"));
    let answer = line.map_or_else(|| reply.to_owned(), |line| line.replace("Answer:", ""));
    let named: usize = ["A.", "B.", "C.", "D."].iter().map(|letter| answer.matches(letter).count()).sum();
    let head = |text: &str| text.trim().split(". ").next().unwrap_or_default().to_owned();
    let said = head(&answer);
    if named == 1 { options.iter().position(|option| head(option) == said) } else { None }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_judge_chooses_by_the_letter_of_one_option() {
        let options = ["A. slowly", "B. fast"].map(str::to_owned);
        let choice = |reply: &str| judged(reply, &options);
        assert_eq!(choice("Reasoning: It dashes, not A. slowly.\nAnswer: B. fast"), Some(1));
        assert_eq!(choice("A. slowly"), Some(0));
        // The letter counts, not the words behind it.
        assert_eq!(choice("Answer: B. very fast."), Some(1));
        for none in [
            "Answer: None of the choices are correct",
            "Answer: A. slowly or B. fast",
            "Answer: B",
            "",
            "Answer: C. up",
        ] {
            assert_eq!(choice(none), None, "{none}");
        }
        // Of several such lines the last counts.
        assert_eq!(choice("Answer: B. fast\nAnswer: A. slowly"), Some(0));
    }
}
