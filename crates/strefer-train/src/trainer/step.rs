//! One optimiser step.

use std::collections::BTreeMap;
use std::time::Instant;

use strefer_nn::optim::Gradients;
use strefer_nn::side_by_side;

use super::Trainer;
use super::pass::Passed;
use crate::config::{Part, Sharding};
use crate::error::{Error, Result};
use crate::log::StepReport;
use crate::plan::{Place, RowSize, flops};
use crate::portions::{Divided, Portions};
use crate::ranks::Ranks;
use crate::reader::{Batch, Reader, Row};

impl Trainer {
    /// One optimiser step over all its passes, on all ranks.
    pub(super) fn one_step(&mut self, reader: &mut Reader) -> Result<(StepReport, Vec<(String, String)>)> {
        let begun = Instant::now();
        let step = self.progress.step;
        let own = self.own_passes(reader);
        self.dropout.begin(None);
        // While ranks share layers, one that fails cannot tell the others: it ends, and they are ended.
        let own = if self.layers.is_some() { Ok(own?) } else { own };
        let Pile { passed, of_layers, skipped, ids, samples, seen, flops, wait_seconds } =
            self.ranks.together(&format!("step {step}: passes"), own)?;
        let Passed { mut gradients, shares, loss, supervised, tokens } = passed;
        let own = Counts { loss, supervised, tokens, samples, seen, flops };
        let Counts { loss, supervised, tokens, samples, seen, flops } = own.summed(&self.ranks, step)?;
        let skipped = match seen > samples {
            true => self.ranks.gather(&format!("step {step}: skipped samples"), skipped)?,
            false => skipped,
        };
        self.progress.seen += seen;
        self.progress.skipped += skipped.len();
        if let Some((id, reason)) = skipped.last() {
            self.last_skip = format!("{id}: {reason}");
        }
        if samples == 0 {
            return Err(Error::NoSamples { step, reason: self.last_skip.clone() });
        }
        if supervised == 0 {
            return Err(Error::NothingSupervised { step, ids });
        }
        let what = format!("step {step}: gradients");
        let shared = matches!(self.config.steps.shard, Sharding::Gradients | Sharding::Full);
        let keep = |name: &str| !shared || self.owners.owns(name);
        gradients = self.ranks.sum_gradients(&what, &self.everywhere, gradients, keep)?;
        gradients.add(of_layers)?;
        let [by_source, by_group] = shares.of_all(&self.ranks, &format!("step {step}: losses"))?;
        let loss = loss / supervised as f64;
        // Gradients are of the sum of losses: what makes them those of the mean, and clips them, is left to the update.
        let mean = 1.0 / supervised as f64;
        let (grad_norm, grad_norms) =
            self.norms(&gradients, mean, shared && self.owners.are_several(), step)?;
        for (what, value) in [("loss", loss), ("gradient norm", grad_norm)] {
            if !value.is_finite() {
                return Err(Error::NotFinite { step, what, value, ids });
            }
        }
        let factor = mean * Gradients::clip_factor(grad_norm, self.config.optim.clip_norm);
        let lr = self.config.schedule.lr_at(step, self.total);
        self.optimizer.step_scaled(&gradients, lr, factor)?;
        if self.owners.are_several() {
            self.ranks.share(&format!("step {step}: parameters"), &self.everywhere, &self.owners)?;
        }
        self.progress.step += 1;
        self.progress.supervised += supervised;
        let report = StepReport {
            step,
            loss,
            lr,
            grad_norm,
            grad_norms,
            by_source,
            by_group,
            tokens,
            supervised,
            samples,
            flops,
            skipped: self.progress.skipped,
            seconds: begun.elapsed().as_secs_f64(),
            wait_seconds,
        };
        Ok((report, skipped))
    }

