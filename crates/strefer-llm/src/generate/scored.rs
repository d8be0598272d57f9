//! Several answers behind one beginning, each token with its probability.

use std::ops::ControlFlow;

use candle_core::Tensor;

use super::{GenerationConfig, rows};
use crate::decoder::{Decoder, KvCache};
use crate::error::{Error, Result};

/// New tokens and how sure the model was of each.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Scored {
    /// All new tokens, an end token included.
    pub tokens: Vec<u32>,
    /// The logarithm of each token's probability among all tokens, before temperature and the like.
    pub log_probabilities: Vec<f64>,
}

/// Runs the beginning that several prompts have in common through the layers and keeps it in `cache`, behind what is there.
///
/// # Shapes
/// - `embeds`: `(1, s, d)`
///
/// # Errors
/// A model whose rotation depends on the length of the whole sequence, when the beginning is longer than where it changes;
/// a beginning that does not fit.
pub fn remember(decoder: &Decoder, cache: &mut KvCache, embeds: &Tensor) -> Result<()> {
    let (wanted, limit) = (cache.len() + embeds.dim(1)?, decoder.config().max_position_embeddings);
    if wanted > limit {
        return Err(Error::TooLong { wanted, limit });
    }
    if decoder.switches_after().is_some_and(|longest| wanted > longest) {
        return Err(Error::Generation(format!(
            "a shared beginning of {wanted} tokens is beyond the length at which this model rotates otherwise"
        )));
    }
    Ok(rows::remember(decoder, cache, embeds)?)
}

/// Continues several prompts, each behind the columns of its own cache, and keeps the probability of every token. Every step
/// reads the weights once for all of them; what goes wrong with one prompt ends that one alone.
///
/// # Shapes
/// - `prompts`: each `(1, s, d)`, of any lengths
pub fn generate_scored(
    decoder: &Decoder,
    caches: &mut [KvCache],
    prompts: &[Tensor],
    cfg: &GenerationConfig,
) -> Vec<Result<Scored>> {
    if caches.len() != prompts.len() {
        let reason = format!("{} caches for {} prompts", caches.len(), prompts.len());
        return prompts.iter().map(|_| Err(Error::Generation(reason.clone()))).collect();
    }
    let mut scores: Vec<Vec<f64>> = vec![Vec::new(); prompts.len()];
    let answers = rows::run(decoder, caches, prompts, cfg, None, true, |row, token, logits| {
        scores[row].push(log_probability(logits, token));
        Ok(ControlFlow::Continue(()))
    });
    let scored = |(tokens, log_probabilities): (Result<Vec<u32>>, Vec<f64>)| {
        Ok(Scored { tokens: tokens?, log_probabilities })
    };
    answers.into_iter().zip(scores).map(scored).collect()
}

/// The logarithm of a token's share in the softmax of `logits`.
fn log_probability(logits: &[f32], token: u32) -> f64 {
    let top = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let sum: f64 = logits.iter().map(|&logit| (f64::from(logit) - top).exp()).sum();
    f64::from(logits[token as usize]) - top - sum.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probabilities_of_all_tokens_sum_to_one() {
        let logits = [3.0, -1.0, 0.5, 1000.0, 999.0];
        let sum: f64 = (0..5).map(|token| log_probability(&logits, token).exp()).sum();
        assert!((sum - 1.0).abs() < 1e-12);
        assert!((log_probability(&logits, 3) + (1.0 + (-1f64).exp()).ln()).abs() < 1e-9);
    }
}
