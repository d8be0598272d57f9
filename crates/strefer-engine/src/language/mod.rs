//! The little English that templates need: articles, number, verb forms, and the rewriting that makes a question
//! about a masked object impossible to answer from its words.

pub mod nouns;
pub mod rewrite;
pub mod verbs;
