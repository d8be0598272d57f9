//! What a rank holds.

use std::collections::BTreeMap;

use serde::Serialize;
use strefer_model::Checkpoint;

use crate::config::{Float, LoraConfig, Part, Sharding, TrainConfig};
use crate::error::{Result, io};
use crate::layers::layer_of;
use crate::ranks::{BUCKET, Owners};
use crate::trainer::LAYERS;

use super::Place;

/// A parameter, as far as memory depends on it.
#[derive(Debug, Clone)]
pub(crate) struct Parameter {
    pub name: String,
    pub count: usize,
    pub part: Part,
    pub learns: bool,
    /// Whether ranks may share it by turns.
    in_layer: bool,
    /// Whether its values lie in a quantised file.
    quantised: bool,
}

/// All parameters of a run's model: those of the checkpoint, and low-rank updates that begin with the run.
pub(crate) fn parameters(config: &TrainConfig, checkpoint: &Checkpoint) -> Result<Vec<Parameter>> {
    let weights = checkpoint.weights()?;
    let lora = config.lora.is_some() || checkpoint.config.llm.lora.is_some();
    let base = config.lora.as_ref().is_some_and(|lora| lora.base.is_some());
    let entry = |name: String, count: usize, fresh: bool| {
        let part = Part::of(&name);
        Parameter {
            count,
            part,
            learns: config.parts.rate(part, lora).is_some(),
            in_layer: !fresh && layer_of(LAYERS, &name).is_some(),
            quantised: base && part == Part::Language && name.ends_with("_proj.weight"),
            name,
        }
    };
    let mut all = Vec::new();
    for name in weights.names() {
        let shape = weights.shape(name).unwrap_or_default();
        all.push(entry(name.to_owned(), shape.iter().product(), false));
        let fresh = config.lora.as_ref().filter(|_| checkpoint.config.llm.lora.is_none());
        if let (Some(LoraConfig { rank, modules, .. }), [out, d]) = (fresh, shape)
            && Part::of(name) == Part::Language
            && let Some(stem) = name.strip_suffix(".weight")
            && modules.iter().any(|module| stem.ends_with(&format!(".{module}")))
        {
            all.push(entry(format!("{stem}.lora_A.weight"), rank * d, true));
            all.push(entry(format!("{stem}.lora_B.weight"), out * rank, true));
        }
    }
    Ok(all)
}

/// Room that products on a card are given, once.
const PRODUCTS: usize = 32 << 20;

/// Bytes of one rank.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RankMemory {
    /// Weights, by part.
    pub weights: BTreeMap<Part, usize>,
    /// Layers of other ranks, for their turn.
    pub visiting: usize,
    /// Gradients, by part: all sets of them.
    pub gradients: BTreeMap<Part, usize>,
    /// Sets of gradients at the end of a step.
    pub sets: usize,
    /// Moments and f32 masters.
    pub optimizer: usize,
    /// Those that lie in the host's memory while the model is on a card.
    pub offloaded: usize,
    /// Buffers in which ranks sum gradients, after the backward.
    pub exchange: usize,
    /// A copy of what learns, which a checkpoint is written from.
    pub snapshot: usize,
    /// What the rows under way at a time keep for their backward.
    pub activations: usize,
    /// What of it is left in the first layer of the language model on the way back.
    pub middle_activations: usize,
    /// What of it is kept until the backward has come to the vision tower.
    pub last_activations: usize,
    /// Frames of the pass under way and of the next, as they come to a card.
    pub carried: usize,
    /// Samples that were read ahead, and decoded frames that are kept.
    pub data: usize,
    /// What a card's library needs for products.
    pub products: usize,
    /// Where the model is; on a card, samples and the copy are the host's.
    pub place: Place,
    /// Whether the head is the embedding's matrix.
    #[serde(skip)]
    tied: bool,
}

impl RankMemory {
    /// The most of it at a time where the model is: the copy is made between steps, and written before the next one needs its
    /// memory.
    pub fn total(&self) -> usize {
        if self.place.is_card() {
            return self.lasting() + self.step();
        }
        with_gaps(self.lasting() + self.data + self.step().max(self.snapshot))
    }

    /// The same where the disk is so slow that a copy is still being written when a step needs most.
    pub fn with_slow_disk(&self) -> usize {
        if self.place.is_card() {
            self.total()
        } else {
            with_gaps(self.lasting() + self.data + self.step() + self.snapshot)
        }
    }

    /// What a run on a card keeps in the host's memory.
    pub fn host(&self) -> usize {
        if self.place.is_card() { with_gaps(self.offloaded + self.data + self.snapshot) } else { 0 }
    }

    /// What stays from step to step, where the model is.
    fn lasting(&self) -> usize {
        self.weights.values().sum::<usize>() + self.optimizer + self.products + self.carried
    }

    /// What a step needs besides.
    fn step(&self) -> usize {
        let gradients: usize = self.gradients.values().sum();
        let after = gradients + self.exchange;
        if self.place != (Place::Card { fused: true }) {
            return self.visiting + after.max(gradients + self.activations);
        }
        // What the backward has been through is let go: gradients of one set come in its place.
        let own = |parts: &[Part]| {
            let of_parts = self.gradients.iter().filter(|(part, _)| parts.contains(part));
            of_parts.map(|(_, size)| size).sum::<usize>() / self.sets.max(1)
        };
        let set = gradients / self.sets.max(1);
        let head = own(&[Part::Head, Part::Tokens]) + if self.tied { own(&[Part::Embedding]) } else { 0 };
        let at_first = self.activations + head;
        let before = own(&[Part::Vision, Part::Connector, Part::Region]);
        let in_the_middle = self.middle_activations + set - before;
        let at_last = self.last_activations + set - own(&[Part::Vision]);
        let backward = at_first.max(in_the_middle).max(at_last);
        self.visiting + after.max(gradients - set + backward)
    }