    /// This rank's passes of a step.
    fn own_passes(&self, reader: &mut Reader) -> Result<Pile> {
        let mut pile = Pile::default();
        let mut draws = 0..;
        let portions = self.portions();
        for _ in 0..self.passes.count() {
            let begun = Instant::now();
            let Batch { rows, skipped } = reader.next_batch()?;
            pile.wait_seconds += begun.elapsed().as_secs_f64();
            pile.seen += rows.len() + skipped.len();
            pile.samples += rows.len();
            pile.skipped.extend(skipped);
            let size = |row: &Row| RowSize::of(&row.inputs, &self.model_config);
            let work = rows.iter().map(|row| flops(size(row), &self.model_config, self.learning));
            pile.flops += work.sum::<f64>();
            pile.ids.extend(rows.iter().map(|row| row.inputs.id.clone()));
            if self.layers.is_some() {
                // Every rank goes through the layers equally often, also one that has nothing to show them; and on this
                // thread: those of the pool must not wait for other ranks.
                let draw = draws.next().unwrap_or_default();
                pile.passed.add(self.pass(rows, draw, || reader.look_ahead())?)?;
                continue;
            }
            let Divided { portions, side_by_side: together } = portions.of(rows, size);
            let rows: Vec<(Vec<Row>, u64)> = portions.into_iter().zip(draws.by_ref()).collect();
            if together {
                for passed in side_by_side(rows, |(rows, draw)| self.pass(rows, draw, || ()))? {
                    pile.passed.add(passed)?;
                }
            } else {
                for (rows, draw) in rows {
                    // Among the pool's own threads: a thread outside would compete with them for the cores.
                    let passed = rayon::scope(|_| self.pass(rows, draw, || reader.look_ahead()));
                    pile.passed.add(passed?)?;
                }
            }
        }
        if let Some(layers) = &self.layers {
            pile.of_layers = layers.settle()?;
        }
        Ok(pile)
    }

    /// How this rank divides the rows of a pass.
    fn portions(&self) -> Portions<'_> {
        let learn = self.vars.values().map(|var| var.elem_count()).sum();
        let place = Place::from(self.model.language_model().device());
        Portions::new(&self.config, &self.model_config, self.learning, learn, place)
    }

    /// The norm of all gradients times `factor`, and those of the parts. `shared`: this rank has some of them only.
    fn norms(
        &self,
        gradients: &Gradients,
        factor: f64,
        shared: bool,
        step: usize,
    ) -> Result<(f64, BTreeMap<Part, f64>)> {
        let mut squares: BTreeMap<Part, f64> = self.vars.keys().map(|name| (Part::of(name), 0.0)).collect();
        for ((name, _), square) in gradients.iter().zip(gradients.squares()?) {
            *squares.entry(Part::of(name)).or_default() += square * factor * factor;
        }
        if shared {
            for (part, square) in &mut squares {
                [*square] = self.ranks.sum(&format!("step {step}: norm of {}", part.name()), [*square])?;
            }
        }
        let norm = squares.values().sum::<f64>().sqrt();
        Ok((norm, squares.into_iter().map(|(part, square)| (part, square.sqrt())).collect()))
    }
}

/// What a rank's passes of one step have come to.
#[derive(Default)]
struct Pile {
    passed: Passed,
    /// Gradients of layers that ranks share, summed over all ranks already, of what this rank owns.
    of_layers: Gradients,
    skipped: Vec<(String, String)>,
    ids: Vec<String>,
    samples: usize,
    /// Skipped ones included.
    seen: usize,
    flops: f64,
    wait_seconds: f64,
}

/// Sums of a step.
#[derive(Debug, Clone, Copy)]
struct Counts {
    loss: f64,
    supervised: usize,
    tokens: usize,
    samples: usize,
    /// Skipped ones included.
    seen: usize,
    flops: f64,
}

impl Counts {
    fn summed(self, ranks: &Ranks, step: usize) -> Result<Self> {
        let Self { loss, supervised, tokens, samples, seen, flops } = self;
        let [a, b, c, d] = [supervised, tokens, samples, seen].map(|count| count as f64);
        let [a, b, c, d, loss, flops] =
            ranks.sum(&format!("step {step}: counts"), [a, b, c, d, loss, flops])?;
        let [supervised, tokens, samples, seen] = [a, b, c, d].map(|count| count as usize);
        Ok(Self { loss, supervised, tokens, samples, seen, flops })
    }
}
