//! Words as a dictionary has them, by WordNet's rules.

use super::wordnet::WordNet;

/// Endings of forms and of the words that they are forms of, by part of speech: nouns, verbs, adjectives, adverbs.
const ENDINGS: [&[(&str, &str)]; 4] = [
    &[
        ("s", ""),
        ("ses", "s"),
        ("ves", "f"),
        ("xes", "x"),
        ("zes", "z"),
        ("ches", "ch"),
        ("shes", "sh"),
        ("men", "man"),
        ("ies", "y"),
    ],
    &[("s", ""), ("ies", "y"), ("es", "e"), ("es", ""), ("ed", "e"), ("ed", ""), ("ing", "e"), ("ing", "")],
    &[("er", ""), ("est", ""), ("er", "e"), ("est", "e")],
    &[],
];

/// What a form could be a form of, whether there is such a word or not.
pub(super) fn regular(form: &str, part: usize) -> Vec<String> {
    let word = |(old, new): &(&str, &str)| form.strip_suffix(old).map(|stem| format!("{stem}{new}"));
    ENDINGS[part].iter().filter_map(word).collect()
}

impl WordNet {
    /// The shortest word that this is a form of, whatever its part of speech, which nobody tells; the form itself where
    /// WordNet does not know it.
    pub fn lemma(&self, form: &str) -> String {
        let form = form.to_lowercase();
        let lemmas = (0..ENDINGS.len()).flat_map(|part| self.forms(&form, part));
        lemmas.min_by_key(String::len).unwrap_or(form)
    }
}
