//! How long a run is, and how its steps are split.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Float;
use crate::error::{Error, Result};

/// How long, and in which portions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepsConfig {
    /// Optimiser steps; with `epochs`, the most of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<usize>,
    /// How often the mixture is gone through, the last step rounded up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub epochs: Option<f64>,
    /// Samples of one optimiser step, over all ranks.
    pub batch: usize,
    /// The most samples of one pass through the model on one rank; a rank's whole share of the step when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub micro_batch: Option<usize>,
    /// The most positions of a row that several samples of a pass share, end to end and without seeing each other; 0 gives
    /// each sample a row of its own, padded to the longest among those of like length.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pack: usize,
    /// The type of weights and states; masters of weights, moments and sums are f32 in any case.
    #[serde(default, skip_serializing_if = "Float::is_f32")]
    pub dtype: Float,
    /// Whether layers run again in the backward instead of keeping what they computed: less memory, more time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub recompute: bool,
    /// What ranks share instead of holding it each.
    #[serde(default, skip_serializing_if = "Sharding::is_none")]
    pub shard: Sharding,
}

/// What ranks share instead of holding it each (ZeRO, arXiv 1910.02054).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Sharding {
    /// Nothing: every rank holds everything.
    #[default]
    None,
    /// The optimiser's state (ZeRO-1).
    Optimizer,
    /// That and gradients (ZeRO-2).
    Gradients,
    /// That and the weights of the language model's layers, which come for their layer's turn (ZeRO-3).
    Full,
}

impl Sharding {
    fn is_none(&self) -> bool {
        *self == Self::None
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks so")]
fn is_zero(positions: &usize) -> bool {
    *positions == 0
}

impl StepsConfig {
    /// Optimiser steps of a run whose mixture has so many samples.
    pub fn count(&self, epoch_len: usize) -> usize {
        let by_epochs =
            self.epochs.map(|epochs| (epochs * epoch_len as f64 / self.batch as f64).ceil() as usize);
        match (self.total, by_epochs) {
            (Some(total), Some(count)) => total.min(count),
            (total, count) => total.or(count).unwrap_or_default(),
        }
    }

    pub(super) fn computes_as(&self, other: &Self) -> bool {
        let Self { total, epochs, batch, dtype, micro_batch: _, pack: _, recompute: _, shard: _ } = *self;
        (total, epochs, batch, dtype) == (other.total, other.epochs, other.batch, other.dtype)
    }

    /// The passes of one step on one of `ranks` ranks: how many samples each, and all together.
    ///
    /// # Errors
    /// The batch cannot be split evenly.
    pub fn passes(&self, ranks: usize) -> Result<Passes> {
        if !self.batch.is_multiple_of(ranks) {
            return Err(Error::UnevenBatch { batch: self.batch, ranks });
        }
        let share = self.batch / ranks;
        Ok(Passes { batch: self.batch, share, micro_batch: self.micro_batch.unwrap_or(share).min(share) })
    }
}

/// How a step is split into passes on every rank.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Passes {
    batch: usize,
    share: usize,
    micro_batch: usize,
}

impl Passes {
    /// Passes of one step.
    pub fn count(&self) -> usize {
        self.share.div_ceil(self.micro_batch)
    }

    /// The most samples of one pass.
    pub fn rows(&self) -> usize {
        self.micro_batch
    }

    /// Positions of the run that a pass of a rank sees; passes are counted from the first of the run.
    pub fn positions(&self, rank: usize, pass: usize) -> std::ops::Range<usize> {
        let (step, pass) = (pass / self.count(), pass % self.count());
        let first = step * self.batch + rank * self.share;
        let from = pass * self.micro_batch;
        first + from..first + (from + self.micro_batch).min(self.share)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: StepsConfig = StepsConfig {
        total: Some(10),
        epochs: None,
        batch: 2,
        micro_batch: None,
        pack: 0,
        dtype: Float::F32,
        recompute: false,
        shard: Sharding::None,
    };

    #[test]
    fn a_step_is_split_over_ranks_and_passes_without_loss() {
        for (batch, micro_batch, ranks) in
            [(12, None, 1), (12, Some(5), 1), (12, Some(2), 3), (12, Some(99), 4)]
        {
            let steps = StepsConfig { batch, micro_batch, ..USUAL };
            let passes = steps.passes(ranks).unwrap();
            for step in [0, 7] {
                let all = step * passes.count()..(step + 1) * passes.count();
                let seen: Vec<usize> = (0..ranks)
                    .flat_map(|rank| all.clone().flat_map(move |pass| passes.positions(rank, pass)))
                    .collect();
                assert!(
                    seen.into_iter().eq(step * batch..(step + 1) * batch),
                    "{micro_batch:?}, {ranks} ranks"
                );
            }
        }
        let steps = StepsConfig { batch: 12, ..USUAL };
        let error = steps.passes(5).unwrap_err().to_string();
        assert!(error.contains("12") && error.contains("5 ranks"), "{error}");
    }

    #[test]
    fn a_run_is_as_long_as_its_steps_or_epochs_say() {
        let count = |total, epochs| StepsConfig { total, epochs, batch: 8, ..USUAL }.count(100);
        assert_eq!([count(Some(5), None), count(None, Some(1.0)), count(None, Some(2.5))], [5, 13, 32]);
        assert_eq!([count(Some(5), Some(1.0)), count(Some(50), Some(1.0))], [5, 13]);
    }
}
