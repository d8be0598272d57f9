//! Forms of a predicate such as "moves to the left".
//!
//! A transcript's predicates stand in the third person singular. The first word is the verb; a verb after "and" or
//! "then" follows it into every form.

const IRREGULAR: [(&str, &str, &str, &str); 33] = [
    // third person, base, -ing, past
    ("is", "be", "being", "was"),
    ("has", "have", "having", "had"),
    ("does", "do", "doing", "did"),
    ("goes", "go", "going", "went"),
    ("comes", "come", "coming", "came"),
    ("stands", "stand", "standing", "stood"),
    ("spins", "spin", "spinning", "spun"),
    ("runs", "run", "running", "ran"),
    ("rises", "rise", "rising", "rose"),
    ("falls", "fall", "falling", "fell"),
    ("leaves", "leave", "leaving", "left"),
    ("sits", "sit", "sitting", "sat"),
    ("lies", "lie", "lying", "lay"),
    ("holds", "hold", "holding", "held"),
    ("takes", "take", "taking", "took"),
    ("gives", "give", "giving", "gave"),
    ("makes", "make", "making", "made"),
    ("puts", "put", "putting", "put"),
    ("sees", "see", "seeing", "saw"),
    ("speaks", "speak", "speaking", "spoke"),
    ("swims", "swim", "swimming", "swam"),
    ("throws", "throw", "throwing", "threw"),
    ("catches", "catch", "catching", "caught"),
    ("eats", "eat", "eating", "ate"),
    ("drinks", "drink", "drinking", "drank"),
    ("rides", "ride", "riding", "rode"),
    ("drives", "drive", "driving", "drove"),
    ("flies", "fly", "flying", "flew"),
    ("hides", "hide", "hiding", "hid"),
    ("keeps", "keep", "keeping", "kept"),
    ("begins", "begin", "beginning", "began"),
    ("meets", "meet", "meeting", "met"),
    ("swings", "swing", "swinging", "swung"),
];

/// A form of a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// "moves", as it stands.
    Third,
    /// "move", after "does" and for several.
    Base,
    /// "moving", after "is".
    Progressive,
    /// "moved".
    Past,
}

/// The predicate in another form.
pub fn conjugate(predicate: &str, form: Form) -> String {
    if form == Form::Third {
        return predicate.to_owned();
    }
    let mut verb_next = true;
    let words: Vec<String> = predicate
        .split(' ')
        .enumerate()
        .map(|(position, word)| {
            let stem = word.trim_end_matches([',', '.', ';']);
            let convert = verb_next && (position == 0 || is_known_verb(stem));
            verb_next = matches!(stem, "and" | "then") || (verb_next && !convert && stem.ends_with("ly"));
            if convert { format!("{}{}", inflect(stem, form), &word[stem.len()..]) } else { word.to_owned() }
        })
        .collect();
    words.join(" ")
}

/// The predicate after a subject in the singular or plural.
pub fn agree(predicate: &str, plural: bool) -> String {
    match predicate.strip_prefix("is ") {
        Some(rest) if plural => format!("are {rest}"),
        _ if plural => conjugate(predicate, Form::Base),
        _ => predicate.to_owned(),
    }
}

/// Verbs that are recognised after "and": the irregular ones and common regular ones of motion.
fn is_known_verb(word: &str) -> bool {
    const REGULAR: [&str; 14] = [
        "moves",
        "turns",
        "stops",
        "jumps",
        "walks",
        "rolls",
        "slows",
        "speeds",
        "waits",
        "looks",
        "returns",
        "enters",
        "appears",
        "disappears",
    ];
    REGULAR.contains(&word) || IRREGULAR.iter().any(|verb| verb.0 == word)
}

fn inflect(third: &str, form: Form) -> String {
    if let Some(verb) = IRREGULAR.iter().find(|verb| verb.0 == third) {
        return match form {
            Form::Third => verb.0,
            Form::Base => verb.1,
            Form::Progressive => verb.2,
            Form::Past => verb.3,
        }
        .to_owned();
    }
    let base = base_of(third);
    match form {
        Form::Third => third.to_owned(),
        Form::Progressive if base.ends_with("ie") => format!("{}ying", &base[..base.len() - 2]),
        Form::Progressive if base.ends_with('e') && !base.ends_with("ee") => {
            format!("{}ing", &base[..base.len() - 1])
        }
        Form::Progressive => format!("{}ing", doubled(&base)),
        Form::Past if base.ends_with('e') => format!("{base}d"),
        Form::Past if base.ends_with('y') && !ends_in_vowel(&base[..base.len() - 1]) => {
            format!("{}ied", &base[..base.len() - 1])
        }
        Form::Past => format!("{}ed", doubled(&base)),
        Form::Base => base,
    }
}

fn base_of(third: &str) -> String {
    let cut = |letters: usize| third[..third.len() - letters].to_owned();
    let ends = |endings: &[&str]| endings.iter().any(|ending| third.ends_with(ending));
    if third.len() > 4 && third.ends_with("ies") {
        format!("{}y", cut(3))
    } else if ends(&["ches", "shes", "sses", "xes", "zzes"]) {
        cut(2)
    } else if third.ends_with('s') && !third.ends_with("ss") {
        cut(1)
    } else {
        third.to_owned()
    }
}

fn is_vowel(letter: u8) -> bool {
    b"aeiou".contains(&letter)
}

fn ends_in_vowel(word: &str) -> bool {
    word.bytes().next_back().is_some_and(is_vowel)
}

/// One consonant after one vowel in a word of one syllable is written twice: "stopping".
fn doubled(base: &str) -> String {
    let letters = base.as_bytes();
    let syllables = letters.windows(2).filter(|pair| is_vowel(pair[1]) && !is_vowel(pair[0])).count()
        + usize::from(letters.first().is_some_and(|&first| is_vowel(first)));
    match letters {
        [.., before, vowel, last]
            if syllables == 1
                && !is_vowel(*before)
                && is_vowel(*vowel)
                && !is_vowel(*last)
                && !b"wxy".contains(last) =>
        {
            format!("{base}{}", char::from(*last))
        }
        _ => base.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verb_takes_every_form_and_the_rest_stays() {
        let forms = |text| [Form::Base, Form::Progressive, Form::Past].map(|form| conjugate(text, form));
        assert_eq!(
            forms("moves to the left"),
            ["move to the left", "moving to the left", "moved to the left"]
        );
        assert_eq!(forms("stands still"), ["stand still", "standing still", "stood still"]);
        assert_eq!(forms("comes closer"), ["come closer", "coming closer", "came closer"]);
        assert_eq!(
            forms("jumps up and down"),
            ["jump up and down", "jumping up and down", "jumped up and down"]
        );
        assert_eq!(forms("stops"), ["stop", "stopping", "stopped"]);
        assert_eq!(forms("carries a bag"), ["carry a bag", "carrying a bag", "carried a bag"]);
        assert_eq!(forms("watches the dog"), ["watch the dog", "watching the dog", "watched the dog"]);
    }

    #[test]
    fn a_second_verb_follows_the_first() {
        assert_eq!(conjugate("turns and moves away", Form::Progressive), "turning and moving away");
        assert_eq!(conjugate("jumps, then slowly rolls away", Form::Past), "jumped, then slowly rolled away");
        assert_eq!(conjugate("holds bags and balls", Form::Past), "held bags and balls");
    }
}
