//! Letters that stand alone.

/// The position of a letter in the alphabet.
pub(super) fn position(letter: char) -> Option<usize> {
    letter.is_ascii_alphabetic().then(|| usize::from(letter.to_ascii_uppercase() as u8 - b'A'))
}

/// The first letter between signs or blanks that `holds`.
fn alone(text: &str, holds: impl Fn(char) -> bool) -> Option<usize> {
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let chars: Vec<char> = text.chars().collect();
    let stands_alone = |at: usize| {
        let before = at.checked_sub(1).map(|before| chars[before]);
        !is_word(before) && !is_word(chars.get(at + 1).copied())
    };
    let at = (0..chars.len()).find(|&at| holds(chars[at]) && stands_alone(at))?;
    position(chars[at])
}

/// The first capital A to D that stands alone.
pub(super) fn first_alone(text: &str) -> Option<usize> {
    alone(text, |c| ('A'..='D').contains(&c))
}

/// The only one of `(A)`, `(B)`, … that is part of the first word, or that the first word is part of.
pub(super) fn first_word(text: &str, n_options: usize) -> Option<usize> {
    let word = text.split_whitespace().next()?.to_lowercase().replace('.', "");
    let agrees = |letter: &char| {
        let form = format!("({letter})");
        !word.is_empty() && (form.contains(&word) || word.contains(&form))
    };
    let mut letters = ('a'..='z').take(n_options).filter(agrees);
    let first = letters.next()?;
    if letters.next().is_none() { position(first) } else { None }
}

/// Yes is 0, no is 1, as the first word.
pub(super) fn yes_or_no(text: &str) -> Option<usize> {
    let word = text.split(|c: char| !c.is_alphanumeric()).find(|word| !word.is_empty())?.to_lowercase();
    ["yes", "no"].iter().position(|known| *known == word)
}

/// `B. …` as a whole, else the first letter a to e that stands alone once punctuation is gone.
pub(super) fn mv_bench(text: &str) -> Option<usize> {
    let text = text.trim();
    let mut chars = text.chars();
    if let (Some(letter @ 'A'..='E'), Some('.')) = (chars.next(), chars.next())
        && !chars.as_str().trim().is_empty()
    {
        return position(letter);
    }
    let blank = |c: char| if matches!(c, '\n' | '\t') { ' ' } else { c };
    let kept = |c: &char| !c.is_ascii_punctuation() || *c == '\'';
    let plain: String = text.chars().map(blank).filter(kept).collect();
    alone(&plain.to_lowercase(), |c| ('a'..='e').contains(&c))
}
