//! Articles, plurals and pronouns.

use strefer_core::records::Entity;

const ARTICLES: [&str; 5] = ["the ", "a ", "an ", "this ", "that "];
const PLURALS: [(&str, &str); 9] = [
    ("person", "people"),
    ("child", "children"),
    ("man", "men"),
    ("woman", "women"),
    ("foot", "feet"),
    ("mouse", "mice"),
    ("goose", "geese"),
    ("sheep", "sheep"),
    ("fish", "fish"),
];

/// A phrase without its article.
pub fn bare(phrase: &str) -> &str {
    let phrase = phrase.trim();
    let lower = phrase.to_ascii_lowercase();
    ARTICLES
        .iter()
        .find(|article| lower.starts_with(**article))
        .map_or(phrase, |article| &phrase[article.len()..])
}

/// "the …"
pub fn the(phrase: &str) -> String {
    format!("the {}", bare(phrase))
}

/// "a …" or "an …", by the first letter; a plural has no article.
pub fn a(phrase: &str) -> String {
    let phrase = bare(phrase);
    if phrase.split_whitespace().next_back().is_some_and(is_plural) {
        return phrase.to_owned();
    }
    let vowel = phrase.starts_with(['a', 'e', 'i', 'o', 'u', 'A', 'E', 'I', 'O', 'U']);
    format!("{} {phrase}", if vowel { "an" } else { "a" })
}

/// More than one of a noun.
pub fn plural(noun: &str) -> String {
    if let Some((_, many)) = PLURALS.iter().find(|(one, _)| *one == noun) {
        return (*many).to_owned();
    }
    let ends = |endings: &[&str]| endings.iter().any(|ending| noun.ends_with(ending));
    if ends(&["s", "x", "z", "ch", "sh"]) {
        format!("{noun}es")
    } else if noun.ends_with('y') && !ends(&["ay", "ey", "oy", "uy"]) {
        format!("{}ies", &noun[..noun.len() - 1])
    } else {
        format!("{noun}s")
    }
}

/// Whether a noun means several.
pub fn is_plural(noun: &str) -> bool {
    let noun = noun.to_ascii_lowercase();
    if PLURALS.iter().any(|(one, _)| *one == noun) {
        return false;
    }
    PLURALS.iter().any(|(_, many)| *many == noun)
        || (noun.len() > 3
            && noun.ends_with('s')
            && !["ss", "us", "is"].iter().any(|end| noun.ends_with(end)))
}

/// The first letter in upper case.
pub fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// "a", "a and b", "a, b and c".
pub fn list(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} and {last}", most.join(", ")),
    }
}

/// A small number as a word.
pub fn number(count: usize) -> String {
    const WORDS: [&str; 11] =
        ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"];
    WORDS.get(count).map_or_else(|| count.to_string(), |word| (*word).to_owned())
}

/// How sentences speak of an entity.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grammar {
    /// Whether verbs after its noun stand in the plural.
    pub plural: bool,
    /// Whether it is a human being, of whom "they" is said.
    pub person: bool,
}

impl Grammar {
    /// Read off an entity's nouns.
    pub fn of(entity: &Entity) -> Self {
        let head = entity.noun.split_whitespace().next_back().unwrap_or_default();
        let person = matches!(entity.general_noun.as_str(), "person" | "people" | "human");
        Self { plural: is_plural(head), person }
    }

    /// Subject form of the pronoun.
    pub fn pronoun(self) -> &'static str {
        if self.plural || self.person { "they" } else { "it" }
    }

    /// Object form of the pronoun.
    pub fn object_pronoun(self) -> &'static str {
        if self.plural || self.person { "them" } else { "it" }
    }

    /// Possessive form of the pronoun.
    pub fn possessive(self) -> &'static str {
        if self.plural || self.person { "their" } else { "its" }
    }

    /// Whether verbs after its pronoun stand in the plural.
    pub fn pronoun_plural(self) -> bool {
        self.plural || self.person
    }
}

/// The broad noun that stands for an entity, in its number.
pub fn generic(entity: &Entity) -> String {
    let noun = bare(&entity.general_noun);
    if Grammar::of(entity).plural && !is_plural(noun) { plural(noun) } else { noun.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn articles_follow_the_first_letter_and_the_number() {
        assert_eq!(a("orange box"), "an orange box");
        assert_eq!(a("the large ball"), "a large ball");
        assert_eq!(a("two girls"), "two girls");
        assert_eq!(the("A red can"), "the red can");
    }

    #[test]
    fn plurals_by_hand() {
        for (one, many) in
            [("ball", "balls"), ("box", "boxes"), ("toy", "toys"), ("puppy", "puppies"), ("person", "people")]
        {
            assert_eq!(plural(one), many);
            assert!(is_plural(many) && !is_plural(one), "{one}");
        }
        assert!(!is_plural("bus") && !is_plural("glass"));
    }

    #[test]
    fn lists_and_numbers_are_words() {
        let items = ["a".to_owned(), "b".to_owned(), "c".to_owned()];
        assert_eq!((list(&items[..1]), list(&items)), ("a".to_owned(), "a, b and c".to_owned()));
        assert_eq!((number(2), number(12)), ("two".to_owned(), "12".to_owned()));
    }
}
