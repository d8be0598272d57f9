//! How tokens are chosen and when to stop.

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// How tokens are chosen and when to stop.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenerationConfig {
    /// Stop after this many tokens.
    pub max_new_tokens: usize,
    /// 0 takes the best token each time.
    pub temperature: f64,
    /// Only the best tokens may be drawn; 0: all.
    pub top_k: usize,
    /// Only the smallest set with this share of the probability may be drawn.
    pub top_p: f64,
    /// Divides the positive logits of tokens that were generated before, multiplies the negative ones.
    pub repetition_penalty: f64,
    /// Stop when the text holds one of these; it is cut there.
    pub stop: Vec<String>,
    /// Stop after one of these tokens.
    pub eos_ids: Vec<u32>,
    /// Seed of the draws.
    pub seed: u64,
}

impl Default for GenerationConfig {
    fn default() -> Self {
        Self {
            max_new_tokens: 256,
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            repetition_penalty: 1.0,
            stop: Vec::new(),
            eos_ids: Vec::new(),
            seed: 0,
        }
    }
}

impl GenerationConfig {
    /// Fails when a value cannot be meant.
    pub fn validate(&self) -> Result<()> {
        let bad = |what: String| Err(Error::Generation(what));
        if !self.temperature.is_finite() || self.temperature < 0.0 {
            return bad(format!("temperature {} is negative", self.temperature));
        }
        if !(self.top_p > 0.0 && self.top_p <= 1.0) {
            return bad(format!("top_p {} is outside 0..1", self.top_p));
        }
        if !self.repetition_penalty.is_finite() || self.repetition_penalty <= 0.0 {
            return bad(format!("repetition_penalty {} is not positive", self.repetition_penalty));
        }
        if self.stop.iter().any(String::is_empty) {
            return bad("an empty stop string stops at once".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_cannot_be_meant_are_refused() {
        let good = GenerationConfig::default();
        assert!(good.validate().is_ok());
        for bad in [
            GenerationConfig { temperature: -1.0, ..good.clone() },
            GenerationConfig { top_p: 0.0, ..good.clone() },
            GenerationConfig { repetition_penalty: 0.0, ..good.clone() },
            GenerationConfig { stop: vec![String::new()], ..good },
        ] {
            assert!(matches!(bad.validate(), Err(Error::Generation(_))), "{bad:?}");
        }
    }
}
