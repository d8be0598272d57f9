//! Stretches of time in what a model says: "from 3 to 7.5 seconds", "00:12 - 00:20", "It happens at 4 s and ends at 9 s".

use crate::token::{Token, tokens};

/// Words that stand between the two ends of a stretch.
const BETWEEN: [&str; 4] = ["to", "and", "until", "through"];

/// All stretches that a text names, start and end in seconds, in the order in which they are named.
///
/// Ranges of clock times come first, then two numbers with a separator between them (a dash or a word like "to"); without
/// any, times on the clock are taken in pairs, and without those all numbers. Ends in the wrong order change places, and of
/// an odd number of times the last one is left out.
pub fn intervals(text: &str) -> Vec<[f64; 2]> {
    let tokens = tokens(text);
    let clock = |token: &Token| if let Token::Clock(seconds) = token { Some(*seconds) } else { None };
    for found in [
        ranges(&tokens, clock),
        ranges(&tokens, Token::number),
        in_pairs(tokens.iter().filter_map(clock)),
        in_pairs(tokens.iter().filter_map(Token::number)),
    ] {
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

/// Two times with a separator between them, each time in one stretch only.
fn ranges(tokens: &[Token], time: impl Fn(&Token) -> Option<f64>) -> Vec<[f64; 2]> {
    let (mut found, mut at) = (Vec::new(), 0);
    while at < tokens.len() {
        match range_at(tokens, at, &time) {
            Some((range, next)) => {
                found.push(range);
                at = next;
            }
            None => at += 1,
        }
    }
    found
}

/// The stretch whose start is the token `at`, and the token behind it.
fn range_at(tokens: &[Token], at: usize, time: impl Fn(&Token) -> Option<f64>) -> Option<([f64; 2], usize)> {
    let start_s = time(&tokens[at])?;
    let separator = behind_unit(tokens, at + 1);
    let separates = |token: &Token| *token == Token::Sign('-') || token.is_word(&BETWEEN);
    tokens.get(separator).filter(|token| separates(token))?;
    let end_s = time(tokens.get(separator + 1)?)?;
    Some((ordered(start_s, end_s), behind_unit(tokens, separator + 2)))
}

/// The place behind a unit of seconds, where one stands at `at`.
fn behind_unit(tokens: &[Token], at: usize) -> usize {
    let is_unit =
        tokens.get(at).is_some_and(|token| token.is_word(&["s", "sec", "secs", "second", "seconds"]));
    at + usize::from(is_unit)
}

fn in_pairs(times_s: impl Iterator<Item = f64>) -> Vec<[f64; 2]> {
    let times_s: Vec<f64> = times_s.collect();
    times_s.chunks_exact(2).map(|pair| ordered(pair[0], pair[1])).collect()
}

fn ordered(a: f64, b: f64) -> [f64; 2] {
    [a.min(b), a.max(b)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separators_stand_between_numbers_only() {
        assert_eq!(intervals("From 12.5 to 17 seconds."), [[12.5, 17.0]]);
        assert_eq!(intervals("24.3s - 30.4s"), [[24.3, 30.4]]);
        assert_eq!(
            intervals("between 3 sec and 7 secs; then 10–12, and 20 until 31"),
            [[3.0, 7.0], [10.0, 12.0], [20.0, 31.0]]
        );
        // "and" between two stretches joins no numbers, "to" inside a word none either.
        assert_eq!(intervals("1 - 2 and 5 - 6 tomatoes"), [[1.0, 2.0], [5.0, 6.0]]);
        assert_eq!(intervals("2 tomatoes at 4"), [[2.0, 4.0]]);
    }

    #[test]
    fn clock_times_go_before_numbers() {
        assert_eq!(intervals("2 times: 0:05 - 1:10.5"), [[5.0, 70.5]]);
        assert_eq!(intervals("01:00:00 to 01:00:04"), [[3600.0, 3604.0]]);
        assert_eq!(intervals("starts 00:03, ends 00:08, again 00:20"), [[3.0, 8.0]]);
        assert_eq!(intervals("starts at 3, 4 people, from 8 to 9"), [[8.0, 9.0]]);
    }

    #[test]
    fn numbers_without_a_separator_are_taken_in_pairs() {
        assert_eq!(intervals("It starts at 9 seconds, it ends at 4."), [[4.0, 9.0]]);
        assert_eq!(intervals("[[2, 4], [6.5, 8]]"), [[2.0, 4.0], [6.5, 8.0]]);
        assert_eq!(intervals("at 5 seconds"), Vec::<[f64; 2]>::new());
        assert_eq!(intervals(""), Vec::<[f64; 2]>::new());
    }

    #[test]
    fn a_number_is_the_end_of_one_stretch_only() {
        assert_eq!(intervals("1 to 2 to 3"), [[1.0, 2.0]]);
    }
}
