//! The rules of VideoRefer's scripts for general benchmarks.

use super::letter::position;

const DIGITS: [&str; 10] = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"];

/// The first capital of an option, else the first option whose text occurs; with `words`, a digit also as a word.
pub(super) fn choice(text: &str, options: &[String], words: bool) -> Option<usize> {
    let text = text.replace("answer", "").replace("Answer", "");
    let chars: Vec<char> = text.chars().collect();
    let offered = |c: &char| c.is_ascii_uppercase() && position(*c).is_some_and(|at| at < options.len());
    match chars.iter().position(offered) {
        Some(at) => {
            // A comma beside the letter spoils it, except in Video-MME's script.
            let comma = |at: Option<usize>| at.and_then(|at| chars.get(at)) == Some(&',');
            let spoilt = !words && (comma(at.checked_sub(1)) || comma(at.checked_add(1)));
            position(chars[at]).filter(|_| !spoilt)
        }
        None => {
            let lower = text.to_lowercase();
            let occurs = |option: &String| {
                let digit = option.parse::<usize>().ok().and_then(|digit| DIGITS.get(digit));
                lower.contains(&option.to_lowercase())
                    || (words && digit.is_some_and(|word| lower.contains(word)))
            };
            options.iter().position(occurs)
        }
    }
}
