//! WUPS: how alike two short answers are, word by word, in WordNet's tree of meanings ([Malinowski and
//! Fritz](https://arxiv.org/abs/1410.0210); [NExT-QA](https://github.com/doc-doc/NExT-OE) with its own cleaning of words).
//!
//! WordNet is read from its own files (the folder `dict`), which the user gives.

mod lemma;
mod score;
mod similarity;
mod wordnet;

pub use score::{Wups, wups};
pub use wordnet::{Synset, WordNet};
