//! Captions in lower case, split as the Penn Treebank splits text, without punctuation.
//!
//! The rules are those of the Stanford tokenizer 3.4.1 (`-preserveLines -lowerCase`) as far as captions need them.
//! Addresses of web pages and of e-mail, `C++`, `US$`, and faces with letters in them come out in pieces.

use super::abbreviations::keeps_stop;
use super::token::{Shape, next_token};

/// Tokens of each caption with single blanks between them.
///
/// Captions are read one after the other as one text: whether the full stop of a single letter belongs to it depends on
/// the next word, which may be the next caption's first.
pub fn tokenize<S: AsRef<str>>(captions: &[S]) -> Vec<String> {
    let lines: Vec<String> =
        captions.iter().map(|caption| caption.as_ref().replace(['\n', '\r'], " ")).collect();
    let next_words = lines.iter().skip(1).map(String::as_str).chain([""]);
    lines.iter().zip(next_words).map(|(line, next)| tokenize_line(line, next)).collect()
}

fn tokenize_line(line: &str, next_line: &str) -> String {
    let chars: Vec<char> = plain(line).chars().collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        if let Some(length) = apostrophe(&chars[at..], &mut tokens) {
            at += length;
            continue;
        }
        let (shape, length) = next_token(&chars[at..]);
        let token: String = chars[at..at + length].iter().collect();
        at += length;
        match shape {
            Shape::Nothing => {}
            Shape::Sign => tokens.push(sign(&token)),
            Shape::Word => at += word(token, &chars[at..], next_line, &mut tokens),
        }
    }
    tokens.join(" ").to_lowercase()
}

/// Signs that stand for others.
fn plain(line: &str) -> String {
    let mut text = line.replace("&amp;", "&").replace("&lt;", "<").replace("&gt;", ">").replace('€', "$");
    for (sign, words) in [('½', "1/2"), ('¼', "1/4"), ('¾', "3/4"), ('£', "#"), ('¢', " cents")] {
        text = text.replace(sign, words);
    }
    text
}

fn sign(token: &str) -> String {
    let mut text = token.to_owned();
    for (bracket, name) in
        [("(", "-lrb-"), (")", "-rrb-"), ("[", "-lsb-"), ("]", "-rsb-"), ("{", "-lcb-"), ("}", "-rcb-")]
    {
        text = text.replace(bracket, name);
    }
    text
}

/// The letters after an apostrophe, and whether more of a word follows them.
fn letters_after(chars: &[char]) -> String {
    chars[1..].iter().take_while(|c| c.is_alphanumeric()).collect::<String>().to_lowercase()
}

fn is_apostrophe(c: char) -> bool {
    matches!(c, '\'' | '’' | '‘')
}

/// What starts with an apostrophe and is a token of its own; its length.
fn apostrophe(chars: &[char], tokens: &mut Vec<String>) -> Option<usize> {
    if !is_apostrophe(chars[0]) || chars[0] == '‘' {
        return None;
    }
    let letters = letters_after(chars);
    let length = 1 + letters.chars().count();
    let decade = letters.strip_suffix('s').unwrap_or(&letters);
    match letters.as_str() {
        "n" => {
            let closed = chars.get(length).is_some_and(|&c| is_apostrophe(c));
            tokens.push(if closed { "'n'" } else { "'n" }.to_owned());
            return Some(length + usize::from(closed));
        }
        "tis" | "twas" => tokens.extend(["'t".to_owned(), letters[1..].to_owned()]),
        "s" | "m" | "d" | "re" | "ve" | "ll" | "em" | "til" | "cause" => tokens.push(format!("'{letters}")),
        // Not the inches of 5'10".
        _ if decade.len() == 2
            && decade.bytes().all(|b| b.is_ascii_digit())
            && chars.get(length) != Some(&'"') =>
        {
            tokens.push(format!("'{letters}"));
        }
        _ => return None,
    }
    Some(length)
}

/// Takes a word apart and adds its tokens; how much of what comes `after` belongs to them.
fn word(word: String, after: &[char], next_line: &str, tokens: &mut Vec<String>) -> usize {
    let first = after.first().copied().unwrap_or(' ');
    if first == '.' && keeps_stop(&word, &word_after(&after[1..], next_line)) {
        tokens.push(word + ".");
        return 1;
    }
    if is_apostrophe(first) && letters_after(after) == "t" && word.ends_with(['n', 'N']) {
        let verb = word[..word.len() - 1].to_owned();
        tokens.extend([verb, "n't".to_owned()].into_iter().filter(|token| !token.is_empty()));
        return 2;
    }
    if is_apostrophe(first) && letters_after(after) == "all" && word.eq_ignore_ascii_case("y") {
        tokens.push(word + "'");
        return 1;
    }
    if let Some(length) = mixed_fraction(&word, after) {
        let fraction: String = after[1..length].iter().collect();
        tokens.push(format!("{word}\u{a0}{fraction}"));
        return length;
    }
    let lower = word.to_lowercase();
    if ["cannot", "gonna", "gotta", "wanna", "lemme", "gimme"].contains(&lower.as_str()) {
        tokens.extend([lower[..3].to_owned(), lower[3..].to_owned()]);
    } else {
        tokens.push(word);
    }
    0
}

/// What follows a full stop up to the next blank: digits, or after blanks anything, perhaps in the next line.
fn word_after(chars: &[char], next_line: &str) -> String {
    let rest: String = chars.iter().collect();
    if !rest.is_empty() && !rest.starts_with(|c: char| c.is_whitespace() || c.is_ascii_digit()) {
        return String::new();
    }
    let line = if rest.trim().is_empty() { next_line } else { &rest };
    line.split_whitespace().next().unwrap_or_default().to_owned()
}

/// `3 1/2` is one token, with a blank that does not break; how much of it comes `after` the 3.
fn mixed_fraction(word: &str, after: &[char]) -> Option<usize> {
    let (&' ', rest) = after.split_first()? else { return None };
    let fraction: String = rest.iter().take_while(|c| c.is_ascii_digit() || **c == '/').collect();
    let (above, below) = fraction.split_once('/')?;
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    (digits(word) && digits(above) && digits(below)).then(|| 1 + fraction.len())
}
