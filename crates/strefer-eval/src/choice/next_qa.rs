//! The rules of MMMU, which NExT-QA is scored with. Where they guess at random, nothing is chosen.

/// Texts with at most so many words are not searched for options.
const FEW_WORDS: usize = 5;

/// Position of the chosen option among `options`, which are the bare texts.
pub(super) fn choice(text: &str, options: &[String]) -> Option<usize> {
    let mut text = text;
    for sign in [',', '.', '!', '?', ';', ':', '\''] {
        text = text.trim_matches(sign);
    }
    let text = format!(" {text} ");
    let letters: Vec<char> = ('A'..='Z').take(options.len()).collect();
    let with = |form: fn(char) -> String| -> Vec<(usize, String)> {
        let forms = letters.iter().map(|letter| form(*letter)).enumerate();
        forms.filter(|(_, form)| text.contains(form.as_str())).collect()
    };
    let bracketed = with(|letter| format!("({letter})"));
    if !bracketed.is_empty() {
        return last(&text, bracketed.into_iter());
    }
    for found in [with(|letter| format!("{letter} ")), with(|letter| format!("{letter}."))] {
        if !found.is_empty() {
            return last(&text, found.into_iter().map(|(at, _)| (at, format!(" {} ", letters[at]))));
        }
    }
    if text.split_whitespace().count() <= FEW_WORDS {
        return None;
    }
    let lower = text.to_lowercase();
    let named = options.iter().map(|option| option.to_lowercase()).enumerate();
    last(&lower, named.filter(|(_, option)| lower.contains(option.as_str())))
}

/// The option whose form comes last; of forms that do not come, or come together, the first.
fn last(text: &str, found: impl Iterator<Item = (usize, String)>) -> Option<usize> {
    let mut best: Option<(usize, Option<usize>)> = None;
    for (option, form) in found {
        let at = text.rfind(&form);
        if best.is_none_or(|(_, best)| at > best) {
            best = Some((option, at));
        }
    }
    best.map(|(option, _)| option)
}
