//! Structured outputs: which tokens may come next, so that what is written fits a JSON schema.

use std::fmt;
use std::sync::Arc;

use llguidance::api::TopLevelGrammar;
use llguidance::toktrie::{ApproximateTokEnv, TokEnv, TokRxInfo, TokTrie};
use llguidance::{Matcher, ParserFactory};
use serde_json::{Value, json};

use crate::error::{Error, Result};
use crate::tokenizer::Tokenizer;

/// Makes guides for one tokenizer. What takes time, a tree of all its tokens, is built once.
pub struct Guides {
    factory: ParserFactory,
}

impl fmt::Debug for Guides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guides").finish_non_exhaustive()
    }
}

fn failed(error: impl fmt::Display) -> Error {
    Error::Guide(error.to_string())
}

impl Guides {
    /// `eos_ids` end an answer. Special tokens and others that were added to the vocabulary are in no answer.
    ///
    /// # Errors
    /// A tokenizer whose tokens are not bytes (byte-level BPE), no end token.
    pub fn new(tokenizer: &Tokenizer, eos_ids: &[u32]) -> Result<Self> {
        let [first, ..] = eos_ids else { return Err(failed("no token ends an answer")) };
        let tokens = tokenizer.token_bytes()?;
        let info = TokRxInfo::new(tokens.len() as u32, *first);
        // What is no text is marked so, and in no answer.
        let marked = |id: u32| {
            let name = tokenizer.token(id).unwrap_or_default();
            [&[TokTrie::SPECIAL_TOKEN_MARKER], name.as_bytes()].concat()
        };
        let words: Vec<Vec<u8>> =
            (0..).zip(tokens).map(|(id, token)| token.unwrap_or_else(|| marked(id))).collect();
        let trie = TokTrie::from(&info, &words).with_eos_tokens(eos_ids);
        let env: TokEnv = Arc::new(ApproximateTokEnv::new(trie));
        let mut factory = ParserFactory::new_simple(&env).map_err(failed)?;
        factory.quiet();
        Ok(Self { factory })
    }

    /// A guide for one answer: JSON that fits `schema`, without white space between its parts.
    ///
    /// # Errors
    /// A schema that is none, or asks for what cannot be held to token by token.
    pub fn json(&self, schema: &Value) -> Result<Guide> {
        let mut schema = schema.clone();
        if let Some(object) = schema.as_object_mut() {
            object.insert("x-guidance".to_owned(), json!({ "whitespace_flexible": false }));
        }
        let parser = self.factory.create_parser(TopLevelGrammar::from_json_schema(schema)).map_err(failed)?;
        Ok(Guide { matcher: Matcher::new(Ok(parser)) })
    }
}

/// What one answer may still become.
pub struct Guide {
    matcher: Matcher,
}

impl fmt::Debug for Guide {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Guide").field("is_over", &self.is_over()).finish_non_exhaustive()
    }
}

impl Guide {
    /// Makes tokens impossible that may not come next.
    pub(crate) fn allow(&mut self, logits: &mut [f32]) -> Result<()> {
        let allowed = self.matcher.compute_mask_or_eos().map_err(failed)?;
        for (token, logit) in logits.iter_mut().enumerate() {
            if token >= allowed.len() || !allowed.is_allowed(token as u32) {
                *logit = f32::MIN;
            }
        }
        Ok(())
    }

    /// Takes note of the token that was chosen.
    pub(crate) fn take(&mut self, token: u32) -> Result<()> {
        self.matcher.consume_token(token).map_err(failed)
    }

    /// Whether the answer is whole and nothing may follow.
    pub(crate) fn is_over(&self) -> bool {
        self.matcher.is_stopped()
    }
}