    /// Nothing yet, with so many sets of gradients in a step.
    pub(crate) fn new(place: Place, sets: usize, tied: bool) -> Self {
        Self {
            weights: BTreeMap::new(),
            visiting: 0,
            gradients: BTreeMap::new(),
            sets,
            optimizer: 0,
            offloaded: 0,
            exchange: 0,
            snapshot: 0,
            activations: 0,
            middle_activations: 0,
            last_activations: 0,
            carried: 0,
            data: 0,
            products: if place.is_card() { PRODUCTS } else { 0 },
            place,
            tied,
        }
    }

    /// What a rank keeps from step to step.
    pub(crate) fn keep(
        &mut self,
        config: &TrainConfig,
        parameters: &[Parameter],
        owners: &Owners,
        first: bool,
    ) -> Result<()> {
        let width = if config.steps.dtype == Float::F32 { 4 } else { 2 };
        let full = config.steps.shard == Sharding::Full && owners.are_several();
        let mut layers: BTreeMap<&str, usize> = BTreeMap::new();
        for parameter in parameters {
            let Parameter { name, count, part, learns, in_layer, quantised } = parameter;
            let (shared, own) = (full && *in_layer, owners.owns(name));
            if shared && !own {
                *layers.entry(layer_of(LAYERS, name).unwrap_or_default()).or_default() += width * count;
            } else if !quantised {
                *self.weights.entry(*part).or_default() += width * count;
            }
            if !learns {
                continue;
            }
            if !shared || own {
                *self.gradients.entry(*part).or_default() += self.sets * width * count;
            }
            if own {
                let kept = match self.place.is_card() && config.optim.adamw.offload {
                    true => &mut self.offloaded,
                    false => &mut self.optimizer,
                };
                *kept += states(config, *count);
            }
            self.snapshot += if first { width * count } else { 0 };
            self.snapshot += if own { 2 * config.optim.adamw.moments.bytes(*count) } else { 0 };
        }
        if full && first {
            let frozen = parameters.iter().filter(|parameter| parameter.in_layer && !parameter.learns);
            self.snapshot += frozen.map(|parameter| width * parameter.count).sum::<usize>();
        }
        if owners.size() > 1 {
            let everywhere = parameters.iter().filter(|one| one.learns && !(full && one.in_layer));
            let most = everywhere.map(|parameter| parameter.count).sum::<usize>().min(BUCKET);
            // What is sent, laid side by side; the sums; and both as the other side takes and gives them.
            self.exchange = 4 * size_of::<f32>() * most;
        }
        self.visiting = 2 * layers.into_values().max().unwrap_or_default();
        if let Some(base) = config.lora.as_ref().and_then(|lora| lora.base.as_ref()) {
            let bytes = std::fs::metadata(base).map_err(io(base))?.len();
            *self.weights.entry(Part::Language).or_default() += bytes as usize;
        }
        Ok(())
    }
}

/// With what lies between allocations: about a twentieth, measured on CPUs.
fn with_gaps(bytes: usize) -> usize {
    bytes + bytes / 20
}

/// Bytes of the optimiser's state of a parameter with so many numbers: moments, and a master where it is narrower.
pub(super) fn states(config: &TrainConfig, count: usize) -> usize {
    let master = if config.steps.dtype == Float::F32 { 0 } else { 4 * count };
    2 * config.optim.adamw.moments.bytes(count) + master
}

/// Who keeps what, as the run shares it.
pub(crate) fn spread(mut owners: Owners, sharding: Sharding, parameters: &[Parameter]) -> Owners {
    if sharding == Sharding::Full {
        let layers = parameters.iter().filter(|parameter| parameter.in_layer);
        owners.spread(layers.map(|parameter| (parameter.name.as_str(), parameter.count)));
    }
    let learning = parameters.iter().filter(|parameter| parameter.learns);
    owners.spread(learning.map(|parameter| (parameter.name.as_str(), parameter.count)));
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rank(place: Place, tied: bool, language: usize) -> RankMemory {
        let gradients =
            [(Part::Vision, 10), (Part::Connector, 5), (Part::Language, language), (Part::Head, 20)];
        RankMemory {
            gradients: gradients.into_iter().chain([(Part::Embedding, 7)]).collect(),
            activations: 200,
            middle_activations: 90,
            last_activations: 30,
            ..RankMemory::new(place, 1, tied)
        }
    }

    #[test]
    fn a_step_needs_what_its_fullest_moment_needs() {
        let fused = Place::Card { fused: true };
        // As the backward begins there are the gradients of the head alone.
        assert_eq!(rank(fused, false, 50).step(), 200 + 20);
        assert_eq!(rank(fused, true, 50).step(), 200 + 20 + 7);
        // In the first layer of the language model there are those of all behind it, and those of what is shown come last.
        assert_eq!(rank(fused, false, 150).step(), 90 + 20 + 7 + 150);
        let late = RankMemory { last_activations: 95, ..rank(fused, false, 150) };
        assert_eq!(late.step(), 95 + 20 + 7 + 150 + 5);
        // Ranks exchange what is there at the end; a second set is there all along.
        assert_eq!(RankMemory { exchange: 400, ..rank(fused, false, 150) }.step(), 192 + 400);
        let twice = RankMemory { sets: 2, ..rank(fused, false, 50) };
        assert_eq!(twice.step(), 46 + 200 + 10);
        // Candle's history lets go of nothing before its end.
        for place in [Place::Card { fused: false }, Place::Processor] {
            assert_eq!(rank(place, false, 50).step(), 92 + 200);
        }
    }
}
