//! How RexSeek is asked.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// What stands for the expression in a question.
const SLOT: &str = "[OBJ]";

/// How RexSeek is asked. The usual values are those of its own evaluation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RexSeekOptions {
    /// The question; `[OBJ]` stands for the expression.
    pub question: String,
    /// Round boxes to 16 bits, as upstream does.
    pub fp16_boxes: bool,
    /// Answers break off after this many tokens.
    pub max_new_tokens: usize,
    /// Expressions that are answered side by side.
    pub batch: usize,
}

impl Default for RexSeekOptions {
    fn default() -> Self {
        Self {
            question: format!("Please detect {SLOT} in this image. Answer the question with object indexes."),
            fp16_boxes: true,
            max_new_tokens: 512,
            batch: 16,
        }
    }
}

impl RexSeekOptions {
    /// Fails when a value cannot be meant.
    pub fn validate(&self) -> Result<()> {
        let bad = |reason: String| Err(Error::Grounding { subject: "options".into(), reason });
        if !self.question.contains(SLOT) {
            return bad(format!("the question {:?} has no {SLOT} for the expression", self.question));
        }
        if self.max_new_tokens == 0 || self.batch == 0 {
            return bad(format!("max_new_tokens {} and batch {}", self.max_new_tokens, self.batch));
        }
        Ok(())
    }

    /// The question about an expression.
    pub(super) fn question_about(&self, expression: &str) -> String {
        self.question.replace(SLOT, expression)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_that_cannot_be_meant_are_refused() {
        let good = RexSeekOptions::default();
        assert!(good.validate().is_ok());
        assert!(good.question_about("a dog").contains("detect a dog in"));
        for bad in [
            RexSeekOptions { question: "Where is it?".into(), ..good.clone() },
            RexSeekOptions { max_new_tokens: 0, ..good.clone() },
            RexSeekOptions { batch: 0, ..good },
        ] {
            assert!(bad.validate().is_err(), "{bad:?}");
        }
    }
}
