//! From logits to the next token.

use strefer_core::Rng;

use crate::error::{Error, Result};
use crate::generate::GenerationConfig;

/// Draws tokens by a [`GenerationConfig`], remembering the ones it drew for the repetition penalty.
#[derive(Debug, Clone)]
pub struct Sampler {
    cfg: GenerationConfig,
    rng: Rng,
    drawn: Vec<u32>,
}

impl Sampler {
    /// A sampler that has drawn nothing yet.
    pub fn new(cfg: &GenerationConfig) -> Result<Self> {
        cfg.validate()?;
        Ok(Self { cfg: cfg.clone(), rng: Rng::new(cfg.seed, "sampling"), drawn: Vec::new() })
    }

    /// The next token: repetition penalty, then temperature, then the best `top_k`, then the smallest set that holds
    /// `top_p` of the probability. Temperature 0 takes the best.
    pub fn draw(&mut self, logits: &[f32]) -> Result<u32> {
        if logits.is_empty() || logits.iter().any(|logit| !logit.is_finite()) {
            return Err(Error::NonFiniteLogits { step: self.drawn.len() });
        }
        let mut logits = logits.to_vec();
        self.penalise(&mut logits);
        let token = if self.cfg.temperature == 0.0 { best(&logits) } else { self.sample(&logits) };
        self.drawn.push(token);
        Ok(token)
    }

    /// Whether it takes the best token each time, so that nobody need show it the logits.
    pub(crate) fn takes_best(&self) -> bool {
        self.cfg.temperature == 0.0 && self.cfg.repetition_penalty == 1.0
    }

    /// Takes the best token as found elsewhere; none where logits are not finite.
    pub(crate) fn take(&mut self, best: Option<u32>) -> Result<u32> {
        let token = best.ok_or(Error::NonFiniteLogits { step: self.drawn.len() })?;
        self.drawn.push(token);
        Ok(token)
    }

    fn penalise(&self, logits: &mut [f32]) {
        let penalty = self.cfg.repetition_penalty as f32;
        if penalty == 1.0 {
            return;
        }
        let mut seen = self.drawn.clone();
        seen.sort_unstable();
        seen.dedup();
        for token in seen {
            if let Some(logit) = logits.get_mut(token as usize) {
                *logit = if *logit < 0.0 { *logit * penalty } else { *logit / penalty };
            }
        }
    }

    fn sample(&self, logits: &[f32]) -> u32 {
        let temperature = self.cfg.temperature;
        let mut order: Vec<u32> = (0..logits.len() as u32).collect();
        let at = |token: u32| logits[token as usize];
        // Ties are ordered by id, so that the order is one.
        order.sort_by(|&a, &b| at(b).total_cmp(&at(a)).then(a.cmp(&b)));
        if self.cfg.top_k > 0 {
            order.truncate(self.cfg.top_k);
        }
        let top = f64::from(at(order[0]));
        let mut weights: Vec<f64> =
            order.iter().map(|&token| ((f64::from(at(token)) - top) / temperature).exp()).collect();
        let total: f64 = weights.iter().sum();
        if self.cfg.top_p < 1.0 {
            let mut held = 0.0;
            let enough = weights.iter().position(|weight| {
                held += weight / total;
                held >= self.cfg.top_p
            });
            weights.truncate(enough.map_or(weights.len(), |at| at + 1));
        }
        let total: f64 = weights.iter().sum();
        let mut left = self.rng.at(self.drawn.len() as u64).uniform() * total;
        for (token, weight) in order.iter().zip(&weights) {
            left -= weight;
            if left < 0.0 {
                return *token;
            }
        }
        // What is impossible stays so, however the shares were rounded.
        order[weights.iter().rposition(|weight| *weight > 0.0).unwrap_or(0)]
    }
}

/// The first of the largest.
fn best(logits: &[f32]) -> u32 {
    let mut best = 0;
    for (at, logit) in logits.iter().enumerate() {
        if *logit > logits[best] {
            best = at;
        }
    }
    best as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cfg() -> GenerationConfig {
        GenerationConfig { temperature: 1.0, ..GenerationConfig::default() }
    }

    fn draws(cfg: &GenerationConfig, logits: &[f32], n: u64) -> Vec<u32> {
        let draw = |seed| {
            let cfg = GenerationConfig { seed, ..cfg.clone() };
            Sampler::new(&cfg).unwrap().draw(logits).unwrap()
        };
        (0..n).map(draw).collect()
    }

    #[test]
    fn frequencies_follow_the_probabilities() {
        let logits = [0.0, 2f32.ln(), f32::MIN];
        let twos = draws(&cfg(), &logits, 3000).iter().filter(|&&token| token == 1).count();
        assert!((1900..2100).contains(&twos), "{twos} of 3000 instead of 2000");
        let hot = GenerationConfig { temperature: 0.5, ..cfg() };
        let twos = draws(&hot, &logits, 3000).iter().filter(|&&token| token == 1).count();
        assert!((2300..2500).contains(&twos), "{twos} of 3000 instead of 2400");
    }

    #[test]
    fn top_k_and_top_p_cut_the_tail() {
        let logits = [0.5f32.ln(), 0.3f32.ln(), 0.15f32.ln(), 0.05f32.ln()];
        let seen = |cfg: GenerationConfig| draws(&cfg, &logits, 500).into_iter().max().unwrap();
        assert_eq!(seen(GenerationConfig { top_k: 2, ..cfg() }), 1);
        assert_eq!(seen(GenerationConfig { top_p: 0.79, ..cfg() }), 1);
        assert_eq!(seen(GenerationConfig { top_p: 0.9, ..cfg() }), 2);
        assert_eq!(seen(GenerationConfig { top_p: 0.01, ..cfg() }), 0, "the best always stays");
    }

    #[test]
    fn what_was_found_elsewhere_counts_as_drawn() {
        let mut sampler = Sampler::new(&GenerationConfig::default()).unwrap();
        assert!(sampler.takes_best() && !Sampler::new(&cfg()).unwrap().takes_best());
        assert_eq!(sampler.take(Some(7)).unwrap(), 7);
        assert!(matches!(sampler.take(None), Err(Error::NonFiniteLogits { step: 1 })));
    }

    #[test]
    fn the_penalty_weakens_drawn_tokens_on_either_side_of_zero() {
        let cfg = GenerationConfig { repetition_penalty: 2.0, ..GenerationConfig::default() };
        let mut sampler = Sampler::new(&cfg).unwrap();
        let tokens: Vec<u32> = (0..3).map(|_| sampler.draw(&[3.0, 2.0, -0.5]).unwrap()).collect();
        assert_eq!(tokens, [0, 1, 0]);
        let mut sampler = Sampler::new(&cfg).unwrap();
        let tokens: Vec<u32> = (0..2).map(|_| sampler.draw(&[-1.0, -1.5]).unwrap()).collect();
        assert_eq!(tokens, [0, 1]);
    }

    #[test]
    fn a_logit_that_is_no_number_is_an_error_that_counts_the_tokens() {
        let mut sampler = Sampler::new(&GenerationConfig::default()).unwrap();
        sampler.draw(&[1.0, 2.0]).unwrap();
        let error = sampler.draw(&[1.0, f32::NAN]).unwrap_err();
        assert!(matches!(error, Error::NonFiniteLogits { step: 1 }));
    }
}
