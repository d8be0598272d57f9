//! Which sample is seen when: a pure function of the sources' lengths, the seed and the position.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::rng::Rng;

/// What an answer of a conversation sees while it is learnt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Turns {
    /// All turns before it.
    #[default]
    Conversation,
    /// The video and its own question, as if it were asked alone; the video is still encoded once for all of them.
    Independent,
}

impl Turns {
    fn is_usual(&self) -> bool {
        *self == Self::default()
    }
}

/// What chance does to a sample while it is learnt, the same to all its frames and objects.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Augment {
    /// Share of the samples whose frames lose their colours. Nothing should be asked about those.
    pub grey: f64,
    /// Share of the samples whose colours are others: the hue turned by any angle, each channel dimmed by up to a half.
    /// Nothing should be asked about those colours either.
    pub recolour: f64,
    /// Share of the samples whose objects are filled with other patterns. Nothing should be asked about their own.
    pub texture: f64,
    /// Share of the samples whose frames are blurred.
    pub blur: f64,
    /// The strongest blur: a Gaussian's standard deviation in pixels of the model's frames; the weakest is 0.3.
    pub blur_sigma: f64,
    /// Share of the samples whose objects come without the outlines of their masks, for models that are told them.
    pub no_outline: f64,
}

impl Default for Augment {
    fn default() -> Self {
        Self { grey: 0.0, recolour: 0.0, texture: 0.0, blur: 0.0, blur_sigma: 1.5, no_outline: 0.0 }
    }
}

impl Augment {
    /// Whether samples stay as they are.
    pub fn is_none(&self) -> bool {
        self.shares().into_iter().all(|(_, share)| share == 0.0)
    }

    fn shares(&self) -> [(&'static str, f64); 5] {
        [
            ("grey", self.grey),
            ("recolour", self.recolour),
            ("texture", self.texture),
            ("blur", self.blur),
            ("no_outline", self.no_outline),
        ]
    }

    fn fault(&self) -> Option<String> {
        let share = self.shares().into_iter().find(|(_, share)| !(0.0..=1.0).contains(share));
        match share {
            Some((name, share)) => Some(format!("augment.{name} is {share}, not between 0 and 1")),
            None if !(0.3..=64.0).contains(&self.blur_sigma) => {
                Some(format!("augment.blur_sigma is {}, not between 0.3 and 64", self.blur_sigma))
            }
            None => None,
        }
    }
}

/// One set of samples in a mixture.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SourceConfig {
    /// Its name in logs.
    pub name: String,
    /// Samples: a file (`.jsonl`, `.jsonl.zst`, `.parquet`, or a WebDataset shard, `.tar`), a folder of such, several by a
    /// range (`train-{000..127}.tar`), or an address (`s3://bucket/train/`; a folder's ends with `/`).
    pub path: PathBuf,
    /// The folder or address that media paths are relative to; that of the samples when absent. Media that stand in a
    /// shard beside their sample are taken from there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_root: Option<PathBuf>,
    /// How often every sample is seen in an epoch; 0.5 draws half of them anew each time.
    #[serde(default = "once")]
    pub weight: f64,
    /// Only the first so many samples.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cap: Option<usize>,
    /// What an answer sees of the conversation it is part of.
    #[serde(default, skip_serializing_if = "Turns::is_usual")]
    pub turns: Turns,
    /// What chance does to the samples.
    #[serde(default, skip_serializing_if = "Augment::is_none")]
    pub augment: Augment,
    /// A curriculum: each sample has a moment, drawn between these two, and an epoch goes by moments. A source with `[0.0, 0.4]` is
    /// seen before one with `[0.4, 1.0]`, however large they are.
    #[serde(default = "throughout", skip_serializing_if = "is_throughout")]
    pub phase: [f64; 2],
}

/// The whole epoch.
pub fn throughout() -> [f64; 2] {
    [0.0, 1.0]
}

fn is_throughout(phase: &[f64; 2]) -> bool {
    *phase == throughout()
}

fn once() -> f64 {
    1.0
}

/// Sets of samples and their shares.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MixtureConfig {
    /// The sets.
    pub sources: Vec<SourceConfig>,
}

impl MixtureConfig {
    /// Rejects what parses but cannot be meant.
    pub fn validate(&self) -> Result<()> {
        if self.sources.is_empty() {
            return Err(Error::Mixture("no source is named".to_owned()));
        }
        for source in &self.sources {
            if !(source.weight.is_finite() && source.weight > 0.0 && source.weight <= 1000.0) {
                return Err(Error::Mixture(format!(
                    "source {:?}: the weight {} is not between 0 and 1000",
                    source.name, source.weight
                )));
            }
            let [from, to] = source.phase;
            if !(0.0 <= from && from < to && to <= 1.0) {
                return Err(Error::Mixture(format!(
                    "source {:?}: the phase {from} to {to} is no part of an epoch, 0 to 1",
                    source.name
                )));
            }
            if let Some(fault) = source.augment.fault() {
                return Err(Error::Mixture(format!("source {:?}: {fault}", source.name)));
            }
        }
        Ok(())
    }
}

/// The place of a sample: which source, which line of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place {
    /// Position in the mixture's list of sources.
    pub source: usize,
    /// Position among the source's samples.
    pub index: usize,
}

