//! An answer read out of a sentence, or nothing: never a guess.

use crate::token::{Token, tokens};
use strefer_core::{StkitAnswer, StkitTask};

const METRES_A_FOOT: f64 = 0.3048;
const KILOMETRES_A_MILE: f64 = 1.609_344;
const HOURS: [&str; 12] =
    ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"];

/// What `text` answers to a question of this task; `options` are the words offered by a comparison.
pub fn parse(task: StkitTask, text: &str, options: &[String]) -> Option<StkitAnswer> {
    let tokens = tokens(text);
    match task {
        StkitTask::TraveledDistance => measure(&tokens, length_m).map(StkitAnswer::Number),
        StkitTask::TravelingSpeed => measure(&tokens, speed_kmh).map(StkitAnswer::Number),
        StkitTask::MovementDirection => clock(&tokens).map(StkitAnswer::Clock),
        StkitTask::DirectionTimestamp => interval(&tokens).map(StkitAnswer::Interval),
        StkitTask::TraveledDistanceComparison | StkitTask::TravelingSpeedComparison => {
            let offered =
                |token: &Token| options.iter().find(|option| token.is_word(&[&option.to_lowercase()]));
            tokens.iter().find_map(offered).cloned().map(StkitAnswer::Word)
        }
        StkitTask::MovementDirectionComparison => {
            yes_or_no(&tokens).map(|yes| StkitAnswer::Word(if yes { "yes" } else { "no" }.to_owned()))
        }
    }
}

/// What one unit that starts `tokens` is worth.
type Unit = fn(&[Token]) -> Option<f64>;

/// The first number with such a unit; else the only number of a text without any unit.
fn measure(tokens: &[Token], unit: Unit) -> Option<f64> {
    let numbers = || tokens.iter().enumerate().filter_map(|(at, token)| Some((at, token.number()?)));
    let with_unit = |(at, number): (usize, f64)| Some(number * unit(&tokens[at + 1..])?);
    if let Some(value) = numbers().find_map(with_unit) {
        return Some(value);
    }
    let bare = |(at, number)| (!has_unit(&tokens[at + 1..])).then_some(number);
    let mut all = numbers().map(bare);
    match (all.next(), all.next()) {
        (Some(only), None) => only,
        _ => None,
    }
}

fn has_unit(after: &[Token]) -> bool {
    length_m(after).is_some() || speed_kmh(after).is_some() || after.first().is_some_and(is_time)
}

fn is_time(token: &Token) -> bool {
    let long = |word: &str| ["sec", "minute", "hour"].iter().any(|unit| word.starts_with(unit));
    token.word().is_some_and(long) || token.is_word(&["s", "ms", "min", "mins", "h", "hr", "hrs"])
}

/// Whether `after` a unit of length a unit of time makes a speed of it.
fn over_time(after: &[Token], times: &[&str], prefix: &str) -> bool {
    let [over, time, ..] = after else { return false };
    let over = *over == Token::Sign('/') || over.is_word(&["per", "a", "an"]);
    over && (time.is_word(times) || time.word().is_some_and(|word| word.starts_with(prefix)))
}

fn an_hour(after: &[Token]) -> bool {
    over_time(after, &["h", "hr", "hrs"], "hour")
}

fn a_second(after: &[Token]) -> bool {
    over_time(after, &["s"], "sec")
}

fn begins(token: &Token, words: &[&str], prefix: &str) -> bool {
    token.is_word(words) || token.word().is_some_and(|word| word.starts_with(prefix))
}

fn length_m(tokens: &[Token]) -> Option<f64> {
    let (unit, after) = tokens.split_first()?;
    let metres = match unit {
        unit if begins(unit, &["km", "kms"], "kilomet") => 1000.0,
        unit if begins(unit, &["cm", "cms"], "centimet") => 0.01,
        unit if unit.is_word(&["m", "meter", "meters", "metre", "metres"]) => 1.0,
        unit if unit.is_word(&["ft", "feet", "foot"]) => METRES_A_FOOT,
        _ => return None,
    };
    (!an_hour(after) && !a_second(after)).then_some(metres)
}

