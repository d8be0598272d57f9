//! The little English that templates need: articles, number, verb forms, and the rewriting that makes a question
//! about a masked object impossible to answer from its words.

pub mod nouns;
pub mod rewrite;
pub mod verbs;

/// The words of a text in lower case, without what stands between them.
pub fn said(text: &str) -> Vec<String> {
    let split = text.split(|letter: char| !letter.is_alphanumeric() && letter != '\'');
    split.filter(|word| !word.is_empty()).map(str::to_lowercase).collect()
}