/// The order in which a mixture is seen.
#[derive(Debug, Clone)]
pub struct MixtureOrder {
    sources: Vec<(usize, f64)>,
    /// Parts of an epoch; none where all sources are seen throughout.
    phases: Option<Vec<[f64; 2]>>,
    rng: Rng,
}

impl MixtureOrder {
    /// An order over sources of the given lengths and weights.
    pub fn new(sources: Vec<(usize, f64)>, seed: u64) -> Self {
        Self { sources, phases: None, rng: Rng::new(seed, "mixture order") }
    }

    /// The same with the moments between which those of each source are drawn.
    pub fn with_phases(mut self, phases: Vec<[f64; 2]>) -> Self {
        self.phases = (!phases.iter().all(is_throughout)).then_some(phases);
        self
    }

    /// Number of samples in every epoch.
    pub fn epoch_len(&self) -> usize {
        self.sources.iter().map(|&(len, weight)| (len as f64 * weight).round() as usize).sum()
    }

    /// Everything that is seen in an epoch, in order.
    pub fn epoch(&self, epoch: usize) -> Vec<Place> {
        let rng = self.rng.at(epoch as u64);
        let mut places = Vec::with_capacity(self.epoch_len());
        for (source, &(len, weight)) in self.sources.iter().enumerate() {
            let wanted = (len as f64 * weight).round() as usize;
            let whole = wanted / len.max(1);
            places.extend((0..whole).flat_map(|_| (0..len).map(|index| Place { source, index })));
            let rest = wanted - whole * len;
            let drawn = rng.named("fraction").at(source as u64).permutation(len);
            places.extend(drawn.into_iter().take(rest).map(|index| Place { source, index }));
        }
        let mut rng = rng.named("shuffle");
        let Some(phases) = &self.phases else {
            rng.shuffle(&mut places);
            return places;
        };
        // Each place has a moment of its own in its source's phase.
        let mut timed: Vec<(f64, Place)> = places
            .into_iter()
            .map(|place| {
                let [from, to] = phases.get(place.source).copied().unwrap_or_else(throughout);
                (rng.range(from, to), place)
            })
            .collect();
        timed.sort_by(|(a, _), (b, _)| a.total_cmp(b));
        timed.into_iter().map(|(_, place)| place).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn weights_say_how_often_a_sample_is_seen() {
        let order = MixtureOrder::new(vec![(10, 2.0), (8, 0.5), (3, 1.0)], 1);
        let mut seen: BTreeMap<Place, usize> = BTreeMap::new();
        for place in order.epoch(0) {
            *seen.entry(place).or_default() += 1;
        }
        assert_eq!(order.epoch(0).len(), order.epoch_len());
        let of = |source| seen.iter().filter(move |(place, _)| place.source == source).map(|(_, &n)| n);
        assert!(of(0).count() == 10 && of(0).all(|n| n == 2));
        assert!(of(1).count() == 4 && of(1).all(|n| n == 1));
        assert!(of(2).count() == 3 && of(2).all(|n| n == 1));
    }

    #[test]
    fn an_epoch_depends_on_seed_and_number_only() {
        let order = MixtureOrder::new(vec![(100, 1.0)], 4);
        assert_eq!(order.epoch(3), order.clone().epoch(3));
        assert_ne!(order.epoch(3), order.epoch(4));
        assert_ne!(order.epoch(3), MixtureOrder::new(vec![(100, 1.0)], 5).epoch(3));
    }

    #[test]
    fn a_phase_is_kept_and_holds_every_sample_once() {
        let plain = MixtureOrder::new(vec![(100, 1.0), (100, 2.0)], 4);
        let phased = plain.clone().with_phases(vec![[0.0, 0.5], [0.0, 1.0]]);
        let epoch = phased.epoch(2);
        assert_eq!(epoch, phased.epoch(2));
        let mut sorted = epoch.clone();
        sorted.sort_unstable();
        let mut expected = plain.epoch(2);
        expected.sort_unstable();
        assert_eq!(sorted, expected);
        // In the first half of the moments lie the first source and half of the second: 200 of 300 places.
        let last = epoch.iter().rposition(|place| place.source == 0).unwrap();
        assert!((170..230).contains(&last), "{last}");
        // Where nobody has a phase, the order is what it always was.
        assert_eq!(plain.clone().with_phases(vec![throughout(); 2]).epoch(1), plain.epoch(1));
    }

    #[test]
    fn a_phase_that_is_no_part_of_an_epoch_is_refused() {
        for phase in ["[0.5, 0.5]", "[-0.1, 1.0]", "[0.2, 1.5]"] {
            let text = format!("[[sources]]\nname = \"a\"\npath = \"a\"\nphase = {phase}\n");
            let config: MixtureConfig = toml::from_str(&text).unwrap();
            assert!(config.validate().unwrap_err().to_string().contains("phase"), "{phase}");
        }
    }

    #[test]
    fn the_final_recipe_of_strefer_adds_up() {
        let order = MixtureOrder::new(vec![(1_254_656, 1.0), (694_023, 1.0), (560_043, 1.0)], 0);
        assert_eq!(order.epoch_len(), 2_508_722);
    }
}