fn speed_kmh(tokens: &[Token]) -> Option<f64> {
    let (unit, after) = tokens.split_first()?;
    match unit {
        unit if unit.is_word(&["kmh", "kph", "kmph"]) => Some(1.0),
        unit if unit.is_word(&["mph"]) => Some(KILOMETRES_A_MILE),
        unit if unit.is_word(&["mps"]) => Some(3.6),
        unit if begins(unit, &["km", "kms"], "kilomet") && an_hour(after) => Some(1.0),
        unit if begins(unit, &["m"], "met") && a_second(after) => Some(3.6),
        unit if begins(unit, &["mi"], "mile") && an_hour(after) => Some(KILOMETRES_A_MILE),
        _ => None,
    }
}

/// The first hour before "o'clock"; else the only integer of the text.
fn clock(tokens: &[Token]) -> Option<u8> {
    for pair in tokens.windows(2).filter(|pair| pair[1].is_word(&["o'clock", "oclock"])) {
        let named = pair[0].word().and_then(|word| HOURS.iter().position(|hour| *hour == word));
        let hour = match (&pair[0], named) {
            (Token::Integer(0), _) => 12,
            (Token::Integer(hour), _) => *hour,
            (_, Some(at)) => at as u64 + 1,
            _ => continue,
        };
        return (hour <= 12).then_some(hour as u8);
    }
    let mut integers = tokens.iter().filter_map(|token| match token {
        Token::Integer(value) => Some(*value),
        _ => None,
    });
    match (integers.next(), integers.next()) {
        (Some(hour @ 1..=12), None) => Some(hour as u8),
        _ => None,
    }
}

/// The first two times with a separator between them; else the only two numbers of the text.
fn interval(tokens: &[Token]) -> Option<[f64; 2]> {
    let unit = |at: usize| usize::from(tokens.get(at).is_some_and(|token| begins(token, &["s"], "sec")));
    let separates =
        |token: &Token| *token == Token::Sign('-') || token.is_word(&["to", "and", "until", "through"]);
    let starting = |first: usize| {
        let start = tokens[first].seconds()?;
        let separator = first + 1 + unit(first + 1);
        tokens.get(separator).filter(|token| separates(token))?;
        Some([start, tokens.get(separator + 1)?.seconds()?])
    };
    let [a, b] = (0..tokens.len()).find_map(starting).or_else(|| {
        let times: Vec<f64> = tokens.iter().filter_map(Token::seconds).collect();
        <[f64; 2]>::try_from(times).ok()
    })?;
    Some([a.min(b), a.max(b)])
}

/// Whether two go the same way.
fn yes_or_no(tokens: &[Token]) -> Option<bool> {
    match tokens.first()? {
        first if first.is_word(&["yes"]) => return Some(true),
        first if first.is_word(&["no"]) => return Some(false),
        _ => {}
    }
    let directed = |words: &[&str]| {
        let is = |pair: &[Token]| pair[0].is_word(words) && begins(&pair[1], &[], "direction");
        tokens.windows(2).position(is)
    };
    let negates = |token: &Token| token.word().is_some_and(|word| word == "not" || word.ends_with("n't"));
    let same = directed(&["same"]);
    if directed(&["different", "opposite"]).is_some() {
        return Some(false);
    }
    same.map(|at| !tokens[..at].iter().any(negates))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_that_says_two_things_answers_nothing() {
        let said = |task, text| parse(task, text, &[]);
        assert_eq!(said(StkitTask::TraveledDistance, "5 or 6"), None);
        assert_eq!(said(StkitTask::TraveledDistance, "36 km/h"), None);
        assert_eq!(said(StkitTask::TraveledDistance, "for 8 seconds"), None);
        assert_eq!(said(StkitTask::TravelingSpeed, "12 m"), None);
        assert_eq!(said(StkitTask::MovementDirection, "3.5 o'clock, or 3, or 4"), None);
        assert_eq!(said(StkitTask::DirectionTimestamp, "at 1, 2 and then 3"), None);
        assert_eq!(said(StkitTask::MovementDirectionComparison, "perhaps"), None);
        for task in StkitTask::ALL {
            assert_eq!(said(task, ""), None);
        }
    }
}
