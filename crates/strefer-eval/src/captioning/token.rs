//! One token at the start of a text: how long it is, and what becomes of it.

/// What starts a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Shape {
    /// Letters and digits, joined by hyphens, slashes, underscores, or full stops inside.
    Word,
    /// A sign that stays, as it is.
    Sign,
    /// Something that no token is made of.
    Nothing,
}

fn is_alnum(chars: &[char], at: usize) -> bool {
    chars.get(at).is_some_and(|c| c.is_alphanumeric())
}

fn is_letter(chars: &[char], at: usize) -> bool {
    chars.get(at).is_some_and(|c| c.is_alphabetic())
}

fn is_digit(chars: &[char], at: usize) -> bool {
    chars.get(at).is_some_and(char::is_ascii_digit)
}

fn is_one_of(chars: &[char], at: usize, signs: &str) -> bool {
    chars.get(at).is_some_and(|c| signs.contains(*c))
}

fn run(chars: &[char], from: usize, holds: impl Fn(&[char], usize) -> bool) -> usize {
    (from..).take_while(|&at| holds(chars, at)).count()
}

/// Shape and number of characters of what starts `chars`, which is not empty.
pub(super) fn next_token(chars: &[char]) -> (Shape, usize) {
    let length = number(chars).max(word(chars));
    if length > 0 {
        return (Shape::Word, length);
    }
    match chars[0] {
        '!' | '?' => {
            let length = run(chars, 0, |chars, at| is_one_of(chars, at, "!?"));
            (if length == 1 { Shape::Nothing } else { Shape::Sign }, length)
        }
        ':' | ';' if face(chars) > 0 => (Shape::Sign, face(chars)),
        '@' | '#' if is_letter(chars, 1) => (Shape::Sign, 1 + joined(&chars[1..])),
        '<' if tag(chars) > 0 => (Shape::Sign, tag(chars)),
        '.'
        | ','
        | ':'
        | ';'
        | '-'
        | '"'
        | '\''
        | '‘'
        | '’'
        | '`'
        | '“'
        | '”'
        | '«'
        | '»'
        | '…'
        | '‐'..='―' => (Shape::Nothing, 1),
        c if c.is_whitespace() => (Shape::Nothing, 1),
        _ => (Shape::Sign, 1),
    }
}

fn face(chars: &[char]) -> usize {
    let nose = usize::from(chars.get(1) == Some(&'-'));
    if is_one_of(chars, 1 + nose, "()") { 2 + nose } else { 0 }
}

fn tag(chars: &[char]) -> usize {
    let start = 1 + usize::from(chars.get(1) == Some(&'/'));
    let name = run(chars, start, is_letter);
    let end = start + name + usize::from(chars.get(start + name) == Some(&'/'));
    if name > 0 && chars.get(end) == Some(&'>') { end + 1 } else { 0 }
}

/// `-1`, `12,345.67`, `.5`, `7:30`, and words that begin with such a number: `3.5-inch`.
fn number(chars: &[char]) -> usize {
    let mut end = usize::from(is_one_of(chars, 0, "+-"));
    let first = end;
    loop {
        let point = usize::from(is_one_of(chars, end, if end == first { ".," } else { ".,:" }));
        let digits = run(chars, end + point, is_digit);
        if digits == 0 {
            break;
        }
        end += point + digits;
    }
    if end == first {
        return 0;
    }
    if chars.get(end) == Some(&'-') && is_alnum(chars, end + 1) {
        end + 1 + joined(&chars[end + 1..])
    } else {
        end
    }
}

/// Letters and digits, and more of them after a hyphen, a slash or an underscore.
fn joined(chars: &[char]) -> usize {
    let mut end = run(chars, 0, is_alnum);
    while end > 0 && is_one_of(chars, end, "-/_") {
        let more = run(chars, end + 1, is_alnum);
        if more == 0 {
            break;
        }
        end += 1 + more;
    }
    end
}

fn word(chars: &[char]) -> usize {
    let firm = firm(chars);
    if firm > 0 {
        return firm;
    }
    let elided = elided(chars);
    if elided > 0 {
        return elided;
    }
    let mut end = joined(chars);
    let plain = is_letter(chars, 0) && chars[..end].iter().all(|c| c.is_alphanumeric());
    while plain && is_one_of(chars, end, ".!?") && is_letter(chars, end + 1) {
        end += 1 + run(chars, end + 1, is_alnum);
    }
    end
}

/// Capitals with `&` between them: `AT&T`.
fn firm(chars: &[char]) -> usize {
    let capital = |chars: &[char], at: usize| chars.get(at).is_some_and(|c| c.is_uppercase());
    let before = run(chars, 0, capital);
    let after = run(chars, before + 1, capital);
    if before > 0 && chars.get(before) == Some(&'&') && after > 0 { before + 1 + after } else { 0 }
}

/// Words with an apostrophe inside: `o'clock`, `c'mon`, `ma'am`.
fn elided(chars: &[char]) -> usize {
    let before = run(chars, 0, is_letter);
    if !is_one_of(chars, before, "'’") {
        return 0;
    }
    let after = run(chars, before + 1, is_letter);
    let lower = |part: &[char]| part.iter().collect::<String>().to_lowercase();
    let (head, tail) = (lower(&chars[..before]), lower(&chars[before + 1..before + 1 + after]));
    let one_letter = before == 1 && after >= 2 && !matches!(head.as_str(), "i" | "s" | "x" | "y");
    let clitic = matches!(tail.as_str(), "ll" | "re" | "ve");
    let known = matches!((head.as_str(), tail.as_str()), ("ma", "am") | ("ne", "er"));
    if (one_letter && !clitic) || known { before + 1 + after } else { 0 }
}
