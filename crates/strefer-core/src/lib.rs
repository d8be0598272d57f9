//! Nouns and file formats: masks, masklets, time spans, samples, mixtures, JSON Lines, random numbers.

#[cfg(feature = "testing")]
pub mod golden;
pub mod rng;

pub use rng::Rng;
