//! Text as numbers, words and signs.

use strefer_core::time::parse_clock;

/// A piece of text between blanks or signs.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Token {
    /// Without a fraction.
    Integer(u64),
    /// With one.
    Decimal(f64),
    /// `MM:SS` or `HH:MM:SS`, in seconds.
    Clock(f64),
    /// Letters, digits after them, and apostrophes inside.
    Word(String),
    /// Anything else.
    Sign(char),
}

impl Token {
    pub(crate) fn number(&self) -> Option<f64> {
        match self {
            Self::Integer(value) => Some(*value as f64),
            Self::Decimal(value) => Some(*value),
            _ => None,
        }
    }

    /// Of a number or a clock time.
    pub(crate) fn seconds(&self) -> Option<f64> {
        if let Self::Clock(seconds) = self { Some(*seconds) } else { self.number() }
    }

    pub(crate) fn word(&self) -> Option<&str> {
        if let Self::Word(word) = self { Some(word) } else { None }
    }

    pub(crate) fn is_word(&self, words: &[&str]) -> bool {
        self.word().is_some_and(|word| words.contains(&word))
    }
}

/// Text in lower case with plain apostrophes and hyphens, commas between thousands left out.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let plain = |c: char| match c {
        '‘' | '’' | 'ʼ' => '\'',
        '‐'..='―' | '−' => '-',
        other => other,
    };
    let chars: Vec<char> = text.to_lowercase().chars().map(plain).collect();
    let (mut tokens, mut at) = (Vec::new(), 0);
    while at < chars.len() {
        let (token, length) = match chars[at] {
            c if c.is_whitespace() => (None, 1),
            c if c.is_ascii_digit() || (c == '.' && digit(&chars, at + 1)) => number(&chars[at..]),
            c if c.is_alphabetic() => word(&chars[at..]),
            c => (Some(Token::Sign(c)), 1),
        };
        tokens.extend(token);
        at += length;
    }
    tokens
}

fn digit(chars: &[char], at: usize) -> bool {
    chars.get(at).is_some_and(char::is_ascii_digit)
}

fn digits(chars: &[char]) -> usize {
    chars.iter().take_while(|c| c.is_ascii_digit()).count()
}

fn number(chars: &[char]) -> (Option<Token>, usize) {
    let mut end = digits(chars);
    while end > 0 && chars.get(end) == Some(&',') && digits(&chars[end + 1..]) == 3 {
        end += 4;
    }
    let whole = end;
    if chars.get(end) == Some(&':') && digit(chars, end + 1) {
        let more = |c: &&char| c.is_ascii_digit() || **c == ':' || **c == '.';
        let length = chars.iter().take_while(more).count();
        let text: String = chars[..length].iter().collect();
        return (parse_clock(text.trim_end_matches(['.', ':'])).ok().map(Token::Clock), length);
    }
    if chars.get(end) == Some(&'.') && digit(chars, end + 1) {
        end += 1 + digits(&chars[end + 1..]);
    }
    let text: String = chars[..end].iter().filter(|c| **c != ',').collect();
    let token = if whole == end {
        text.parse().ok().map(Token::Integer)
    } else {
        text.parse().ok().map(Token::Decimal)
    };
    (token, end)
}

fn word(chars: &[char]) -> (Option<Token>, usize) {
    let inside = |at: usize| {
        let letter = |at: usize| chars.get(at).is_some_and(|c| c.is_alphanumeric());
        letter(at) || (chars[at] == '\'' && letter(at + 1))
    };
    let length = (0..chars.len()).take_while(|&at| inside(at)).count();
    (Some(Token::Word(chars[..length].iter().collect())), length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_words_and_signs_are_told_apart() {
        let word = |text: &str| Token::Word(text.to_owned());
        assert_eq!(
            tokens("1,250.5m 3, .5"),
            [Token::Decimal(1250.5), word("m"), Token::Integer(3), Token::Sign(','), Token::Decimal(0.5)]
        );
        assert_eq!(
            tokens("They DON’T – 0:07."),
            [word("they"), word("don't"), Token::Sign('-'), Token::Clock(7.0)]
        );
        assert_eq!(
            tokens("1,2 10,0000"),
            [
                Token::Integer(1),
                Token::Sign(','),
                Token::Integer(2),
                Token::Integer(10),
                Token::Sign(','),
                Token::Integer(0)
            ]
        );
    }
}
